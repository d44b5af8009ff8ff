"""OTLP/gRPC answers, row by row of the OTLP specification (row ids of the compliance checklist)."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from receiver_harness import Receiver, span_request
from retraind.config.settings import GrpcReceiver, ReceiverLimits
from retraind.errors import InvalidPayload, Refused, StartError, StoreFatal, StoreUnavailable
from retraind.model import ExportResult
from retraind.receive.grpc import GrpcServer

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
MIB = 2**20
LIMITS = ReceiverLimits(request_bytes=MIB, in_flight_bytes=8 * MIB, queue_wait=0.5)


@pytest.fixture(scope="module")
def running() -> Iterator[Receiver]:
    with Receiver(limits=LIMITS) as receiver:
        yield receiver


@pytest.fixture
def receiver(running: Receiver) -> Receiver:
    running.reset()
    return running


def call(receiver: Receiver, body: bytes, method: str = TRACES, **options: object) -> bytes:
    """The raw bytes of the response."""
    channel = grpc.insecure_channel(
        receiver.grpc_target, options=[("grpc.max_send_message_length", -1)]
    )
    with channel:
        return channel.unary_unary(method)(body, timeout=10, **options)  # type: ignore[no-any-return]


def failed(receiver: Receiver, body: bytes, method: str = TRACES, **options: object) -> grpc.Call:
    with pytest.raises(grpc.RpcError) as caught:
        call(receiver, body, method, **options)
    return caught.value  # type: ignore[return-value]


def details_of(error: grpc.Call) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    return None


def retry_delay(error: grpc.Call) -> float:
    """Seconds of the RetryInfo; fails when there is none."""
    status = details_of(error)
    assert status is not None
    assert status.code == error.code().value[0]
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    return info.retry_delay.ToMilliseconds() / 1000


def outcomes(receiver: Receiver, outcome: str, signal: str = "traces") -> float:
    return receiver.counter(
        "receiver_requests_total", transport="grpc", signal=signal, outcome=outcome
    )


@pytest.mark.parametrize("method", [TRACES, LOGS])
def test_success_is_an_empty_message(receiver: Receiver, method: str) -> None:
    """G1: partial_success is unset, so the response is exactly no bytes."""
    body = span_request() if method == TRACES else ExportLogsServiceRequest().SerializeToString()
    assert call(receiver, body, method) == b""
    assert receiver.intake.calls[0].body == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        ExportTraceServiceRequest(resource_spans=[{}]).SerializeToString(),
        bytes.fromhex("fa0603616263"),  # field 111, three bytes: unknown to the schema
    ],
)
def test_an_empty_request_succeeds(receiver: Receiver, body: bytes) -> None:
    """G2, D11: no message bytes, an envelope without spans, unknown fields only."""
    assert call(receiver, body) == b""


def test_partial_acceptance(receiver: Receiver) -> None:
    """G3, G4: the count and an English reason."""
    receiver.intake.answer = ExportResult(accepted=3, rejected=2, message="invalid trace_id: 2")
    response = ExportTraceServiceResponse.FromString(call(receiver, span_request(5)))
    assert response.partial_success.rejected_spans == 2
    assert response.partial_success.error_message == "invalid trace_id: 2"
    assert outcomes(receiver, "partial") == 1


def test_partial_acceptance_of_logs(receiver: Receiver) -> None:
    """G3 for logs."""
    receiver.intake.answer = ExportResult(accepted=1, rejected=4, message="too many attributes")
    response = ExportLogsServiceResponse.FromString(call(receiver, b"", LOGS))
    assert response.partial_success.rejected_log_records == 4


def test_a_warning_rejects_nothing(receiver: Receiver) -> None:
    """G5: rejected is 0 and the message is not empty."""
    receiver.intake.answer = ExportResult(accepted=1, message="duplicate attribute keys")
    response = ExportTraceServiceResponse.FromString(call(receiver, span_request()))
    assert response.HasField("partial_success")
    assert response.partial_success.rejected_spans == 0
    assert response.partial_success.error_message == "duplicate attribute keys"


def test_the_response_is_bounded(receiver: Receiver) -> None:
    """T7: however long the reasons are, the response stays small."""
    receiver.intake.answer = ExportResult(accepted=0, rejected=9, message="é" * 3_000_000)
    assert len(call(receiver, span_request())) < 4096


def test_a_duplicate_is_a_success(receiver: Receiver) -> None:
    """D13, G6: a retry that was stored before is told as success."""
    receiver.intake.answer = ExportResult(accepted=1, duplicate=True)
    assert call(receiver, span_request()) == b""
    assert outcomes(receiver, "duplicate") == 1


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_size_limit(receiver: Receiver, compression: grpc.Compression) -> None:
    """T2, T3, T4: the limit itself is taken, one byte more is not, also after decompression."""
    exact = span_request(padding=MIB - len(span_request(padding=MIB)) + MIB)
    assert len(exact) == MIB
    assert call(receiver, exact, compression=compression) == b""
    assert receiver.intake.calls[0].body == exact
    error = failed(receiver, exact + b"\x00", compression=compression)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details_of(error) is None  # no RetryInfo: the client must not send it again
    assert outcomes(receiver, "too_large") == 1
    assert call(receiver, span_request()) == b""
    assert receiver.counter("receiver_in_flight_bytes") == 0


def test_the_default_limit_is_64_mib() -> None:
    """T3."""
    assert ReceiverLimits().request_bytes == 64 * 2**20


def test_a_bomb_is_stopped(receiver: Receiver) -> None:
    """T2: 1000 times the limit, compressed 1000:1."""
    error = failed(receiver, bytes(300 * MIB), compression=grpc.Compression.Gzip)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details_of(error) is None
    assert receiver.intake.calls == []


@pytest.mark.parametrize(
    "body",
    [
        span_request()[:-3],
        b"\xff" * 100,
        b"\x1f\x8bgarbage that claims to be gzip",
        gzip.compress(span_request())[:-5],
    ],
    ids=["truncated", "garbage", "not gzip", "cut gzip"],
)
def test_malformed_is_permanent(receiver: Receiver, body: bytes) -> None:
    """G8: truncated, garbage, broken gzip: INVALID_ARGUMENT with BadRequest, no RetryInfo."""
    error = failed(receiver, body)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = details_of(error)
    assert status is not None
    assert [detail.type_url for detail in status.details] == [
        "type.googleapis.com/google.rpc.BadRequest"
    ]
    assert outcomes(receiver, "invalid") == 1


@pytest.mark.parametrize("failure", [StoreUnavailable(), StoreFatal("/secret/path is broken")])
def test_store_trouble_is_retryable(receiver: Receiver, failure: Exception) -> None:
    """G7, G9: UNAVAILABLE with RetryInfo; the text does not leak what the store said."""
    receiver.intake.answer = failure
    error = failed(receiver, span_request())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_delay(error) >= 1
    assert "secret" not in error.details()
    assert receiver.counter("receiver_refused_requests_total", reason="store") == 1


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("memory", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("queue_full", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("draining", grpc.StatusCode.UNAVAILABLE),
        ("disk_low", grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_overload_says_when_to_retry(
    receiver: Receiver, reason: str, code: grpc.StatusCode
) -> None:
    """G9, G10: RetryInfo with the delay; RESOURCE_EXHAUSTED is retryable only with it."""
    receiver.intake.answer = Refused("busy", reason=reason, retry_after_seconds=2.5)
    error = failed(receiver, span_request())
    assert error.code() is code
    assert retry_delay(error) == 2.5
    assert receiver.counter("receiver_refused_requests_total", reason=reason) == 1


def test_draining_refuses_before_the_body_is_read(receiver: Receiver) -> None:
    """G7: draining."""
    receiver.admission.draining = True
    error = failed(receiver, span_request())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert 1 <= retry_delay(error) <= 36
    assert receiver.intake.calls == []


def test_a_bug_is_told_by_an_opaque_id(receiver: Receiver) -> None:
    """G9: INTERNAL, never UNKNOWN, and never the exception's text."""
    receiver.intake.answer = RuntimeError("password=hunter2")
    error = failed(receiver, span_request())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in error.details()
    assert outcomes(receiver, "error") == 1


