"""OTLP/HTTP answers, row by row of the OTLP specification (row ids of the compliance checklist)."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from receiver_harness import Receiver, span_request
from retraind.config.settings import ReceiverLimits
from retraind.errors import InvalidPayload, Refused, StoreFatal, StoreUnavailable
from retraind.model import ExportResult

MIB = 2**20
LIMITS = ReceiverLimits(request_bytes=MIB, in_flight_bytes=8 * MIB, queue_wait=0.5)
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def failure(self) -> status_pb2.Status:
        """The google.rpc.Status in the body, by its media type."""
        if self.headers["content-type"] == JSON:
            return json_format.Parse(self.body, status_pb2.Status())
        assert self.headers["content-type"] == PROTOBUF
        return status_pb2.Status.FromString(self.body)


@pytest.fixture(scope="module")
def running() -> Iterator[Receiver]:
    with Receiver(limits=LIMITS) as receiver:
        yield receiver


@pytest.fixture
def receiver(running: Receiver) -> Receiver:
    running.reset()
    return running


def send(
    receiver: Receiver,
    body: bytes | Iterator[bytes] | None = b"",
    media_type: str | None = PROTOBUF,
    *,
    path: str = "/v1/traces",
    method: str = "POST",
    **headers: str,
) -> Answer:
    connection = HTTPConnection("127.0.0.1", receiver.http_port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if media_type is not None:
        named["content-type"] = media_type
    try:
        connection.request(method, path, body, named, encode_chunked=not isinstance(body, bytes))
        response = connection.getresponse()
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


def outcomes(receiver: Receiver, outcome: str, signal: str = "traces") -> float:
    return receiver.counter(
        "receiver_requests_total", transport="http", signal=signal, outcome=outcome
    )


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
@pytest.mark.parametrize(("media_type", "empty"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_success(receiver: Receiver, path: str, media_type: str, empty: bytes) -> None:
    """H1, H2, G1, T8, T10: exactly 200, an empty message, the request's media type."""
    answer = send(receiver, b"{}" if media_type == JSON else b"", media_type, path=path)
    assert (answer.status, answer.body) == (200, empty)
    assert answer.headers["content-type"] == media_type
    assert receiver.intake.calls[0].encoding == ("json" if media_type == JSON else "protobuf")
    assert receiver.intake.calls[0].signal == path.rpartition("/")[2]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("media_type", "plain"),
    [
        ("application/json; charset=utf-8", JSON),
        ("Application/JSON;charset=UTF-8", JSON),
        (" application/x-protobuf ; v=1", PROTOBUF),
    ],
)
def test_media_types_with_parameters(receiver: Receiver, media_type: str, plain: str) -> None:
    """H2: the media type is parsed, not compared as text."""
    answer = send(receiver, b"{}" if plain == JSON else b"", media_type)
    assert answer.status == 200
    assert answer.headers["content-type"] == plain


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_content_encodings(receiver: Receiver, media_type: str, encoding: str) -> None:
    """T1: the intake sees the same bytes, compressed or not."""
    body = span_request(20, padding=100) if media_type == PROTOBUF else b'{"resourceSpans":[]}'
    wire = gzip.compress(body) if encoding == "gzip" else body
    assert send(receiver, wire, media_type, content_encoding=encoding).status == 200
    assert receiver.intake.calls[0].body == body


def test_gzip_of_several_members(receiver: Receiver) -> None:
    """RFC 1952: a gzip file is a series of members."""
    body = span_request(20)
    wire = gzip.compress(body[:100]) + gzip.compress(body[100:])
    assert send(receiver, wire, content_encoding="gzip").status == 200
    assert receiver.intake.calls[0].body == body


def test_an_empty_request_succeeds(receiver: Receiver) -> None:
    """G2, D12."""
    body = ExportTraceServiceRequest(resource_spans=[{}]).SerializeToString()
    assert send(receiver, body).status == 200
    assert send(receiver, b"").status == 200


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
def test_partial_acceptance(receiver: Receiver, media_type: str) -> None:
    """G3, G4, H2: the same message in either encoding, with 200."""
    receiver.intake.answer = ExportResult(accepted=3, rejected=2, message="invalid span_id: 2")
    answer = send(receiver, b"{}", media_type)
    assert answer.status == 200
    if media_type == JSON:
        assert json.loads(answer.body) == {
            "partialSuccess": {"rejectedSpans": "2", "errorMessage": "invalid span_id: 2"}
        }
    else:
        response = ExportTraceServiceResponse.FromString(answer.body)
        assert response.partial_success.rejected_spans == 2
        assert response.partial_success.error_message == "invalid span_id: 2"


