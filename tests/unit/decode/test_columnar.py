"""Decoding of several requests at once, and of bytes that are no request."""

from __future__ import annotations

import random
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp_samples import encode, request_of, span
from retraind.decode import decode_logs, decode_traces
from retraind.errors import InvalidPayload
from retraind.normalise import normalise_logs, normalise_traces


def rows(*payloads: bytes, limit: int = 100) -> Any:
    return normalise_traces(decode_traces(payloads), attribute_limit=limit)


def test_each_span_knows_its_request_resource_and_scope() -> None:
    first, second = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    for request, service, count in ((first, "a", 2), (second, "b", 1), (second, "c", 1)):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = service
        group.scope_spans.add().scope.name = "empty scope"
        scope = group.scope_spans.add()
        scope.scope.name = f"scope of {service}"
        scope.spans.extend(span(name=f"{service}{number}") for number in range(count))
    result = rows(encode(first), b"", encode(second))
    assert result.span_request.tolist() == [0, 0, 2, 2]
    assert result.spans.column("name").to_pylist() == ["a0", "a1", "b0", "c0"]
    assert result.spans.column("service_name").to_pylist() == ["a", "a", "b", "c"]
    assert result.spans.column("scope_name").to_pylist() == [f"scope of {s}" for s in "aabc"]


def test_one_bad_request_fails_the_call_and_the_good_ones_decode_alone() -> None:
    good = encode(request_of(span()))
    with pytest.raises(InvalidPayload):
        decode_traces([good, good[:-1]])
    assert len(rows(good).spans) == 1


def test_no_requests_and_empty_requests_give_no_rows() -> None:
    assert len(rows().spans) == 0
    assert len(rows(b"", b"").spans) == 0
    assert normalise_logs(decode_logs([b"", b""])).dropped.tolist() == [0, 0]


def test_damaged_bytes_decode_or_are_invalid_and_nothing_else() -> None:
    source = random.Random(11)
    sample = span(
        attributes={
            "gen_ai.request.model": "m",
            "n": 3,
            "list": ["a", {"b": [1.5, None]}],
            "é": b"x",
        }
    )
    sample.events.add(name="e").attributes.add(key="k").value.array_value.values.add().int_value = 4
    whole = encode(request_of(sample, sample))
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(source.randrange(1, 4)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        cut = source.randrange(len(whole)) if source.random() < 0.3 else len(whole)
        for decode, normalise in (
            (decode_traces, lambda d: normalise_traces(d, attribute_limit=9)),
            (decode_logs, normalise_logs),
        ):
            try:
                decoded = decode([bytes(damaged[:cut])])
            except InvalidPayload:
                continue
            normalise(decoded)
