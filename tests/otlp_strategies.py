"""Hypothesis strategies for official OTLP messages, with the corners that senders cut."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import otlp_oracle

UNKNOWN_FIELD = b"\xca\x3e\x03abc\xd0\x3e\x07"  # fields 1001 (bytes) and 1002 (varint)

KNOWN_KEYS = otlp_oracle.attribute_keys()
_words = sorted(
    {
        raw
        for values in otlp_oracle.TABLE["values"].values()
        for raws in values.values()
        for raw in raws
    }
    | set(otlp_oracle.TABLE["placeholders"]["exact"])
    | {"[Scrubbed due to 'x']", "pass", "FAIL", "Yes", "LLM", "OpenAI", "true", "False", "12", "-3"}
    | {
        "1.50",
        "2e3",
        '["stop","LENGTH"]',
        "[1",
        '"quoted"',
        "back\\slash",
        "a\nb\t\x01\x7f",
        "é\u2028",
    }
)

texts = st.one_of(st.sampled_from(_words), st.text(max_size=12))
integers = st.one_of(st.integers(-5, 2000), st.integers(-(2**63), 2**63 - 1))
doubles = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, 2.0**53, 2.0**54, 1e15, 1e300]))
scalars = st.one_of(
    texts.map(lambda v: AnyValue(string_value=v)),
    integers.map(lambda v: AnyValue(int_value=v)),
    doubles.map(lambda v: AnyValue(double_value=v)),
    st.booleans().map(lambda v: AnyValue(bool_value=v)),
    st.binary(max_size=9).map(lambda v: AnyValue(bytes_value=v)),
    st.builds(AnyValue),
)


def _array(values: list[AnyValue]) -> AnyValue:
    message = AnyValue()
    message.array_value.SetInParent()
    message.array_value.values.extend(values)
    return message


def _kvlist(pairs: list[tuple[str, AnyValue]]) -> AnyValue:
    message = AnyValue()
    message.kvlist_value.SetInParent()
    message.kvlist_value.values.extend(KeyValue(key=key, value=value) for key, value in pairs)
    return message


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_array),
        st.lists(st.tuples(st.sampled_from(["a", "b", '"']), inner), max_size=3).map(_kvlist),
    ),
    max_leaves=6,
)
keys = st.one_of(st.sampled_from(KNOWN_KEYS), st.sampled_from(["k", "k2", '"\n', ""]), texts)
pairs = st.one_of(
    st.builds(lambda key, value: KeyValue(key=key, value=value), keys, values),
    st.builds(lambda key: KeyValue(key=key), keys),
)
attributes = st.lists(pairs, max_size=8)
times = st.one_of(st.integers(0, 3), st.integers(10**18, 2 * 10**18), st.integers(0, 2**63 - 1))
counts = st.one_of(st.just(0), st.integers(0, 2**32 - 1))


def identifiers(size: int) -> st.SearchStrategy[bytes]:
    """Mostly valid ids; now and then of a wrong length or all zero."""
    valid = st.binary(min_size=size, max_size=size)
    return st.one_of(valid, valid, valid, valid, st.just(bytes(size)), st.binary(max_size=20))


def _with_unknown(message: Any, extra: bool) -> Any:
    if extra:
        message.MergeFromString(UNKNOWN_FIELD)
    return message


events = st.builds(
    lambda extra, **fields: _with_unknown(Span.Event(**fields), extra),
    st.booleans(),
    time_unix_nano=st.one_of(times, st.just(2**64 - 1)),
    name=st.one_of(st.just("gen_ai.evaluation.result"), texts),
    attributes=attributes,
    dropped_attributes_count=counts,
)
links = st.builds(
    Span.Link,
    trace_id=identifiers(16),
    span_id=identifiers(8),
    trace_state=texts,
    attributes=attributes,
    dropped_attributes_count=counts,
    flags=counts,
)
spans = st.builds(
    lambda extra, code, message, has_status, **fields: _with_unknown(
        Span(**fields, **({"status": {"code": code, "message": message}} if has_status else {})),
        extra,
    ),
    st.booleans(),
    st.integers(0, 4),
    texts,
    st.booleans(),
    trace_id=identifiers(16),
    span_id=identifiers(8),
    parent_span_id=st.one_of(st.just(b""), identifiers(8)),
    name=texts,
    kind=st.one_of(st.integers(0, 6), st.sampled_from([99, -1])),
    start_time_unix_nano=st.one_of(times, times, st.just(2**63)),
    end_time_unix_nano=times,
    attributes=attributes,
    events=st.lists(events, max_size=3),
    links=st.lists(links, max_size=2),
    dropped_attributes_count=counts,
    trace_state=texts,
    flags=counts,
)
scopes = st.fixed_dictionaries({}, optional={"name": texts, "version": texts})
resource_keys = st.sampled_from(
    [
        "service.name",
        "service.version",
        "deployment.environment.name",
        "deployment.environment",
        "x",
    ]
)
resources = st.lists(
    st.builds(lambda key, value: KeyValue(key=key, value=value), resource_keys, values), max_size=5
)


@st.composite
def trace_requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    """A whole request; resources and scopes may be absent."""
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource_spans = request.resource_spans.add(schema_url="https://example.org/schema")
        if draw(st.booleans()):
            resource_spans.resource.attributes.extend(draw(resources))
        for _ in range(draw(st.integers(0, 2))):
            scope_spans = resource_spans.scope_spans.add()
            if draw(st.booleans()):
                for name, value in draw(scopes).items():
                    setattr(scope_spans.scope, name, value)
            scope_spans.spans.extend(draw(st.lists(spans, max_size=3)))
    return _with_unknown(request, draw(st.booleans()))


records = st.builds(
    LogRecord,
    time_unix_nano=st.one_of(times, st.just(2**64 - 1)),
    observed_time_unix_nano=times,
    severity_number=st.integers(0, 25),
    severity_text=texts,
    body=values,
    attributes=st.lists(
        st.one_of(
            pairs,
            st.builds(
                lambda key, name: KeyValue(key=key, value=AnyValue(string_value=name)),
                st.sampled_from(["event.name", "event_name"]),
                st.sampled_from(["gen_ai.choice", "other", ""]),
            ),
        ),
        max_size=4,
    ),
    trace_id=identifiers(16),
    span_id=identifiers(8),
    event_name=st.sampled_from(["", "gen_ai.evaluation.result", "gen_ai.user.message", "http"]),
)


@st.composite
def log_requests(draw: st.DrawFn) -> ExportLogsServiceRequest:
    """A whole logs request."""
    request = ExportLogsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource_logs = request.resource_logs.add()
        resource_logs.resource.attributes.extend(draw(resources))
        scope_logs = resource_logs.scope_logs.add()
        scope_logs.scope.name = draw(texts)
        scope_logs.log_records.extend(draw(st.lists(records, max_size=4)))
    return request
