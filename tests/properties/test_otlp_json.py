"""A request written as OTLP/JSON becomes the request that protobuf would have carried."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp_strategies import log_requests, trace_requests
from retraind.decode import logs_from_json, traces_from_json

IDS = {"trace_id", "span_id", "parent_span_id"}
INT64 = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_FIXED64}
checks = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Writer:
    """Writes messages as OTLP/JSON; `style` decides among the allowed spellings."""

    def __init__(self, style: int) -> None:
        self.style = style

    def message(self, message: Any) -> dict[str, Any]:
        result: dict[str, Any] = {"unknownField": {"x": [1]}} if self.style % 2 else {}
        for field, value in message.ListFields():
            if field.is_repeated:
                result[field.json_name] = [self.message(item) for item in value]
            elif field.message_type is not None:
                result[field.json_name] = self.message(value)
            else:
                result[field.json_name] = self.scalar(field, value)
        return result

    def scalar(self, field: Any, value: Any) -> Any:
        if field.name in IDS:
            return value.hex().upper() if self.style % 3 else value.hex()
        if isinstance(value, bytes):
            encode = base64.urlsafe_b64encode if self.style % 2 else base64.b64encode
            text = encode(value).decode()
            return text.rstrip("=") if self.style % 3 else text
        if field.type in INT64:
            return str(value) if self.style % 2 else value
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return value


def readable(message: Any) -> str:
    """Text form without unknown fields; it shows every set field, and all NaNs alike."""
    message.DiscardUnknownFields()
    return str(message)


@checks
@given(trace_requests(), st.integers(0, 5))
def test_traces(request: ExportTraceServiceRequest, style: int) -> None:
    body = json.dumps(Writer(style).message(request), ensure_ascii=style < 3).encode()
    got = ExportTraceServiceRequest.FromString(traces_from_json(body))
    assert readable(got) == readable(request)


@checks
@given(log_requests(), st.integers(0, 5))
def test_logs(request: ExportLogsServiceRequest, style: int) -> None:
    body = json.dumps(Writer(style).message(request), ensure_ascii=style < 3).encode()
    got = ExportLogsServiceRequest.FromString(logs_from_json(body))
    assert readable(got) == readable(request)
