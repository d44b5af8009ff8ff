"""OTLP as its specification has it, end to end: what is sent on each way in, and what is stored.

The numbers of the rows (J1, D4, …) are those of the project's compliance checklist.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from acceptance_harness import JSON, LOGS, PROTOBUF, post, trace_id
from builders import a_request, a_span, attribute
from harness import EXPORT, Daemon

NOW_NS = time.time_ns()
ENCODED = [PROTOBUF, JSON]


def otlp_json(request: Any) -> dict[str, Any]:
    """OTLP/JSON of a request: protobuf's JSON with integer enums, then hex instead of base64."""
    body: dict[str, Any] = json.loads(
        json_format.MessageToJson(request, use_integers_for_enums=True)
    )

    def hexadecimal(value: Any) -> None:
        if isinstance(value, dict):
            for key in ("traceId", "spanId", "parentSpanId"):
                if key in value:
                    value[key] = base64.b64decode(value[key]).hex()
            for item in value.values():
                hexadecimal(item)
        elif isinstance(value, list):
            for item in value:
                hexadecimal(item)

    hexadecimal(body)
    return body


def rich_request(seed: str) -> ExportTraceServiceRequest:
    """Every kind of value at least once; the ids depend on `seed` only."""
    span = a_span(
        7, start_ns=NOW_NS, trace_id=trace_id(seed), evaluations=[("faithfulness", 0.5, "pass")]
    )
    span.parent_span_id = b"\1" * 8
    span.flags = 0xFFFF_FFFF
    span.trace_state = "vendor=1"
    span.dropped_attributes_count = 3
    for key, value in {
        "a.text": 'grüße 😀 "quoted" \\ \x00 end',
        "a.true": True,
        "a.big": 2**62 + 1,
        "a.negative": -5,
        "a.double": 0.1,
        "a.nan": math.nan,
        "a.infinity": -math.inf,
        "a.bytes": b"\x00\xff\x10",
        "a.list": ["x", 1, 2.5, False],
        "a.empty": "",
    }.items():
        span.attributes.append(attribute(key, value))
    nested = KeyValue(key="a.map")
    nested.value.kvlist_value.values.append(attribute("inner", ["deep"]))
    span.attributes.append(nested)
    span.attributes.append(KeyValue(key="a.none"))
    span.links.add(trace_id=b"\2" * 16, span_id=b"\3" * 8).attributes.append(attribute("why", 1))
    return a_request([span])


def stored(daemon: Daemon, seed: str) -> list[dict[str, Any]]:
    found = daemon.sql(f"from spans where trace_id = '{trace_id(seed).hex()}' order by span_id")
    for row in found:
        del row["seq"], row["received_at"], row["trace_id"]
    return found


def one_span(seed: str, **fields: Any) -> dict[str, Any]:
    """An OTLP/JSON request with one span, whose fields may be replaced."""
    span = {
        "traceId": trace_id(seed).hex(),
        "spanId": "00f067aa0ba902b7",
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(NOW_NS),
        "endTimeUnixNano": str(NOW_NS + 5),
    } | fields
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def post_json(daemon: Daemon, body: Any) -> Any:
    answer = post(daemon, json.dumps(body).encode(), JSON)
    assert answer.headers["content-type"] == JSON
    return answer


def test_every_way_in_stores_the_same_row(daemon: Daemon) -> None:
    """J9, T1, T8: gRPC, HTTP protobuf and JSON, plain and gzip."""
    daemon.export(rich_request("grpc"))
    with daemon.channel() as channel:
        body = rich_request("grpc gzip").SerializeToString()
        channel.unary_unary(EXPORT)(body, timeout=20, compression=grpc.Compression.Gzip)
    for seed, media_type in (("http", PROTOBUF), ("json", JSON)):
        for encoding in ("", "gzip"):
            request = rich_request(seed + encoding)
            content = (
                request.SerializeToString()
                if media_type == PROTOBUF
                else json.dumps(otlp_json(request)).encode()
            )
            headers = {"content_encoding": encoding} if encoding else {}
            content = gzip.compress(content) if encoding else content
            answer = post(daemon, content, media_type, **headers)
            assert answer.status_code == 200
            assert answer.content == (b"" if media_type == PROTOBUF else b"{}")
    (expected,) = stored(daemon, "grpc")
    for seed in ("grpc gzip", "http", "httpgzip", "json", "jsongzip"):
        assert stored(daemon, seed) == [expected], seed