@pytest.mark.parametrize(
    "method",
    [
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
    ],
)
def test_other_signals_are_unimplemented(receiver: Receiver, method: str) -> None:
    """G11."""
    assert failed(receiver, b"", method).code() is grpc.StatusCode.UNIMPLEMENTED
    assert outcomes(receiver, "unsupported", signal="other") == 1


def test_unknown_compression_is_unimplemented(receiver: Receiver) -> None:
    """T1: only none and gzip are offered."""
    error = failed(receiver, span_request(padding=5000), compression=grpc.Compression.Deflate)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_tokens(tmp_path: Path) -> None:
    """UNAUTHENTICATED, not retryable, for a missing, wrong or malformed token."""
    tokens = tmp_path / "tokens"
    tokens.write_text("alpha\n")
    with Receiver(tokens=tokens) as receiver:
        for value in (None, "Bearer beta", "Basic alpha", "alpha", "Bearer "):
            metadata = () if value is None else (("authorization", value),)
            error = failed(receiver, span_request(), metadata=metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert details_of(error) is None
        assert call(receiver, b"", metadata=(("authorization", "Bearer alpha"),)) == b""
        assert receiver.counter("receiver_auth_failures_total", transport="grpc") == 5
        assert len(receiver.intake.calls) == 1


def test_concurrent_calls_on_one_connection(receiver: Receiver) -> None:
    """T11: 64 calls in flight on one connection all succeed."""
    with grpc.insecure_channel(receiver.grpc_target) as channel:
        export = channel.unary_unary(TRACES)
        calls = [export.future(span_request(name=str(i)), timeout=20) for i in range(64)]
        assert [call.result() for call in calls] == [b""] * 64
    assert {span.name for span in receiver.intake.spans()} == {str(i) for i in range(64)}


def test_a_client_that_gives_up_does_not_stop_the_commit(receiver: Receiver) -> None:
    """A deadline shorter than the commit: DEADLINE_EXCEEDED there, the intake finishes here."""
    receiver.intake.gate = threading.Event()
    with grpc.insecure_channel(receiver.grpc_target) as channel:
        pending = channel.unary_unary(TRACES).future(span_request(), timeout=1.0)
        assert pending.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    receiver.intake.gate.set()
    deadline = time.monotonic() + 10
    while receiver.counter("receiver_in_flight_bytes") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert receiver.intake.finished == 1
    assert receiver.counter("receiver_in_flight_bytes") == 0
    remaining = receiver.intake.calls[0].deadline_seconds
    assert remaining is not None
    assert 0 < remaining < 2.0  # the wire form of a deadline is rounded up


def test_memory_is_refused_when_it_stays_full(receiver: Receiver) -> None:
    """G10: the bytes of unanswered requests are held; the next one waits, then gets RetryInfo."""
    receiver.intake.gate = threading.Event()
    big = span_request(padding=MIB - 1000)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(call, receiver, big) for _ in range(7)]
        deadline = time.monotonic() + 10
        while len(receiver.intake.calls) < 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        eighth = pool.submit(call, receiver, big)
        while len(receiver.intake.calls) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        error = failed(receiver, big)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 1 <= retry_delay(error) <= 36
        receiver.intake.gate.set()
        assert [pending.result() for pending in [*waiting, eighth]] == [b""] * 8
    assert receiver.counter("receiver_in_flight_bytes") == 0


