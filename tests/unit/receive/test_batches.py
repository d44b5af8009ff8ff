"""What is counted of a batch of requests."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otlp_samples import SPAN_ID, START, TRACE_ID, encode, request_of, span
from retraind.receive import batches


def test_a_span_of_which_several_things_are_missing_counts_once() -> None:
    cut = span(
        attributes={"openinference.span.kind": "LLM", "llm.input_messages.1.message.role": "user"},
        dropped_attributes_count=2, dropped_events_count=1,
    )  # fmt: skip
    found = batches.decode(
        "traces", [encode(request_of(cut))], [b"d"], received_at_ns=START, attribute_limit=10
    )
    assert found.blemishes.incomplete_spans == {"openinference": 1}


def test_a_span_of_which_several_records_are_incomplete_counts_once() -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for name in ("gen_ai.user.message", "gen_ai.choice"):
        records.add(event_name=name, trace_id=TRACE_ID, span_id=SPAN_ID, dropped_attributes_count=1)
    found = batches.decode(
        "logs", [encode(request)], [b"d"], received_at_ns=START, attribute_limit=10
    )
    assert found.blemishes.incomplete_spans == {"otel_genai": 1}