def test_values_keep_their_types(daemon: Daemon) -> None:
    """D3, D5, J6: all flag bits, and every kind of value as the table's comment says."""
    daemon.export(rich_request("types"))
    (row,) = stored(daemon, "types")
    assert row["flags"] == 0xFFFF_FFFF
    assert row["parent_span_id"] == "01" * 8
    assert row["trace_state"] == "vendor=1"
    assert row["dropped_attributes_count"] == 3
    assert json.loads(row["attributes"]) == {
        "a.text": 'grüße 😀 "quoted" \\ \x00 end',
        "a.true": True,
        "a.big": 2**62 + 1,
        "a.negative": -5,
        "a.double": 0.1,
        "a.nan": {"doubleValue": "NaN"},
        "a.infinity": {"doubleValue": "-Infinity"},
        "a.bytes": {"bytesValue": "AP8Q"},
        "a.list": ["x", 1, 2.5, False],
        "a.empty": "",
        "a.map": {"inner": ["deep"]},
        "a.none": None,
    }
    (link,) = json.loads(row["links"])
    assert (link["trace_id"], link["span_id"]) == ("02" * 16, "03" * 8)
    assert link["attributes"] == {"why": 1}
    (event,) = json.loads(row["events"])
    assert event["name"] == "gen_ai.evaluation.result"


@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title])
def test_ids_are_hexadecimal_in_either_case(daemon: Daemon, spell: Any) -> None:
    """J1."""
    seed = f"case {spell}"
    answer = post_json(
        daemon,
        one_span(seed, traceId=spell(trace_id(seed).hex()), spanId=spell("00f067aa0ba902b7")),
    )
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert daemon.sql(f"select span_id from spans where trace_id = '{trace_id(seed).hex()}'") == [
        {"span_id": "00f067aa0ba902b7"}
    ]


@pytest.mark.parametrize("bad", ["0" * 32, "ab" * 15, "ab" * 17, "xy" * 16, ""])
def test_a_span_with_a_bad_id_is_rejected_and_not_the_request(daemon: Daemon, bad: str) -> None:
    """J1, D1."""
    request = one_span(f"good beside {bad}")
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append(spans[0] | {"traceId": bad})
    answer = post_json(daemon, request)
    assert answer.status_code == 200
    assert int(answer.json()["partialSuccess"]["rejectedSpans"]) == 1
    assert answer.json()["partialSuccess"]["errorMessage"]
    assert len(stored(daemon, f"good beside {bad}")) == 1


def test_unknown_fields_and_snake_case_are_ignored(daemon: Daemon) -> None:
    """J3, J4, J7: unknown names at every level; null is absent; snake_case is an unknown name."""
    request = one_span(
        "unknown",
        futureField={"x": [1]},
        parentSpanId=None,
        trace_state="not honoured",
        attributes=[
            {"key": "k", "value": {"stringValue": "v", "future": 1}, "extra": True},
            {"key": "only.future", "value": {"futureValue": 1}},
        ],
    )
    request["new"] = 1
    request["resourceSpans"][0] |= {"new": 1, "resource": {"new": 1, "attributes": []}}
    request["resourceSpans"][0]["scopeSpans"][0] |= {"new": 1, "scope": {"name": "s", "new": 1}}
    assert post_json(daemon, request).status_code == 200
    (row,) = stored(daemon, "unknown")
    assert row["trace_state"] is None
    assert row["parent_span_id"] is None
    assert json.loads(row["attributes"]) == {"k": "v", "only.future": None}


def test_unknown_binary_fields_are_ignored(daemon: Daemon) -> None:
    """D11: field 1000, length-delimited, at the end of the request."""
    body = rich_request("unknown binary").SerializeToString() + b"\xc2\x3e\x03new"
    assert daemon.export(body) == b""
    assert len(stored(daemon, "unknown binary")) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"1544712660000000000"', 1544712660000000000),
        ("1544712660000000000", 1544712660000000000),
        ('"-7"', -7),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("1e3", 1000),
    ],
)
def test_integers_are_strings_or_numbers(daemon: Daemon, text: str, value: int) -> None:
    """J5."""
    seed = f"integer {text}"
    request = one_span(seed, attributes=[{"key": "n", "value": {"intValue": "INTEGER"}}])
    body = json.dumps(request).replace('"INTEGER"', text).encode()
    assert post(daemon, body, JSON).status_code == 200
    (row,) = stored(daemon, seed)
    assert json.loads(row["attributes"]) == {"n": value}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe{\x00}\x00",
        b'{"resourceSpans": {}}',
        json.dumps(one_span("x", kind="SPAN_KIND_OF_ITS_OWN")).encode(),
        json.dumps(one_span("x", startTimeUnixNano="soon")).encode(),
        json.dumps(one_span("x", startTimeUnixNano=1.5)).encode(),
        json.dumps(one_span("x", name=5)).encode(),
        b'{"resourceSpans": [' * 2000,
        b'{"resourceSpans":' + b"[" * 2000 + b"]" * 2000 + b"}",
        json.dumps(
            one_span(
                "x",
                attributes=[
                    {
                        "key": "deep",
                        "value": json.loads('{"arrayValue":{"values":[' * 200 + "]}}" * 200),
                    }
                ],
            )
        ).encode(),
    ],
    ids=range(12),
)
def test_json_that_is_wrong_is_400(daemon: Daemon, body: bytes) -> None:
    """J2, J5, J7, J8, H4: never 500, and the Status is JSON."""
    answer = post(daemon, body, JSON)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == JSON
    status = json_format.Parse(answer.content, Status())
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message


