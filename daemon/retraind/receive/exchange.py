"""What both transports do with a request: count it, commit it whether or not the client stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from prometheus_client import Counter

from retraind.model import ExportResult, Signal
from retraind.receive.admit import Admission, Lease
from retraind.receive.answer import UNAUTHENTICATED, Failure, RequestError
from retraind.receive.auth import Tokens
from retraind.receive.protocol import Encoding, Export, Transport
from retraind.telemetry import Telemetry


class Exchange:
    """The shared middle of the receivers: authentication, admission, intake and counters."""

    def __init__(
        self, intake: Export, admission: Admission, tokens: Tokens | None, telemetry: Telemetry
    ) -> None:
        self.admission = admission
        self._intake = intake
        self._tokens = tokens
        self._telemetry = telemetry
        self._requests: dict[tuple[str, str, str], Counter] = {}  # label look-ups are slow
        self._commits: set[asyncio.Task[ExportResult]] = set()

    def authenticate(self, authorization: str | bytes | None, transport: Transport) -> None:
        """Raises RequestError without a valid token; without a tokens file everyone may send."""
        if self._tokens is not None and not self._tokens.accepts(authorization):
            self._telemetry.auth_failures.labels(transport).inc()
            raise RequestError(UNAUTHENTICATED)

    async def commit(
        self,
        signal: Signal,
        body: bytes,
        lease: Lease,
        *,
        encoding: Encoding,
        transport: Transport,
        deadline_seconds: float | None,
    ) -> ExportResult:
        """Hand `body` and `lease` to the intake. Cancelling this does not stop the commit."""
        self._telemetry.request_bytes.labels(transport).inc(len(body))
        lease.queued()
        task = asyncio.create_task(
            self._export(
                lease,
                self._intake.export(
                    signal,
                    body,
                    encoding=encoding,
                    transport=transport,
                    deadline_seconds=deadline_seconds,
                ),
            )
        )
        self._commits.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        finally:
            # A failed task holds the traceback that holds this frame: without the cycle the body
            # is freed at once and not by the next garbage collection.
            del task

    async def _export(self, lease: Lease, export: Awaitable[ExportResult]) -> ExportResult:
        committed = False
        try:
            result = await export
            committed = True
            return result
        finally:
            lease.release(committed=committed)

    def _done(self, task: asyncio.Task[ExportResult]) -> None:
        self._commits.discard(task)
        if not task.cancelled():
            task.exception()  # seen here too: the client may have gone before the answer

    def count(
        self, transport: Transport, signal: str, outcome: str, failure: Failure | None = None
    ) -> None:
        key = (transport, signal, outcome)
        counter = self._requests.get(key)
        if counter is None:
            counter = self._requests[key] = self._telemetry.requests.labels(*key)
        counter.inc()
        if failure is not None and failure.refused_reason is not None:
            self._telemetry.refused_requests.labels(failure.refused_reason).inc()
