"""Evaluations of spans are what a plain walk over official messages finds."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import evaluation_oracle
from builders import attribute
from evaluation_oracle import TABLE
from retraind.decode import decode_traces
from retraind.normalise import normalise_traces

LIMIT = 100
COLUMN_KEYS = sorted(
    {
        next(value for name, value in source.items() if name not in ("when", "values", "known"))
        .partition("#")[0]
        for column in TABLE["columns"].values() for source in column["sources"]
    }
)  # fmt: skip
ITEM_KEYS = [
    f"{level}{plural}.{number}.{one}.{field}"
    for level in ("", "trace.", "session.")
    for plural, one in (("evaluations", "evaluation"), ("annotations", "annotation"))
    for number in (0, 1)
    for field in ("name", "score", "label", "annotator_kind", "identifier")
]
OTHER_KEYS = [
    "assertions", "scores", "labels", "task_duration", "case_name", "output.value", "metadata",
    "openinference.span.kind", "eval.tone", "eval.tone.reason", "eval.model",
    "honeyhive_metrics.safe", "honeyhive_feedback.rating", "tone", "session.id",
    "retraind.run_id", "retraind.variant", "aws.bedrock_agentcore.evaluator.arn",
]  # fmt: skip
ITEM = {"name": "tone", "score": 0.5, "label": "pass", "value": True, "source": {"name": "J"}}
values = st.one_of(
    st.sampled_from([
        "tone", "Hallucination", "user_feedback", "pass", "Yes", "no", "unknown", "", "N/A", "0.25",
        "human", "EVALUATOR", "allow", "deny", "error", "0af1",
        json.dumps([ITEM, {"name": "x", "score": 2, "kind": "code"}, 3]), json.dumps({"a": ITEM}),
        json.dumps({"a": {"value": False, "reason": "r", "evaluator_version": "2"}, "b": 1}),
        json.dumps({"gen_ai.evaluation.passed": "true", "gen_ai.evaluator.version": "9"}),
        json.dumps({"name": "pii", "passed": False, "score": 1, "status": "error"}), "{", "[]",
    ]),
    st.sampled_from([0, 1, -3, 0.5, 1.0, float("nan"), True, False]),
)  # fmt: skip
attributes = st.dictionaries(
    st.sampled_from(COLUMN_KEYS) | st.sampled_from(ITEM_KEYS) | st.sampled_from(OTHER_KEYS),
    values,
    max_size=9,
)
names = st.sampled_from([*TABLE["carriers"]["events"], "other"])
spans = st.fixed_dictionaries(
    {
        "attributes": attributes,
        "events": st.lists(st.tuples(names, attributes), max_size=2),
        "links": st.lists(st.sampled_from([b"", b"\1" * 8]), max_size=2),
        "parent": st.sampled_from([b"", b"\2" * 8]),
        "scope": st.sampled_from(["", "openlit", "strands-evals", "pydantic-evals", "logfire.x"]),
    }
)


def request_of(drawn: list[dict[str, Any]]) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for number, one in enumerate(drawn):
        scoped = group.scope_spans.add()
        scoped.scope.name = one["scope"]
        span = Span(
            trace_id=b"\7" * 16, span_id=bytes([number + 1] * 8), parent_span_id=one["parent"],
            start_time_unix_nano=5, end_time_unix_nano=9,
        )  # fmt: skip
        span.attributes.extend(attribute(key, value) for key, value in one["attributes"].items())
        for name, fields in one["events"]:
            event = span.events.add(name=name, time_unix_nano=7)
            event.attributes.extend(attribute(key, value) for key, value in fields.items())
        for target in one["links"]:
            span.links.add(trace_id=b"\6" * 16, span_id=target)
        scoped.spans.append(span)
    return request.SerializeToString()


def in_order(rows: list[Any]) -> list[str]:
    return sorted(repr((number, sorted(row.items()))) for row, number in rows)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(spans, max_size=4), min_size=1, max_size=2))
def test_evaluations_are_those_of_a_plain_walk(drawn: list[list[dict[str, Any]]]) -> None:
    payloads = [request_of(one) for one in drawn]
    found = normalise_traces(decode_traces(payloads), attribute_limit=LIMIT)
    table = found.evaluations
    time = table.column_names.index("time")
    table = table.set_column(time, "time", table.column("time").cast(pa.int64()))
    got = list(zip(table.to_pylist(), found.evaluation_request.tolist(), strict=True))
    assert in_order(got) == in_order(evaluation_oracle.expected(payloads, LIMIT))
