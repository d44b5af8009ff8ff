"""OTLP/HTTP as an ASGI application: /v1/traces and /v1/logs, protobuf and JSON, plain and gzip.

Answers are always in the encoding of the request; every failure is a google.rpc.Status.
"""

from __future__ import annotations

import asyncio
import math

from google.rpc import code_pb2
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from retraind.errors import InvalidPayload, PayloadTooLarge
from retraind.model import Signal
from retraind.receive.admit import Lease
from retraind.receive.answer import (
    Failure,
    RequestError,
    encode,
    failure_of,
    outcome_of,
    status_of,
    success_body,
)
from retraind.receive.exchange import Exchange
from retraind.receive.inflate import inflate
from retraind.receive.patience import Patience
from retraind.receive.protocol import Encoding

BODY_TIMEOUT_SECONDS = 30.0
LINGER_SECONDS = 5.0

PATHS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/logs": "logs"}
_MEDIA_TYPES: dict[str, Encoding] = {
    "application/x-protobuf": "protobuf",
    "application/protobuf": "protobuf",
    "application/json": "json",
}


class DisconnectedError(Exception):
    """The client went away before its body was complete."""


class OtlpHttp:
    """The ASGI application."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        body = _Body(receive)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = _MEDIA_TYPES.get(media_type)
        answer_type = media_type if encoding is not None else "application/x-protobuf"
        signal = PATHS.get(scope["path"])
        failure = None
        outcome = "cancelled"
        try:
            content = await self._serve(scope["method"], signal, encoding, headers, body)
            outcome, payload = content
            await _send(send, 200, answer_type, payload)
        except DisconnectedError:
            outcome = "cancelled"
        except Exception as exc:  # every failure becomes a status
            failure = failure_of(exc)
            outcome = failure.outcome
        finally:
            self._exchange.count("http", signal or "other", outcome, failure)
        if failure is not None:
            await _send_failure(send, failure, encoding or "protobuf", answer_type, body)

    async def _serve(
        self,
        method: str,
        signal: Signal | None,
        encoding: Encoding | None,
        headers: Headers,
        body: _Body,
    ) -> tuple[str, bytes]:
        """(outcome, response message). Raises RetraindError and DisconnectedError."""
        if signal is None:
            raise RequestError(_NOT_FOUND)
        if method != "POST":
            raise RequestError(_NOT_ALLOWED)
        self._exchange.authenticate(headers.get("authorization"), "http")
        if encoding is None:
            raise RequestError(_MEDIA_TYPE)
        content_encoding = headers.get("content-encoding", "identity").strip().lower()
        if content_encoding not in ("", "identity", "gzip"):
            raise RequestError(_CONTENT_ENCODING)
        length = self._length(headers)
        lease = await self._exchange.admission.reserve(length or 0)
        try:
            async with Patience(self._exchange.admission, lease, BODY_TIMEOUT_SECONDS):
                data = await self._read(body, lease, length)
            if content_encoding == "gzip":
                data = await inflate(data, self._exchange.admission, lease)
        except TimeoutError:
            lease.release()
            raise RequestError(_SLOW) from None
        except BaseException:
            lease.release()
            raise
        result = await self._exchange.commit(
            signal, data, lease, encoding=encoding, transport="http", deadline_seconds=None
        )
        return outcome_of(result), success_body(signal, result, encoding)

    def _length(self, headers: Headers) -> int | None:
        """The announced length in bytes, None for a chunked body."""
        if "transfer-encoding" in headers:
            return None
        text = headers.get("content-length")
        if text is None:
            raise RequestError(_LENGTH_REQUIRED)
        if not (text.isascii() and text.isdigit()):
            raise InvalidPayload("Content-Length is not a number.")
        if int(text) > self._limit:
            raise self._too_large()
        return int(text)

    @property
    def _limit(self) -> int:
        return self._exchange.admission.limits.request_bytes

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The request is over {self._limit} bytes; "
            "send smaller batches or raise receivers.limits.request_bytes."
        )

    async def _read(self, body: _Body, lease: Lease, length: int | None) -> bytes:
        chunks = []
        size = 0
        while chunk := await body.next_chunk():
            size += len(chunk)
            if size > self._limit:
                raise self._too_large()
            if length is None:
                lease.grow(len(chunk))
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class _Body:
    """The request body, chunk by chunk."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = False

    async def next_chunk(self) -> bytes:
        """The next non-empty chunk, b"" at the end. Raises DisconnectedError."""
        while not self.complete:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise DisconnectedError
            self.complete = not event.get("more_body", False)
            if chunk := event.get("body", b""):
                return bytes(chunk)
        return b""

    async def discard(self) -> None:
        """Read on for a little while, so that a client that is still sending gets its answer."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while await self.next_chunk():
                    pass
        except (TimeoutError, DisconnectedError):
            return


async def _send(send: Send, status: int, media_type: str, payload: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type.encode()),
                (b"content-length", str(len(payload)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": payload})


async def _send_failure(
    send: Send, failure: Failure, encoding: Encoding, media_type: str, body: _Body
) -> None:
    """Send the status; when the body was not read to its end, discard some of it, then close."""
    payload = encode(status_of(failure), encoding)
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(payload)).encode()),
    ]
    if failure.retry_after_seconds is not None:
        seconds = math.ceil(failure.retry_after_seconds)
        headers.append((b"retry-after", str(seconds).encode()))
    if failure.http_status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if failure.http_status == 405:
        headers.append((b"allow", b"POST"))
    if not body.complete:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": failure.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": payload, "more_body": True})
    await body.discard()
    await send({"type": "http.response.body", "body": b""})


def _unsupported(code: int, status: int, message: str) -> Failure:
    return Failure("unsupported", code, status, message)


_NOT_FOUND = _unsupported(
    code_pb2.UNIMPLEMENTED, 404, "Send traces to /v1/traces and logs to /v1/logs."
)
_NOT_ALLOWED = _unsupported(code_pb2.UNIMPLEMENTED, 405, "Use POST.")
_MEDIA_TYPE = _unsupported(
    code_pb2.INVALID_ARGUMENT,
    415,
    "Content-Type must be application/x-protobuf or application/json.",
)
_CONTENT_ENCODING = _unsupported(
    code_pb2.INVALID_ARGUMENT, 415, "Content-Encoding must be gzip or absent."
)
_LENGTH_REQUIRED = Failure(
    "invalid", code_pb2.INVALID_ARGUMENT, 411, "Send Content-Length, or a chunked body."
)
_SLOW = Failure(
    "invalid",
    code_pb2.DEADLINE_EXCEEDED,
    408,
    f"The body took longer than {BODY_TIMEOUT_SECONDS:.0f} s to arrive.",
)
