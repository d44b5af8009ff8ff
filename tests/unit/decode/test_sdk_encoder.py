"""Spans as the OpenTelemetry SDK encodes them."""

from __future__ import annotations

import json

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from retraind.decode import decode_traces
from retraind.normalise import normalise_traces


def test_a_conversation_turn() -> None:
    memory = InMemorySpanExporter()
    resource = Resource({"service.name": "bot", "deployment.environment.name": "prod"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("app", "2.0")
    with (
        tracer.start_as_current_span("turn", attributes={"session.id": "s"}) as parent,
        tracer.start_as_current_span("chat m", kind=SpanKind.CLIENT) as call,
    ):
        call.set_attributes(
                {
                    "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 12,
                    "gen_ai.response.finish_reasons": ["stop"], "flag": True, "ratios": [0.5, 1.0],
                }
            )  # fmt: skip
        call.add_event(
            "gen_ai.evaluation.result",
            {"gen_ai.evaluation.name": "e", "gen_ai.evaluation.score.value": 0.5},
        )
        call.record_exception(ValueError("boom"))
        call.set_status(StatusCode.ERROR, "boom")
    spans = memory.get_finished_spans()
    payload = encode_spans(spans).SerializeToString()
    result = normalise_traces(decode_traces([payload]), attribute_limit=128)
    rows = {r["name"]: r for r in result.spans.drop_columns(["start_time"]).to_pylist()}
    child, root = rows["chat m"], rows["turn"]
    context = parent.get_span_context()
    assert (root["trace_id"], root["span_id"]) == (
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
    )
    assert (root["parent_span_id"], child["parent_span_id"]) == (None, root["span_id"])
    assert (root["kind"], child["kind"], child["status"]) == ("internal", "client", "error")
    assert (child["operation"], child["input_tokens"]) == ("chat", 12)
    assert child["finish_reasons"] == ["stop"]
    assert json.loads(child["attributes"]) == {"flag": True, "ratios": [0.5, 1.0]}
    assert [e["name"] for e in json.loads(child["events"])][1:] == ["exception"]
    assert (child["service_name"], child["environment"]) == ("bot", "prod")
    assert (child["scope_name"], child["scope_version"]) == ("app", "2.0")
    ended = {span.name: span.end_time - span.start_time for span in spans}
    assert {name: row["duration_ns"] for name, row in rows.items()} == ended
    assert result.evaluations.column("score").to_pylist() == [0.5]