@pytest.mark.parametrize("media_type", ["grpc", *ENCODED])
def test_three_good_and_two_bad(daemon: Daemon, media_type: str) -> None:
    """G3, D1: the bad ones are answered, counted and kept in the quarantine."""
    seed = f"partial {media_type}"
    spans = [a_span(f"{seed} {i}", start_ns=NOW_NS, trace_id=trace_id(seed)) for i in range(5)]  # type: ignore[arg-type]
    spans[1].span_id = b"\0" * 8
    spans[3].trace_id = b"\7" * 15
    counter = 'retraind_receiver_rejected_spans_total{reason="invalid_%s_id"}'
    before = daemon.metrics()
    marker = "select count(*) as n from quarantine where reason in %s"
    quarantined = marker % "('invalid_span_id', 'invalid_trace_id')"
    n = daemon.sql(quarantined)[0]["n"]
    request = a_request(spans)
    if media_type == "grpc":
        response = ExportTraceServiceResponse.FromString(daemon.export(request))
    elif media_type == PROTOBUF:
        answer = post(daemon, request.SerializeToString())
        assert answer.status_code == 200
        response = ExportTraceServiceResponse.FromString(answer.content)
    else:
        answer = post(daemon, json.dumps(otlp_json(request)).encode(), JSON)
        assert answer.status_code == 200
        response = json_format.Parse(answer.content, ExportTraceServiceResponse())
    assert response.partial_success.rejected_spans == 2
    assert "invalid_span_id" in response.partial_success.error_message
    assert "invalid_trace_id" in response.partial_success.error_message
    assert len(stored(daemon, seed)) == 3
    assert daemon.sql(quarantined)[0]["n"] == n + 2
    after = daemon.metrics()
    for kind in ("span", "trace"):
        assert after[counter % kind] == before.get(counter % kind, 0) + 1


def test_the_last_of_duplicate_keys_wins_and_is_counted(daemon: Daemon) -> None:
    """D4."""
    before = daemon.metrics()["retraind_receiver_duplicate_attributes_total"]
    span = a_span(5, start_ns=NOW_NS, trace_id=trace_id("duplicate keys"))
    for value in ("first", "second"):
        span.attributes.append(attribute("app.key", value))
    span.attributes.append(attribute("gen_ai.request.model", "gpt-5"))
    daemon.export(a_request([span]))
    (row,) = stored(daemon, "duplicate keys")
    assert json.loads(row["attributes"]) == {"app.key": "second"}
    assert row["request_model"] == "gpt-5"
    assert daemon.metrics()["retraind_receiver_duplicate_attributes_total"] == before + 2


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_invalid_utf8_is_repaired_and_counted(daemon: Daemon, transport: str) -> None:
    """D10: SDKs do send it. The neighbour in the same request is left as it was."""
    counter = "retraind_receiver_repaired_strings_total"
    before = daemon.metrics()[counter]
    seed = f"utf8 {transport}"
    broken = a_span(1, start_ns=NOW_NS, trace_id=trace_id(seed), attributes={"k": "caf#"})
    good = a_span(2, start_ns=NOW_NS, trace_id=trace_id(seed), attributes={"k": "café"})
    body = a_request([broken, good]).SerializeToString().replace(b"caf#", b"caf\xe9")
    if transport == "grpc":
        assert daemon.export(body) == b""
    else:
        assert post(daemon, body).status_code == 200
    values = {json.loads(row["attributes"])["k"] for row in stored(daemon, seed)}
    assert values == {"caf\N{REPLACEMENT CHARACTER}", "café"}
    assert daemon.metrics()[counter] == before + 1


