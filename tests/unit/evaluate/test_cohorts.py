"""Cohorts, versions and tokens of panes, from stored spans by the reader's own SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from builders import HOUR_NS, a_request, a_span, attribute
from evaluate_harness import START_NS, World, a_config
from window_oracle import log_bucket

Make = Callable[..., World]
TRACE = bytes(range(16))


def a_trace(
    call: dict[str, Any], root: dict[str, Any] | None = None, sibling: dict[str, Any] | None = None
) -> ExportTraceServiceRequest:
    """root > chain > call, and a tool span beside the call."""
    outer = a_span(
        1, start_ns=START_NS, trace_id=TRACE, name="agent",
        attributes={"gen_ai.operation.name": "invoke_agent", **(root or {})},
    )  # fmt: skip
    chain = a_span(
        2, start_ns=START_NS + 1, trace_id=TRACE, parent=outer.span_id, name="chain",
        attributes={"gen_ai.operation.name": None, "openinference.span.kind": "CHAIN"},
    )  # fmt: skip
    tool = a_span(
        3, start_ns=START_NS + 2, trace_id=TRACE, parent=outer.span_id, name="tool",
        attributes={"gen_ai.operation.name": "execute_tool", **(sibling or {})},
    )  # fmt: skip
    leaf = a_span(
        4, start_ns=START_NS + 3, trace_id=TRACE, parent=chain.span_id, attributes=call,
        evaluations=[("grounded", 1.0, "")],
    )  # fmt: skip
    request = a_request([outer, chain, tool, leaf])
    request.resource_spans[0].resource.attributes.append(attribute("cloud.region", "eu-west-1"))
    return request


def panes(
    make_world: Make, request: ExportTraceServiceRequest, **monitor: Any
) -> list[dict[str, Any]]:
    world = make_world(a_config({"name": "m", **monitor}))
    world.send(request)
    later = a_span(9, start_ns=START_NS + 4 * HOUR_NS)
    world.send(a_request([later]))
    world.tick()
    return world.rows(
        "select s.cohort, p.feature, p.version, p.kind, p.buckets, p.sessions "
        "from panes p join series s on p.series_id = s.id "
        "where epoch_ns(p.pane_start) < $end",
        end=START_NS + HOUR_NS,
    )


TIER, GOLD, FREE = 'attributes["user.tier"]', {"user.tier": "gold"}, {"user.tier": "free"}
TEMPERATURE = "gen_ai.request.temperature"
VARIABLES = "llm.prompt_template.variables"


@pytest.mark.parametrize(
    ("source", "spans", "cohort"),
    [
        # An attribute, wherever in the trace: own, nearest ancestor, any span.
        (TIER, {"call": GOLD, "root": FREE}, "gold"),
        (TIER, {"root": GOLD}, "gold"),
        (TIER, {"root": GOLD, "sibling": FREE}, "gold"),
        (TIER, {"sibling": GOLD}, "gold"),
        (TIER, {}, ""),
        ('attributes["user.level"]', {"call": {"user.level": 3}}, "3"),
        # Attributes that became a column, and are not kept twice.
        ('attributes["user.id"]', {"root": {"user.id": "ada"}}, "ada"),
        (f'attributes["{TEMPERATURE}"]', {"call": {TEMPERATURE: 0.5}}, "0.5"),
        ('attributes["enduser.id"]', {"call": {"user.id": "ada", "enduser.id": "bob"}}, "bob"),
        ('resource["cloud.region"]', {}, "eu-west-1"),
        ('metadata["plan"]', {"root": {"metadata": '{"plan":"pro","seats":3}'}}, "pro"),
        ('metadata["seats"]', {"call": {"langfuse.trace.metadata.seats": "3"}}, "3"),
        ('tags["beta"]', {"root": {"tag.tags": ["beta", "web"]}}, "beta"),
        ('tags["beta"]', {"root": {"tag.tags": ["beta2"]}}, ""),
        ('prompt_variables["lang"]', {"call": {VARIABLES: '{"lang":"fr"}'}}, "fr"),
        ("user_id", {"root": {"user.id": "ada"}}, "ada"),
        ("prompt_template_id", {"sibling": {"gen_ai.prompt.name": "greeting"}}, "greeting"),
        ("environment", {}, "prod"),
        # A property of one call is not another span's.
        ("temperature", {"root": {TEMPERATURE: 0.5}}, ""),
        ("temperature", {"call": {TEMPERATURE: 0.25}}, "0.25"),
    ],
)  # fmt: skip
def test_a_cohort_is_any_field_and_is_inherited_within_the_trace(
    make_world: Make, source: str, spans: dict[str, Any], cohort: str
) -> None:
    rows = panes(make_world, a_trace(**{"call": {}, **spans}), cohort=source)
    assert {row["cohort"] for row in rows} == {cohort}


@pytest.mark.parametrize(
    ("source", "spans", "version"),
    [
        (None, {}, "gpt-4o-2024-08-06"),
        ("prompt_template_version", {"root": {"gen_ai.prompt.version": "7"}}, "7"),
        ('attributes["app.build"]', {"sibling": {"app.build": "b12"}}, "b12"),
        ("response_model", {"call": {"gen_ai.response.model": None}}, ""),
    ],
)
def test_a_version_is_a_source_like_the_cohort(
    make_world: Make, source: str | None, spans: dict[str, Any], version: str
) -> None:
    monitor = {} if source is None else {"version": source}
    rows = panes(make_world, a_trace(**{"call": {}, **spans}), **monitor)
    assert [row["version"] for row in rows if row["kind"] == "score"] == [version]


def test_the_fingerprint_is_a_version(make_world: Make) -> None:
    """Equal for calls that were made in the same way, another one for a changed prompt."""

    def of(prompt: str) -> str:
        call = {"gen_ai.system_instructions": f'[{{"type":"text","content":"{prompt}"}}]'}
        rows = panes(make_world, a_trace(call), version="fingerprint")
        (version,) = [row["version"] for row in rows if row["kind"] == "score"]
        return str(version)

    first = of("You are a geography teacher.")
    assert len(first) == 16
    assert of("You are a geography teacher.") == first
    assert of("You are a history teacher.") not in (first, "")


@pytest.mark.parametrize(
    ("call", "tokens"),
    [
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 40}, 100),
        ({"gen_ai.usage.input_tokens": 12, "gen_ai.usage.cache_read.input_tokens": 1000}, 1012),
        (
            {
                "gen_ai.usage.input_tokens": 17,
                "gen_ai.usage.cache_read.input_tokens": 4,
                "gen_ai.usage.cache_creation.input_tokens": 2,
                "gen_ai.usage.output_tokens": 8,
                "gen_ai.usage.total_tokens": 31,
            },
            23,
        ),
    ],
)
def test_input_tokens_of_panes_include_the_cached_ones(
    make_world: Make, call: dict[str, Any], tokens: int
) -> None:
    rows = panes(make_world, a_trace(call), features=["input_tokens"])
    assert [row["buckets"] for row in rows if row["feature"] == "input_tokens"] == [
        [log_bucket(tokens)]
    ]


def test_an_announced_call_and_the_request_of_a_stream_are_no_sessions(make_world: Make) -> None:
    """Three spans of one streamed call, in traces of their own, as Logfire sends them."""
    silent = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    silent |= {"gen_ai.conversation.id": None}
    request = a_span(1, start_ns=START_NS, attributes=silent)
    pending = a_span(
        2, start_ns=START_NS, duration_ns=0, trace_id=request.trace_id, parent=request.span_id,
        attributes={**silent, "logfire.span_type": "pending_span"},
    )  # fmt: skip
    answer = a_span(
        3, start_ns=START_NS + 5, duration_ns=0,
        attributes={"gen_ai.conversation.id": None, "logfire.span_type": "log"},
    )  # fmt: skip
    sent = a_request([pending, request, answer])
    sent.resource_spans[0].scope_spans[0].scope.name = "logfire.openai"
    rows = panes(make_world, sent, features=["output_tokens"])
    assert [row["sessions"] for row in rows if row["feature"] == "sessions"] == [1]
