"""Spans written by hand in `built/*.toml`, as OTLP request bytes; README.md describes the form.

Ids come from the file, the scenario and the span's number, so that they are the same every time.
"""

from __future__ import annotations

import hashlib
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

START = 1_763_000_000_000_000_000
SECOND = 1_000_000_000


def any_value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    built = AnyValue()
    if isinstance(value, list):
        built.array_value.SetInParent()
        built.array_value.values.extend(any_value(item) for item in value)
    else:
        built.kvlist_value.SetInParent()
        add(built.kvlist_value.values, value)
    return built


def add(pairs: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pairs.add(key=key, value=any_value(value))


def traces(seed: str, sent: list[dict[str, Any]]) -> bytes:
    """The request of one scenario's `[[sent]]` tables."""
    request = ExportTraceServiceRequest()
    names = [one["name"] for one in sent]
    for number, one in enumerate(sent):
        group = request.resource_spans.add()
        add(group.resource.attributes, {"service.name": "corpus"} | one.get("resource", {}))
        scope = group.scope_spans.add(schema_url=one.get("schema_url", ""))
        scope.scope.name, scope.scope.version = one.get("scope", ""), one.get("scope_version", "")
        _fill(scope.spans.add(), seed, number, one, names)
    return bytes(request.SerializeToString())


def _fill(span: Span, seed: str, number: int, one: dict[str, Any], names: list[str]) -> None:
    span.trace_id, span.span_id = _id(seed, 16), _id(f"{seed}/{number}", 8)
    if "parent" in one:
        span.parent_span_id = _id(f"{seed}/{names.index(one['parent'])}", 8)
    span.name = one["name"]
    span.kind = Span.SpanKind.Value(f"SPAN_KIND_{one.get('kind', 'internal').upper()}")
    span.start_time_unix_nano = START + number * SECOND // 1000
    span.end_time_unix_nano = span.start_time_unix_nano + int(one.get("seconds", 1) * SECOND)
    span.status.code = Status.StatusCode.Value(f"STATUS_CODE_{one.get('status', 'unset').upper()}")
    span.status.message = one.get("status_message", "")
    span.dropped_attributes_count = one.get("dropped_attributes_count", 0)
    add(span.attributes, one.get("attributes", {}))
    for event in one.get("events", []):
        after = int(event.get("after_seconds", 0) * SECOND)
        built = span.events.add(
            name=event["name"], time_unix_nano=span.start_time_unix_nano + after
        )
        add(built.attributes, event.get("attributes", {}))
    for name in one.get("links", []):
        span.links.add(trace_id=span.trace_id, span_id=_id(f"{seed}/{names.index(name)}", 8))


def logs(seed: str, sent: list[dict[str, Any]], names: list[str]) -> bytes:
    """The request of one scenario's `[[sent_log]]` tables; `names` are its spans."""
    request = ExportLogsServiceRequest()
    for number, one in enumerate(sent):
        group = request.resource_logs.add()
        add(group.resource.attributes, {"service.name": "corpus"} | one.get("resource", {}))
        scope = group.scope_logs.add()
        scope.scope.name = one.get("scope", "")
        record = scope.log_records.add(
            event_name=one.get("event_name", ""), time_unix_nano=START + number * SECOND // 1000
        )
        if "span" in one:
            record.trace_id = _id(seed, 16)
            record.span_id = _id(f"{seed}/{names.index(one['span'])}", 8)
        if "body" in one:
            record.body.CopyFrom(any_value(one["body"]))
        add(record.attributes, one.get("attributes", {}))
    return bytes(request.SerializeToString())


def _id(seed: str, size: int) -> bytes:
    return hashlib.sha256(seed.encode()).digest()[:size]