def test_times_out_of_range(daemon: Daemon) -> None:
    """D9: after 2262 the span is rejected; zero is unknown; an end before the start is kept."""
    spans = [
        a_span(1, start_ns=2**63 + 5, duration_ns=1, trace_id=trace_id("times")),
        a_span(2, start_ns=0, duration_ns=0, trace_id=trace_id("times")),
        a_span(3, start_ns=NOW_NS, duration_ns=-1000, trace_id=trace_id("times")),
    ]
    response = ExportTraceServiceResponse.FromString(daemon.export(a_request(spans)))
    assert response.partial_success.rejected_spans == 1
    assert "timestamp" in response.partial_success.error_message
    durations = [(row["start_time"], row["duration_ns"]) for row in stored(daemon, "times")]
    assert sorted(durations, key=str)[1] == (None, None)
    assert {duration for _, duration in durations} == {None, -1000}


def test_a_span_that_says_nothing(daemon: Daemon) -> None:
    """D7: unset status, unspecified kind, no name."""
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [
        {"traceId": trace_id("bare").hex(), "spanId": "0000000000000001", "kind": 99},
    ]}]}]}  # fmt: skip
    assert post_json(daemon, body).status_code == 200
    (row,) = stored(daemon, "bare")
    assert (row["status"], row["kind"]) == ("unset", "99")
    assert row["name"] in (None, "")