def test_partial_acceptance_of_logs(receiver: Receiver) -> None:
    """G3, G5 for logs: a warning with nothing rejected."""
    receiver.intake.answer = ExportResult(accepted=1, message="not gen_ai events: dropped")
    body = ExportLogsServiceRequest().SerializeToString()
    answer = send(receiver, body, path="/v1/logs")
    response = ExportLogsServiceResponse.FromString(answer.body)
    assert response.HasField("partial_success")
    assert response.partial_success.rejected_log_records == 0


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_size_limit(receiver: Receiver, chunked: bool, compressed: bool) -> None:
    """T5, T6: the limit itself is taken; one byte more is 413, with or without Content-Length."""
    exact = span_request(padding=2 * MIB - len(span_request(padding=MIB)))
    assert len(exact) == MIB

    def post(body: bytes) -> Answer:
        wire = gzip.compress(body, 1) if compressed else body
        content = iter([wire[:70_000], wire[70_000:]]) if chunked else wire
        encoding = "gzip" if compressed else "identity"
        return send(receiver, content, content_encoding=encoding)

    assert post(exact).status == 200
    assert receiver.intake.calls[0].body == exact
    answer = post(exact + b"\x00")
    assert answer.status == 413
    assert answer.failure().code == code_pb2.RESOURCE_EXHAUSTED
    assert not answer.failure().details
    assert "retry-after" not in answer.headers
    assert outcomes(receiver, "too_large") == 1
    assert receiver.counter("receiver_in_flight_bytes") == 0


def test_a_bomb_is_stopped(receiver: Receiver) -> None:
    """T5, T6: 300 MiB of zeros in 300 KB."""
    answer = send(receiver, gzip.compress(bytes(300 * MIB), 6), content_encoding="gzip")
    assert answer.status == 413
    assert receiver.intake.calls == []


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"\x1f\x8bnot gzip at all", "gzip"),
        (b"plain", "gzip"),
        (b"", "gzip"),
        (gzip.compress(b"x" * 5000)[:-4], "gzip"),
        (gzip.compress(b"x") + b"tail", "gzip"),
        (gzip.compress(b"") * 65, "gzip"),
    ],
    ids=["not gzip", "plain", "empty", "cut off", "trailing bytes", "many members"],
)
def test_broken_gzip(receiver: Receiver, media_type: str, body: bytes, encoding: str) -> None:
    """H4, H3: 400 with BadRequest in the request's encoding."""
    answer = send(receiver, body, media_type, content_encoding=encoding)
    assert answer.status == 400
    assert answer.headers["content-type"] == media_type
    assert answer.failure().code == code_pb2.INVALID_ARGUMENT
    assert answer.failure().details[0].Is(error_details_pb2.BadRequest.DESCRIPTOR)
    assert outcomes(receiver, "invalid") == 1


def test_malformed_protobuf(receiver: Receiver) -> None:
    """H4: every truncation of a request that the official parser refuses is 400, none is 500."""
    body = span_request(2)
    statuses = {send(receiver, body[:end]).status for end in range(1, len(body), 7)}
    assert statuses <= {200, 400}
    assert 400 in statuses


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("failure", "status", "code", "retry"),
    [
        (InvalidPayload("bad ids"), 400, code_pb2.INVALID_ARGUMENT, None),
        (StoreUnavailable(), 503, code_pb2.UNAVAILABLE, 5),
        (StoreFatal(), 503, code_pb2.UNAVAILABLE, 5),
        (
            Refused(reason="queue_full", retry_after_seconds=2.2),
            429,
            code_pb2.RESOURCE_EXHAUSTED,
            3,
        ),
        (Refused(reason="memory", retry_after_seconds=1.0), 429, code_pb2.RESOURCE_EXHAUSTED, 1),
        (Refused(reason="draining", retry_after_seconds=1.0), 503, code_pb2.UNAVAILABLE, 1),
        (Refused(reason="disk_low", retry_after_seconds=30.0), 503, code_pb2.UNAVAILABLE, 30),
        (ZeroDivisionError("password=hunter2"), 500, code_pb2.INTERNAL, None),
    ],
)
def test_failures(
    receiver: Receiver,
    media_type: str,
    failure: Exception,
    status: int,
    code: int,
    retry: int | None,
) -> None:
    """H3, H5, H6, G9: status, Status body, integer Retry-After for what may be sent again."""
    receiver.intake.answer = failure
    answer = send(receiver, b"{}", media_type)
    assert answer.status == status
    assert answer.headers["content-type"] == media_type
    assert answer.failure().code == code
    assert answer.failure().message
    assert answer.headers.get("retry-after") == (None if retry is None else str(retry))
    assert b"hunter2" not in answer.body