def test_silent_streams_yield_to_others() -> None:
    """A call that never sends its message holds a whole reservation, but not while others wait."""
    limits = ReceiverLimits(request_bytes=MIB, in_flight_bytes=2 * MIB)
    with (
        Receiver(limits=limits) as receiver,
        grpc.insecure_channel(receiver.grpc_target) as channel,
    ):
        silent = threading.Event()

        def nothing() -> Iterator[bytes]:
            silent.wait(20)
            yield from ()

        held = [channel.stream_unary(TRACES).future(nothing(), timeout=15) for _ in range(2)]
        while receiver.counter("receiver_in_flight_bytes") < 2 * MIB:
            time.sleep(0.01)
        assert call(receiver, span_request()) == b""
        silent.set()
        codes = {pending.exception().code() for pending in held}
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes


def test_a_taken_port_stops_the_start(receiver: Receiver) -> None:
    """Two daemons never share a port silently."""

    async def second() -> None:
        settings = GrpcReceiver(endpoint=receiver.grpc_target)
        await GrpcServer(settings, receiver.exchange).start()

    with pytest.raises(StartError, match=r"receivers\.grpc\.endpoint"):
        receiver.run(second())


def test_messages_of_our_own_errors_are_bounded(receiver: Receiver) -> None:
    """T7: an error text is cut as well."""
    receiver.intake.answer = InvalidPayload("x" * 100_000)
    assert len(failed(receiver, b"").details()) <= 1024
