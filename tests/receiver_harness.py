"""The real gRPC and HTTP receivers in a thread, in front of a fake intake.

The intake here is a fake: it parses with the official protobuf classes, keeps what it got in memory
and can be told to be slow, to fail or to reject. The real one is tested in the daemon's own tests.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import uvloop
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from retraind.config.settings import GrpcReceiver, HttpReceiver, ReceiverLimits, Tls
from retraind.errors import InvalidPayload
from retraind.model import ExportResult, Signal
from retraind.receive.admit import Admission
from retraind.receive.auth import Tokens
from retraind.receive.exchange import Exchange
from retraind.receive.grpc import GrpcServer
from retraind.receive.http import OtlpHttp
from retraind.receive.serve import EmbeddedServer
from retraind.telemetry import Telemetry

MESSAGES: dict[str, Any] = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}


@dataclass(frozen=True, slots=True)
class Call:
    signal: str
    body: bytes
    encoding: str
    transport: str
    deadline_seconds: float | None


class FakeIntake:
    """Keeps every request in memory. `answer` may be set to a result or an exception."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls: list[Call] = []
        self.answer: ExportResult | Exception | None = None
        self.delay_seconds = 0.0
        self.gate: threading.Event | None = None
        self.finished = 0

    async def export(
        self,
        signal: Signal,
        body: bytes,
        *,
        encoding: str,
        transport: str,
        deadline_seconds: float | None,
    ) -> ExportResult:
        self.calls.append(Call(signal, body, encoding, transport, deadline_seconds))
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, 20)
        self.finished += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        if encoding == "protobuf":
            try:
                MESSAGES[signal].FromString(body)
            except DecodeError:
                raise InvalidPayload("The body is not valid protobuf.") from None
        return ExportResult(accepted=1)

    def spans(self) -> list[Any]:
        """Every span of the protobuf trace requests, by the official parser."""
        return [
            span
            for call in self.calls
            if call.signal == "traces" and call.encoding == "protobuf"
            for resource_spans in ExportTraceServiceRequest.FromString(call.body).resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]


class Receiver:
    """Both receivers on free ports of 127.0.0.1, on an event loop in a thread."""

    def __init__(
        self,
        *,
        limits: ReceiverLimits | None = None,
        tokens: Path | None = None,
        tls: Tls | None = None,
        accepting: Callable[[], bool] = lambda: True,
    ) -> None:
        self.intake = FakeIntake()
        self.telemetry = Telemetry()
        self.limits = limits or ReceiverLimits()
        self.admission = Admission(self.limits, self.telemetry, accepting=accepting)
        self.tokens = Tokens(tokens) if tokens else None
        self._tls = tls
        self._before = self._samples()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self) -> None:
        exchange = self.exchange = Exchange(
            self.intake, self.admission, self.tokens, self.telemetry
        )
        self._grpc = GrpcServer(GrpcReceiver(endpoint="127.0.0.1:0", tls=self._tls), exchange)
        await self._grpc.start()
        settings = HttpReceiver(endpoint="127.0.0.1:0", tls=self._tls)
        self._http = EmbeddedServer(
            OtlpHttp(exchange),
            settings.endpoint,
            setting="receivers.http.endpoint",
            tls=settings.tls,
        )
        await self._http.start()

    async def _stop(self) -> None:
        await asyncio.gather(self._grpc.stop(0.2), self._http.stop(1))

    @property
    def grpc_target(self) -> str:
        return f"127.0.0.1:{self._grpc.port}"

    @property
    def http_port(self) -> int:
        return self._http.port

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def reset(self) -> None:
        """Forget what was received and counted, for the next test."""
        self.intake.reset()
        self.admission.draining = False
        self._before = self._samples()

    def counter(self, name: str, **labels: str) -> float:
        """The value of a metric since the start or the last reset."""
        key = (f"retraind_{name}", frozenset(labels.items()))
        return self._samples().get(key, 0.0) - self._before.get(key, 0.0)

    def _samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for metric in self.telemetry.registry.collect()
            for sample in metric.samples
        }

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.http_port), timeout=10)


def span_request(spans: int = 1, *, name: str = "chat", padding: int = 0) -> bytes:
    """A valid trace request with `spans` spans, each with `padding` bytes of attribute text."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for index in range(spans):
        span = scope.spans.add(
            trace_id=bytes(15) + b"\x01",
            span_id=(index + 1).to_bytes(8, "big"),
            name=name,
            start_time_unix_nano=1_700_000_000_000_000_000,
            end_time_unix_nano=1_700_000_001_000_000_000,
        )
        if padding:
            span.attributes.add(key="padding").value.string_value = "x" * padding
    return request.SerializeToString()
