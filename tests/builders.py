"""Deterministic OTLP requests, built with the official protobuf classes."""

from __future__ import annotations

import random
from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

HOUR_NS = 3_600_000_000_000
SECOND_NS = 1_000_000_000


def attribute(key: str, value: object) -> KeyValue:
    pair = KeyValue(key=key)
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    elif isinstance(value, bytes):
        pair.value.bytes_value = value
    elif isinstance(value, list):
        pair.value.array_value.values.extend(attribute("", item).value for item in value)
    else:
        pair.value.string_value = str(value)
    return pair


def a_span(
    seed: int | random.Random,
    *,
    start_ns: int,
    duration_ns: int = SECOND_NS,
    trace_id: bytes | None = None,
    parent: bytes = b"",
    name: str = "chat gpt-4o",
    attributes: dict[str, object] | None = None,
    evaluations: Iterable[tuple[str, float, str]] = (),
) -> Span:
    """One chat span. `evaluations` become gen_ai.evaluation.result events: (name, score, label)."""
    rng = seed if isinstance(seed, random.Random) else random.Random(seed)
    span = Span(
        trace_id=trace_id or rng.randbytes(16),
        span_id=rng.randbytes(8),
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + duration_ns,
    )
    defaults: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.usage.input_tokens": rng.randrange(20, 2000),
        "gen_ai.usage.output_tokens": rng.randrange(5, 800),
        "gen_ai.conversation.id": rng.randbytes(8).hex(),
    }
    for key, value in {**defaults, **(attributes or {})}.items():
        if value is not None:
            span.attributes.append(attribute(key, value))
    for eval_name, score, label in evaluations:
        event = span.events.add(
            name="gen_ai.evaluation.result", time_unix_nano=start_ns + duration_ns
        )
        event.attributes.extend(
            [
                attribute("gen_ai.evaluation.name", eval_name),
                attribute("gen_ai.evaluation.score.value", score),
                attribute("gen_ai.evaluation.score.label", label),
            ]
        )
    return span


def a_request(
    spans: Iterable[Span],
    *,
    service: str = "rag-api",
    environment: str = "prod",
    service_version: str | None = None,
) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(
        [
            attribute("service.name", service),
            attribute("deployment.environment.name", environment),
        ]
    )
    if service_version is not None:
        resource_spans.resource.attributes.append(attribute("service.version", service_version))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "tests"
    scope_spans.spans.extend(spans)
    return request
