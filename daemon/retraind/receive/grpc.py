"""OTLP/gRPC: TraceService and LogsService on grpc.aio with raw bytes.

The handlers are stream-unary, which on the wire is the same as unary: a unary handler is called
after grpcio has read the message, a streaming one reads it itself, after authentication and
admission. grpcio is also told not to decompress, so that gzip is inflated under our own limit.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio

from retraind.config.settings import GrpcReceiver, Tls
from retraind.errors import InvalidPayload, StartError
from retraind.model import ExportResult, Signal
from retraind.receive.admit import Lease
from retraind.receive.answer import (
    Failure,
    RequestError,
    failure_of,
    outcome_of,
    status_of,
    success_body,
)
from retraind.receive.exchange import Exchange
from retraind.receive.inflate import MAGIC, inflate
from retraind.receive.patience import Patience

READ_TIMEOUT_SECONDS = 10.0
"""A message that takes longer to arrive is given up; exporters give up after 10 s themselves."""

_COLLECTOR = "/opentelemetry.proto.collector."
METHODS: dict[str, Signal] = {
    f"{_COLLECTOR}trace.v1.TraceService/Export": "traces",
    f"{_COLLECTOR}logs.v1.LogsService/Export": "logs",
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_COMPRESSION_NONE_AND_GZIP = 0b101
Handler = Callable[[Any, Any], Awaitable[bytes]]


class OtlpHandlers(grpc.GenericRpcHandler):
    """Finds the handler of a method; anything else is UNIMPLEMENTED, and counted."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._handlers: dict[str, Any] = {
            method: grpc.stream_unary_rpc_method_handler(self._export_of(signal))
            for method, signal in METHODS.items()
        }

    def service(self, handler_call_details: Any) -> Any:
        handler = self._handlers.get(handler_call_details.method)
        if handler is None and handler_call_details.method.startswith(_COLLECTOR):
            self._exchange.count("grpc", "other", "unsupported")
        return handler

    def _export_of(self, signal: Signal) -> Handler:
        async def export(_messages: Any, context: Any) -> bytes:
            return await self._export(signal, context)

        return export

    async def _export(self, signal: Signal, context: Any) -> bytes:
        """The response of one call, or its failure; aborting keeps this frame: no body is in it."""
        failure = None
        outcome = "cancelled"
        try:
            result = await self._serve(signal, context)
            outcome = outcome_of(result)
            return success_body(signal, result, "protobuf")
        except Exception as exc:  # every failure becomes a status
            failure = failure_of(exc)
            outcome = failure.outcome
        finally:
            self._exchange.count("grpc", signal, outcome, failure)
        await _abort(context, failure)
        raise AssertionError("abort always raises")

    async def _serve(self, signal: Signal, context: Any) -> ExportResult:
        """Authenticate, admit, read, commit: in this order."""
        admission = self._exchange.admission
        metadata = context.invocation_metadata() or ()
        authorization = next((v for k, v in metadata if k == "authorization"), None)
        self._exchange.authenticate(authorization, "grpc")
        # grpcio gives a message when it is complete, and buffers up to the largest one until then
        # without telling its length: only the largest covers what a sender can make us hold. So
        # in_flight_bytes / request_bytes are read at once, which costs no rate while links are
        # fast (tests/bench/reads.py); for many slow senders, lower request_bytes.
        lease = await admission.reserve(admission.limits.request_bytes, context.time_remaining())
        try:
            body = await self._read(context, lease)
        except BaseException:
            lease.release()
            raise
        return await self._exchange.commit(
            signal,
            body,
            lease,
            encoding="protobuf",
            transport="grpc",
            deadline_seconds=context.time_remaining(),
        )

    async def _read(self, context: Any, lease: Lease) -> bytes:
        """The request, inflated; `lease` then holds exactly its size."""
        admission = self._exchange.admission
        try:
            async with Patience(admission, lease, READ_TIMEOUT_SECONDS):
                message = await context.read()
        except TimeoutError:
            raise RequestError(_SLOW) from None
        if message is grpc.aio.EOF:
            await _raise_no_message()
        lease.shrink_to(len(message))
        if message.startswith(MAGIC):  # never the start of a valid protobuf message
            return await inflate(message, admission, lease)
        return bytes(message)


async def _raise_no_message() -> NoReturn:
    """Tell apart why grpcio has no message for us.

    Over the limit it answers RESOURCE_EXHAUSTED itself and then cancels the handler. It also does
    so when the sender vanishes within a message, which is therefore counted as too large too.
    """
    try:
        await asyncio.sleep(_CANCEL_FOLLOWS_SECONDS)
    except asyncio.CancelledError:
        raise RequestError(_OVERSIZE) from None
    raise InvalidPayload("The call ended without a complete message.")


_CANCEL_FOLLOWS_SECONDS = 0.1
_SLOW = Failure(
    "invalid",
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
    408,
    f"The message took longer than {READ_TIMEOUT_SECONDS:.0f} s to arrive.",
)
_OVERSIZE = Failure(
    "too_large",
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
    413,
    "The message is over receivers.limits.request_bytes.",
)


async def _abort(context: Any, failure: Failure) -> None:
    """End the call with the failure's code; details go along only when they say when to retry."""
    trailing: tuple[tuple[str, bytes], ...] = ()
    status = status_of(failure)
    if status.details:
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(_CODES[failure.code], failure.message, trailing)


class GrpcServer:
    """Listens on one endpoint. Other services (TriggerService) may be added before start()."""

    def __init__(self, settings: GrpcReceiver, exchange: Exchange) -> None:
        self._settings = settings
        self._server = grpc.aio.server(options=_options(exchange))
        self._server.add_generic_rpc_handlers((OtlpHandlers(exchange),))
        self.port = 0

    async def start(self) -> None:
        """Raises StartError when the port is taken or the certificate cannot be used."""
        endpoint = self._settings.endpoint
        try:
            if self._settings.tls is None:
                self.port = self._server.add_insecure_port(endpoint)
            else:
                self.port = self._server.add_secure_port(endpoint, _credentials(self._settings.tls))
        except RuntimeError as exc:
            raise StartError(
                f"cannot listen on {endpoint} (OTLP/gRPC): is another process using the port? "
                "set receivers.grpc.endpoint"
            ) from exc
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Take no new calls, and give those under way `grace_seconds` to be answered."""
        await self._server.stop(grace_seconds)


def _options(exchange: Exchange) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else two daemons share a port without an error
        ("grpc.max_receive_message_length", exchange.admission.limits.request_bytes),
        ("grpc.max_send_message_length", 4 * 2**20),
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", _COMPRESSION_NONE_AND_GZIP),
        ("grpc.max_concurrent_streams", 256),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.max_connection_idle_ms", 15 * 60_000),
        # SDKs that ping every 10 s must not be sent away with GOAWAY too_many_pings.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _credentials(tls: Tls) -> Any:
    """Raises StartError; grpcio itself would only fail at the first handshake."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_file, tls.key_file)
        pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
    except (OSError, ssl.SSLError) as exc:
        raise StartError(f"TLS certificate or key of receivers.grpc.tls: {exc}") from exc
    return grpc.ssl_server_credentials([pair])