@pytest.mark.parametrize(("media_type", "expected"), [(PROTOBUF, PROTOBUF), (JSON, JSON)])
@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/traces", "GET", 405),
        ("/v1/logs", "PUT", 405),
        ("/v1/metrics", "POST", 404),
        ("/v1/traces/", "POST", 404),
        ("/v1development/profiles", "POST", 404),
        ("/", "GET", 404),
    ],
)
def test_other_paths_and_methods(
    receiver: Receiver, media_type: str, expected: str, path: str, method: str, status: int
) -> None:
    """T10, G11, H3: Status bodies there too."""
    answer = send(receiver, b"{}", media_type, path=path, method=method)
    assert answer.status == status
    assert answer.headers["content-type"] == expected
    assert answer.failure().message
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


def test_a_query_is_ignored(receiver: Receiver) -> None:
    """T10."""
    assert send(receiver, span_request(), path="/v1/traces?x=1").status == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-protobufx", "", None])
def test_unknown_media_type(receiver: Receiver, media_type: str | None) -> None:
    """H8, H3: 415; the encoding being unknown, the Status is protobuf."""
    answer = send(receiver, b"x", media_type)
    assert answer.status == 415
    assert answer.failure().code == code_pb2.INVALID_ARGUMENT
    assert outcomes(receiver, "unsupported") == 1


@pytest.mark.parametrize("encoding", ["zstd", "deflate", "br", "gzip, gzip"])
def test_unknown_content_encoding(receiver: Receiver, encoding: str) -> None:
    """H8, T1: only gzip and none."""
    answer = send(receiver, b"x", JSON, content_encoding=encoding)
    assert answer.status == 415
    assert answer.failure().message


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
def test_tokens(tmp_path: Path, media_type: str) -> None:
    """H3: 401 with a Status and a challenge, before anything else is looked at."""
    tokens = tmp_path / "tokens"
    tokens.write_text("alpha\nname: beta\n")
    with Receiver(tokens=tokens) as receiver:
        for headers in ({}, {"authorization": "Bearer gamma"}, {"authorization": "Basic alpha"}):
            answer = send(receiver, b"{}", media_type, **headers)
            assert answer.status == 401
            assert answer.failure().code == code_pb2.UNAUTHENTICATED
            assert answer.headers["www-authenticate"] == "Bearer"
        assert send(receiver, b"{}", JSON, authorization="bearer beta").status == 200
        assert receiver.counter("receiver_auth_failures_total", transport="http") == 3
        assert len(receiver.intake.calls) == 1


def test_tokens_are_reloaded(tmp_path: Path) -> None:
    """After a reload the old token is refused and the new one taken."""
    tokens = tmp_path / "tokens"
    tokens.write_text("old\n")
    with Receiver(tokens=tokens) as receiver:
        assert receiver.tokens is not None
        tokens.write_text("new\n")
        receiver.tokens.use(receiver.tokens.read())
        assert send(receiver, authorization="Bearer old").status == 401
        assert send(receiver, authorization="Bearer new").status == 200


def test_not_accepting_is_503() -> None:
    """H5: a low disk is never a 500."""
    with Receiver(accepting=lambda: False) as receiver:
        answer = send(receiver, span_request())
        assert answer.status == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 36
        assert receiver.counter("receiver_refused_requests_total", reason="disk_low") == 1
        assert receiver.intake.calls == []


def test_the_response_is_bounded(receiver: Receiver) -> None:
    """T7."""
    receiver.intake.answer = InvalidPayload("x" * 5_000_000)
    assert len(send(receiver).body) < 4096
    receiver.intake.answer = ExportResult(accepted=0, rejected=1, message="y" * 5_000_000)
    assert len(send(receiver, b"{}", JSON).body) < 4096


def test_keep_alive(receiver: Receiver) -> None:
    """T11, T12: several requests, good and bad, on one HTTP/1.1 connection."""
    connection = HTTPConnection("127.0.0.1", receiver.http_port, timeout=10)
    connection.connect()
    first = connection.sock
    for body, expected in ((span_request(), 200), (b"\xff", 400), (span_request(), 200)):
        connection.request("POST", "/v1/traces", body, {"content-type": PROTOBUF})
        response = connection.getresponse()
        response.read()
        assert response.status == expected
        assert connection.sock is first
    connection.close()


def test_a_full_memory_is_429(receiver: Receiver) -> None:
    """H6, T5: bytes of unanswered requests are held; one more waits, then gets Retry-After."""
    receiver.intake.gate = threading.Event()
    big = span_request(padding=MIB - 1000)
    senders = [threading.Thread(target=send, args=(receiver, big)) for _ in range(8)]
    for sender in senders:
        sender.start()
    while len(receiver.intake.calls) < 8:
        threading.Event().wait(0.01)
    answer = send(receiver, big)
    receiver.intake.gate.set()
    for sender in senders:
        sender.join()
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 36
    assert receiver.counter("receiver_in_flight_bytes") == 0
