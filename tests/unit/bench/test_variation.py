"""Varied requests are valid, differ from one another, and keep who belongs to whom."""

from __future__ import annotations

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.variation import Variation

NOW = 1_795_000_000_000_000_000


def template() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for r in range(2):
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = f"service-{r}"
        spans = resource.scope_spans.add().spans
        for i in range(3):
            span = spans.add(name="chat", kind=3, flags=257)
            span.trace_id = bytes([r + 1]) * 16
            span.span_id = bytes([i + 1]) * 8
            span.parent_span_id = bytes([i]) * 8 if i else b""
            span.start_time_unix_nano = 1_700_000_000_000_000_000 + i
            span.end_time_unix_nano = span.start_time_unix_nano + 1000
            # The same bytes as a trace id inside a value must stay as they are.
            span.attributes.add(key="note").value.bytes_value = b"\n\x10" + span.trace_id
            span.attributes.add(key="session.id").value.string_value = f"0123456789abcde{r}"
            span.attributes.add(key="gen_ai.conversation.id").value.string_value = "not hex"
            span.events.add(name="e", time_unix_nano=span.start_time_unix_nano + 500)
    return request


def spans_of(request):
    return [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]


def value(span, key):
    return next(a.value.string_value for a in span.attributes if a.key == key)


def blanked(request):
    """The request without what a variation may change."""
    out = ExportTraceServiceRequest()
    out.CopyFrom(request)
    for span in spans_of(out):
        span.trace_id = span.span_id = span.parent_span_id = b""
        span.start_time_unix_nano = span.end_time_unix_nano = 0
        span.events[0].time_unix_nano = 0
        next(a.value for a in span.attributes if a.key == "session.id").string_value = ""
    return out


@pytest.fixture(name="varied")
def _varied():
    variation = Variation(template().SerializeToString())
    rng = np.random.default_rng(1)
    return [ExportTraceServiceRequest.FromString(variation.body(rng, NOW)) for _ in range(50)]


def test_only_ids_and_times_change(varied):
    expected = blanked(template())

    assert all(blanked(request) == expected for request in varied)


def test_no_id_comes_twice(varied):
    spans = [span for request in varied for span in spans_of(request)]

    assert len({(s.trace_id, s.span_id) for s in spans}) == 50 * 6
    assert len({value(s, "session.id") for s in spans}) == 50 * 2


def test_parents_traces_and_sessions_stay_together(varied):
    for request in varied:
        for resource in request.resource_spans:
            first, second, third = resource.scope_spans[0].spans
            assert first.parent_span_id == b""
            assert second.parent_span_id == first.span_id
            assert third.parent_span_id == second.span_id
            assert len({s.trace_id for s in (first, second, third)}) == 1
            assert len({value(s, "session.id") for s in (first, second, third)}) == 1
            assert not value(first, "session.id").strip("0123456789abcdef")


def test_times_are_moved_together(varied):
    for request in varied:
        spans = spans_of(request)
        assert max(s.end_time_unix_nano for s in spans) == NOW
        assert all(s.end_time_unix_nano - s.start_time_unix_nano == 1000 for s in spans)
        assert all(s.events[0].time_unix_nano - s.start_time_unix_nano == 500 for s in spans)


def test_a_template_without_session_ids_works():
    request = template()
    for span in spans_of(request):
        del span.attributes[:]
    body = Variation(request.SerializeToString()).body(np.random.default_rng(1), NOW)

    assert len(spans_of(ExportTraceServiceRequest.FromString(body))) == 6
