"""Short ways to write OTLP messages in tests."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

START = 1_790_000_000_000_000_000
TRACE_ID = bytes(range(1, 17))
SPAN_ID = bytes(range(1, 9))


def any_value(value: Any) -> AnyValue:
    """An AnyValue of a Python value; None has no value."""
    message = AnyValue()
    if isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, bytes):
        message.bytes_value = value
    elif isinstance(value, list):
        message.array_value.SetInParent()
        message.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        message.kvlist_value.SetInParent()
        add_attributes(message.kvlist_value.values, value)
    return message


def add_attributes(container: Any, attributes: dict[str, Any]) -> None:
    """Append key-value pairs to a repeated field."""
    for key, value in attributes.items():
        container.add(key=key).value.CopyFrom(any_value(value))


def span(
    *, attributes: dict[str, Any] | None = None, events: dict[str, dict[str, Any]] | None = None,
    **fields: Any,
) -> Span:  # fmt: skip
    """A valid span of one second; `events` maps a name to attributes."""
    defaults = {
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "name": "chat",
        "start_time_unix_nano": START,
        "end_time_unix_nano": START + 10**9,
    }
    message = Span(**(defaults | fields))
    add_attributes(message.attributes, attributes or {})
    for name, pairs in (events or {}).items():
        add_attributes(message.events.add(name=name, time_unix_nano=START + 5).attributes, pairs)
    return message


def request_of(*spans: Span, resource: dict[str, Any] | None = None) -> ExportTraceServiceRequest:
    """A request with one resource and one scope."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    add_attributes(group.resource.attributes, resource or {"service.name": "bot"})
    group.scope_spans.add(spans=spans)
    return request


def encode(message: Any) -> bytes:
    """Wire bytes."""
    encoded: bytes = message.SerializeToString()
    return encoded
