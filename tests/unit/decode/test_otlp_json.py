"""OTLP/JSON: what the specification allows, and what real senders make of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from retraind.decode import decode_traces, logs_from_json, traces_from_json
from retraind.errors import InvalidPayload
from retraind.normalise import normalise_traces

GOLDEN = """{
  "resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
    "scopeSpans": [{
      "scope": {"name": "my.library", "version": "1.0.0",
                "attributes": [{"key": "a", "value": {"stringValue": "b"}}]},
      "spans": [{
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "EEE19B7EC3C1B173", "name": "chat", "kind": 3, "flags": 257,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
        "attributes": [
          {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
          {"key": "tokens", "value": {"intValue": "600"}},
          {"key": "list", "value":
            {"arrayValue": {"values": [{"doubleValue": 2}, {}]}}},
          {"key": "map", "value":
            {"kvlistValue": {"values": [{"key": "x", "value": {"boolValue": true}}]}}}
        ],
        "events": [
          {"timeUnixNano": "1544712660500000000", "name": "e", "droppedAttributesCount": 1}],
        "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}],
        "status": {"code": 2, "message": "no"}, "droppedAttributesCount": 3, "traceState": "a=b"
      }]
    }]
  }]
}"""


def spans_of(body: str | bytes) -> Any:
    raw = body.encode() if isinstance(body, str) else body
    return ExportTraceServiceRequest.FromString(traces_from_json(raw)).resource_spans


def span_with(**fields: Any) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]})


def only(body: str) -> Any:
    return spans_of(body)[0].scope_spans[0].spans[0]


def value(**fields: Any) -> Any:
    return only(span_with(attributes=[{"key": "k", "value": fields}])).attributes[0].value


def test_a_whole_request() -> None:
    (group,) = spans_of(GOLDEN)
    (span,) = group.scope_spans[0].spans
    assert group.resource.attributes[0].value.string_value == "my.service"
    assert group.scope_spans[0].scope.version == "1.0.0"
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert span.start_time_unix_nano == 1544712660000000000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 10**9
    assert (span.kind, span.flags, span.status.code, span.trace_state) == (3, 257, 2, "a=b")
    assert span.attributes[1].value.int_value == 600
    assert span.attributes[2].value.array_value.values[0].double_value == 2.0
    assert span.attributes[2].value.array_value.values[1].WhichOneof("value") is None
    assert span.attributes[3].value.kvlist_value.values[0].value.bool_value is True
    assert span.events[0].dropped_attributes_count == 1
    assert span.links[0].span_id.hex() == "eee19b7ec3c1b174"


def test_a_logs_request() -> None:
    body = {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "timeUnixNano": "5", "severityNumber": 9, "eventName": "gen_ai.x",
                                "body": {"kvlistValue": {"values": []}}, "traceId": "AB" * 16,
                            }
                        ]
                    }
                ]
            }
        ]
    }  # fmt: skip
    request = ExportLogsServiceRequest.FromString(logs_from_json(json.dumps(body).encode()))
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    assert (record.event_name, record.severity_number) == ("gen_ai.x", 9)
    assert record.body.HasField("kvlist_value")
    assert record.trace_id == b"\xab" * 16


@pytest.mark.parametrize("raw", [b"\xfb\xff\xfe\x00", b"a", b"ab", b"abc", b""])
def test_bytes_are_base64_of_either_alphabet_padded_or_not(raw: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(raw).decode()
        assert value(bytesValue=text).bytes_value == raw
        assert value(bytesValue=text.rstrip("=")).bytes_value == raw


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("-9223372036854775808", -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (1e18, 10**18),
        ("0", 0),
        (5.0, 5),
    ],
)
def test_64_bit_integers_are_strings_or_numbers(sent: Any, number: int) -> None:
    assert value(intValue=sent).int_value == number


@pytest.mark.parametrize("sent", ["+5", "1.5", 1.5, 2**63, str(-(2**63) - 1), True, "", [], "٣"])
def test_other_integers_are_refused(sent: Any) -> None:
    with pytest.raises(InvalidPayload):
        value(intValue=sent)


def test_doubles_may_be_special_or_text() -> None:
    assert str(value(doubleValue="NaN").double_value) == "nan"
    assert value(doubleValue="-Infinity").double_value == float("-inf")
    assert value(doubleValue="1.5e3").double_value == 1500.0
    assert value(doubleValue=3).double_value == 3.0
    for wrong in ("nan", "inf", "1_0", True, None.__class__.__name__):
        with pytest.raises(InvalidPayload):
            value(doubleValue=wrong)


def test_enum_names_are_tolerated_and_unknown_numbers_kept() -> None:
    assert only(span_with(kind="SPAN_KIND_SERVER")).kind == 2
    assert only(span_with(kind=99)).kind == 99
    for wrong in ("SPAN_KIND_NONSENSE", 2**31, 1.5, []):
        with pytest.raises(InvalidPayload):
            only(span_with(kind=wrong))


def test_unknown_and_snake_case_keys_are_ignored_at_every_level() -> None:
    found = only(
        span_with(
            start_time_unix_nano="5", traceid="ab", whatever={"deep": [1]}, name="n",
            attributes=[{"key": "k", "nonsense": 1, "value": {"someValue": 4}}],
            events=[{"name": "e", "x": None}],
        )
    )  # fmt: skip
    assert (found.start_time_unix_nano, found.trace_id, found.name) == (0, b"", "n")
    assert found.attributes[0].value.WhichOneof("value") is None


def test_null_is_absent() -> None:
    found = only(span_with(name=None, attributes=None, status=None, kind=None, events=[]))
    assert found.SerializeToString() == b""
    assert value(stringValue=None).WhichOneof("value") is None


def test_a_byte_order_mark_is_skipped() -> None:
    assert len(spans_of(b"\xef\xbb\xbf" + GOLDEN.encode())) == 1


@pytest.mark.parametrize(
    "trace_id",
    ["5b8efff798038103d269b633813fc6", "a" * 31, "a" * 33, "g" * 32, "z" * 16, "ab " * 16, ""],
)
def test_a_bad_id_costs_its_span_only(trace_id: str) -> None:
    good = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "good"}
    spans = [good, good | {"traceId": trace_id}, good]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    result = normalise_traces(decode_traces([traces_from_json(body)]), attribute_limit=9)
    assert result.spans.column("name").to_pylist() == ["good", "good"]
    assert result.rejected.column("reason").to_pylist() == ["invalid_trace_id"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"5", b"null", b"{", GOLDEN.encode("utf-16"), b'{"resourceSpans": {}}',
        b'{"resourceSpans": [1]}', span_with(name="\ud800").encode(), b'{"resourceSpans": "\xff"}',
        span_with(name=5).encode(), span_with(attributes=[{"key": "k", "value": "v"}]).encode(),
        span_with(attributes=[{"key": "k", "value": {"bytesValue": "*"}}]).encode(),
        span_with(traceId=5).encode(), span_with(flags=-1).encode(),
        span_with(startTimeUnixNano=str(2**64)).encode(),
    ],
)  # fmt: skip
def test_what_is_not_otlp_json_is_an_invalid_payload(body: bytes) -> None:
    with pytest.raises(InvalidPayload):
        traces_from_json(body)


@pytest.mark.parametrize("depth", [100, 400, 2000, 100_000])
def test_deep_nesting_is_an_invalid_payload(depth: int) -> None:
    inner = '{"arrayValue":{"values":[' * depth + "{}" + "]}}" * depth
    attributes = '[{"key":"k","value":' + inner + "}]"
    body = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":' + attributes + "}]}]}]}"
    with pytest.raises(InvalidPayload):
        traces_from_json(body.encode())
