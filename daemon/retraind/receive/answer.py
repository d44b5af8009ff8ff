"""Every answer to a client: success, partial success, and each failure in both protocols."""

from __future__ import annotations

import math
import secrets
import traceback
from dataclasses import dataclass

import structlog
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from retraind.errors import InvalidPayload, PayloadTooLarge, Refused, RetraindError, StoreError
from retraind.model import ExportResult, Signal
from retraind.receive.protocol import Encoding

MAX_MESSAGE_CHARS = 1024
"""Texts in answers are cut to this, so that no request can provoke a large response."""

STORE_RETRY_SECONDS = 5.0
_UNAVAILABLE = frozenset({"draining", "disk_low"})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a failure is told: counted as `outcome`, `code` of google.rpc.Code, HTTP status, text."""

    outcome: str
    code: int
    http_status: int
    message: str
    retry_after_seconds: float | None = None
    refused_reason: str | None = None


class RequestError(RetraindError):
    """A request that cannot be served, with the answer it gets."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


UNAUTHENTICATED = Failure(
    "unauthenticated", code_pb2.UNAUTHENTICATED, 401, "A valid bearer token is needed."
)


def failure_of(exc: Exception) -> Failure:
    """What the client is told about `exc`; a bug is logged and told by an opaque id only."""
    match exc:
        case RequestError():
            return exc.failure
        case InvalidPayload():
            return Failure("invalid", code_pb2.INVALID_ARGUMENT, 400, bounded(str(exc)))
        case PayloadTooLarge():
            return Failure("too_large", code_pb2.RESOURCE_EXHAUSTED, 413, bounded(str(exc)))
        case Refused(reason=reason):
            unavailable = reason in _UNAVAILABLE
            return Failure(
                "refused",
                code_pb2.UNAVAILABLE if unavailable else code_pb2.RESOURCE_EXHAUSTED,
                503 if unavailable else 429,
                bounded(str(exc)),
                exc.retry_after_seconds,
                reason,
            )
        case StoreError():
            return Failure(
                "refused",
                code_pb2.UNAVAILABLE,
                503,
                "The store cannot commit at the moment; nothing was stored, send again.",
                STORE_RETRY_SECONDS,
                "store",
            )
        case _:
            incident = secrets.token_hex(8)
            # As text: renderers of exc_info may show local variables, and those hold payloads.
            trace = "".join(traceback.format_exception(exc))
            _log.error("receiver_bug", incident=incident, traceback=trace)
            return Failure(
                "error", code_pb2.INTERNAL, 500, f"Internal error {incident}; see the daemon's log."
            )


def bounded(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"


def outcome_of(result: ExportResult) -> str:
    """The telemetry outcome of an export that was taken."""
    if result.duplicate:
        return "duplicate"
    return "partial" if result.rejected else "ok"


def status_of(failure: Failure) -> status_pb2.Status:
    """google.rpc.Status with RetryInfo when the client may retry, BadRequest when it never may."""
    details = []
    if failure.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(failure.retry_after_seconds * 1000))
        details.append(_any(retry))
    elif failure.code == code_pb2.INVALID_ARGUMENT:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field="body", description=failure.message
        )
        details.append(_any(error_details_pb2.BadRequest(field_violations=[violation])))
    return status_pb2.Status(code=failure.code, message=failure.message, details=details)


def _any(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def encode(message: Message, encoding: Encoding) -> bytes:
    """`message` as protobuf or as proto3 JSON."""
    if encoding == "protobuf":
        return bytes(message.SerializeToString())
    return json_format.MessageToJson(message, indent=None).encode()


def success_body(signal: Signal, result: ExportResult, encoding: Encoding) -> bytes:
    """The Export…ServiceResponse; partial_success is set only for rejections and warnings."""
    if not result.rejected and not result.message:
        return b"" if encoding == "protobuf" else b"{}"
    text = bounded(result.message)
    response: Message
    if signal == "traces":
        response = trace_service_pb2.ExportTraceServiceResponse(
            partial_success=trace_service_pb2.ExportTracePartialSuccess(
                rejected_spans=result.rejected, error_message=text
            )
        )
    else:
        response = logs_service_pb2.ExportLogsServiceResponse(
            partial_success=logs_service_pb2.ExportLogsPartialSuccess(
                rejected_log_records=result.rejected, error_message=text
            )
        )
    return encode(response, encoding)