@pytest.mark.parametrize("body", [b"", b"\x0a\x00", b"\xc2\x3e\x03new"])
def test_an_empty_request_succeeds(daemon: Daemon, body: bytes) -> None:
    """G1, G2, H1."""
    assert daemon.export(body) == b""
    for path in ("/v1/traces", "/v1/logs"):
        answer = post(daemon, body, path=path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == PROTOBUF
        answer = post(daemon, b"{}", JSON, path=path)
        assert (answer.status_code, answer.content) == (200, b"{}")


@pytest.mark.parametrize("media_type", ENCODED)
def test_every_error_is_a_status_in_the_requests_encoding(daemon: Daemon, media_type: str) -> None:
    """H2, H3, H4, H8, T6, T10."""
    oversized = b"\0" * (64 * 2**20 + 1)
    bomb = gzip.compress(oversized)
    answers = {
        404: post(daemon, b"", media_type, path="/v1/profiles"),
        400: post(daemon, b"\x0a\xff", media_type, content_encoding="gzip"),
        415: post(daemon, b"", media_type, content_encoding="snappy"),
        413: post(daemon, bomb, media_type, content_encoding="gzip"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["content-type"] == media_type
        parsed = (
            Status.FromString(answer.content)
            if media_type == PROTOBUF
            else json_format.Parse(answer.content, Status())
        )
        assert parsed.message
        assert not any(
            detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in parsed.details
        ), "the answer is final"


def test_media_types_are_parsed(daemon: Daemon) -> None:
    """H2, H8."""
    body = json.dumps(one_span("charset")).encode()
    answer = post(daemon, body, "Application/JSON; charset=utf-8")
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    answer = post(daemon, body, "text/plain")
    assert answer.status_code == 415
    assert Status.FromString(answer.content).message


@pytest.mark.parametrize(
    "method",
    [
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
    ],
)
def test_other_signals_are_unimplemented(daemon: Daemon, method: str) -> None:
    """G11."""
    with daemon.channel() as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(method)(ExportMetricsServiceRequest().SerializeToString(), timeout=10)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert post(daemon, b"", path="/v1/metrics").status_code == 404


# Logs


def logs_request(seed: str) -> ExportLogsServiceRequest:
    """Three gen_ai events in the three places of an event name, one with a bad id; two others."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.append(attribute("service.name", seed))
    records = resource_logs.scope_logs.add().log_records
    first = records.add(
        event_name="gen_ai.evaluation.result",
        time_unix_nano=NOW_NS,
        trace_id=trace_id(seed),
        span_id=b"\1" * 8,
        severity_number=9,  # type: ignore[arg-type]
        flags=0xFFFF_FFFF,
    )
    first.body.kvlist_value.values.append(attribute("a", 1))
    first.attributes.append(attribute("gen_ai.evaluation.name", "tone"))
    second = records.add(observed_time_unix_nano=NOW_NS + 7, trace_id=b"\1" * 3)
    second.attributes.append(attribute("event.name", "gen_ai.user.message"))
    second.body.string_value = "hello"
    third = records.add()
    third.attributes.append(attribute("event_name", "gen_ai.choice"))
    records.add(event_name="http.request").body.string_value = "other"
    records.add().body.string_value = "plain text"
    return request


@pytest.mark.parametrize("way", ["grpc", *ENCODED])
def test_gen_ai_events_are_kept_and_other_records_counted(daemon: Daemon, way: str) -> None:
    """D2, D8: bad ids and missing times do not cost the record."""
    seed = f"logs {way}"
    request = logs_request(seed)
    before = daemon.metrics()
    if way == "grpc":
        with daemon.channel() as channel:
            answer = channel.unary_unary(LOGS)(request.SerializeToString(), timeout=20)
        assert answer == b""
    elif way == PROTOBUF:
        assert post(daemon, request.SerializeToString(), path="/v1/logs").content == b""
    else:
        body = json.dumps(otlp_json(request)).encode()
        assert post(daemon, body, JSON, path="/v1/logs").content == b"{}"
    found = daemon.sql(f"from logs where service_name = '{seed}' order by event_name")
    assert [row["event_name"] for row in found] == [
        "gen_ai.choice",
        "gen_ai.evaluation.result",
        "gen_ai.user.message",
    ]
    choice, result, message = found
    assert (choice["time"], choice["trace_id"]) == (None, None)
    assert (result["trace_id"], result["span_id"]) == (trace_id(seed).hex(), "01" * 8)
    assert result["severity_number"] == 9
    assert json.loads(result["attributes"]) == {"gen_ai.evaluation.name": "tone"}
    assert (message["trace_id"], json.loads(message["body"])) == (None, "hello")
    assert message["time"] is not None, "the observed time"
    after = daemon.metrics()
    for name, n in (("accepted", 3), ("dropped", 2)):
        counter = f"retraind_receiver_{name}_log_records_total"
        assert after[counter] == before[counter] + n


def test_a_log_record_that_cannot_be_stored_is_answered_and_kept(daemon: Daemon) -> None:
    """G3 for logs: a nested value that is not OTLP costs its own record only."""
    request = logs_request("broken log")
    record = request.resource_logs[0].scope_logs[0].log_records.add(event_name="gen_ai.choice")
    nested = KeyValue(key="a.map")
    nested.value.kvlist_value.values.append(attribute("MARK", "x"))
    record.attributes.append(nested)
    # The key of the inner pair claims to be longer than what holds it.
    body = request.SerializeToString().replace(b"\x0a\x04MARK", b"\x0a\x7fMARK")
    with daemon.channel() as channel:
        raw = channel.unary_unary(LOGS)(body, timeout=20)
    response = ExportLogsServiceResponse.FromString(raw)
    assert response.partial_success.rejected_log_records == 1
    assert "encoding" in response.partial_success.error_message
    assert len(daemon.sql("from logs where service_name = 'broken log'")) == 3
    assert daemon.sql("select reason from quarantine where signal = 'logs'") == [
        {"reason": "encoding"}
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that takes requests of at most 64 KiB."""
    folder: Path = tmp_path_factory.mktemp("small") / "data"
    limits = {"request_bytes": "64KiB", "attributes_per_span": 20}
    with Daemon(folder, {"receivers": {"limits": limits}}) as running:
        yield running


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_size_limit_counts_after_decompression(
    small: Daemon, compression: grpc.Compression
) -> None:
    """T2, T4, T5, T6: over the limit is final, also for a body that compresses well."""
    span = a_span(1, start_ns=NOW_NS, attributes={"pad": "x" * 70_000})
    body = a_request([span]).SerializeToString()
    with small.channel() as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(EXPORT)(body, timeout=20, compression=compression)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(error.value.trailing_metadata())
    assert post(small, body).status_code == 413
    assert post(small, gzip.compress(body), content_encoding="gzip").status_code == 413
    fitting = a_request([a_span(1, start_ns=NOW_NS, attributes={"pad": "x" * 50_000})])
    assert small.export(fitting) == b""


def test_too_many_attributes_reject_the_span(small: Daemon) -> None:
    many: dict[str, object] = {f"app.{i}": i for i in range(30)}
    spans = [a_span(1, start_ns=NOW_NS, attributes=many), a_span(2, start_ns=NOW_NS)]
    response = ExportTraceServiceResponse.FromString(small.export(a_request(spans)))
    assert response.partial_success.rejected_spans == 1
    assert "attribute_limit" in response.partial_success.error_message
