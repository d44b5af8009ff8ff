"""What the demo's application puts on the wire, read back with the official protobuf classes."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from demo_sink import Sink
from retraind.demo.application import emit, tracer_provider
from retraind.demo.scenario import Drift, Scenario

END_NS = 1_789_948_800_000_000_000  # 2026-09-21 00:00 UTC
COUNT = 6_000


class FirstConversations(Scenario):
    """A scenario cut short, longer than the SDK's queue."""

    __slots__ = ()

    def conversations(self):
        return islice(Scenario.conversations(self), COUNT)


@pytest.fixture(scope="module", name="exchange")
def _exchange():
    scenario = FirstConversations(5, Drift.parse("none"), END_NS)
    with Sink() as sink:
        exporter = OTLPSpanExporter(endpoint=f"127.0.0.1:{sink.port}", insecure=True)
        with tracer_provider(exporter, seed=5) as provider:
            progress = list(emit(scenario, provider))
    return list(scenario.conversations()), progress, sink


def attributes(item):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in item.attributes}


def test_every_span_arrives_once(exchange):
    conversations, progress, sink = exchange

    assert progress[-1].done
    assert progress[-1].spans == sum(c.spans for c in conversations) == len(sink.spans)
    assert len({(s.trace_id, s.span_id) for s in sink.spans}) == len(sink.spans)
    assert len({s.trace_id for s in sink.spans}) == sum(len(c.turns) for c in conversations)


def test_the_resource_names_the_service(exchange):
    _, _, sink = exchange
    resource = attributes(sink.requests[0].resource_spans[0].resource)

    assert resource["service.name"] == "support-bot"
    assert resource["deployment.environment.name"] == "production"


def test_spans_arrive_in_order_of_event_time(exchange):
    """To within one conversation, so that no allowance for lateness over two minutes is needed."""
    _, _, sink = exchange
    newest = 0
    for span in sink.spans:
        newest = max(newest, span.end_time_unix_nano)
        assert newest - span.start_time_unix_nano < 120e9


def test_spans_of_a_trace_hang_together(exchange):
    _, _, sink = exchange
    roots = {s.span_id: s for s in sink.spans if not s.parent_span_id}
    for span in sink.spans:
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        if span.parent_span_id:
            root = roots[span.parent_span_id]
            assert root.trace_id == span.trace_id
            assert root.start_time_unix_nano <= span.start_time_unix_nano
            assert root.end_time_unix_nano >= span.end_time_unix_nano


def test_chat_spans_carry_what_the_scenario_says(exchange):
    conversations, _, sink = exchange
    turns = Counter(
        (c.id, c.model, c.cohort, t.product, t.input_tokens, t.output_tokens, t.question, t.answer)
        for c in conversations
        for t in c.turns
    )
    seen = Counter()
    for span in sink.spans:
        a = attributes(span)
        if a["gen_ai.operation.name"] == "chat":
            question = json.loads(a["gen_ai.input.messages"])[0]["parts"][0]["content"]
            answer = json.loads(a["gen_ai.output.messages"])[0]["parts"][0]["content"]
            seen[
                a["gen_ai.conversation.id"], a["gen_ai.request.model"], a["app.cohort"],
                a["app.product"], a["gen_ai.usage.input_tokens"], a["gen_ai.usage.output_tokens"],
                question, answer,
            ] += 1  # fmt: skip

    assert seen == turns


def test_evaluations_are_events_of_the_span_they_judge(exchange):
    conversations, _, sink = exchange
    expected = Counter(
        (c.id, e.name, e.score, e.label)
        for c in conversations
        for t in c.turns
        for e in t.evaluations
    )
    seen = Counter()
    for span in sink.spans:
        for event in span.events:
            assert event.name == "gen_ai.evaluation.result"
            assert event.time_unix_nano == span.end_time_unix_nano
            e = attributes(event)
            seen[
                attributes(span)["gen_ai.conversation.id"], e["gen_ai.evaluation.name"],
                e["gen_ai.evaluation.score.value"], e["gen_ai.evaluation.score.label"],
            ] += 1  # fmt: skip

    assert seen == expected
    assert sum(seen.values()) > COUNT / 2
