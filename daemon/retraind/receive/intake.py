"""From an admitted request to its answer: decode, commit, reply. The hot path.

Group commit without a timer: while a commit runs, requests queue; the decode thread then takes what
is there. Low load commits at once, high load batches by itself. One thread decodes the next group
while the store commits the last one.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import structlog
from prometheus_client import Counter

from retraind.clock import Clock
from retraind.decode import decode_logs, decode_traces, logs_from_json, traces_from_json
from retraind.errors import InvalidPayload, StoreError, StoreUnavailable
from retraind.model import ExportResult, Signal, WriteBatch
from retraind.normalise import normalise_logs, normalise_traces
from retraind.receive.protocol import Encoding, Transport
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)

# A group is decoded while the interpreter lock is held for part of it, so it stays small enough
# for the event loop to answer in between.
GROUP_REQUESTS = 16
GROUP_BYTES = 12 * 2**20
QUARANTINED_PAYLOAD_BYTES = 64 * 2**10
MESSAGE_BYTES = 1024


class Ledger(Protocol):
    """Knows the requests that were committed within the last hour."""

    def lookup(self, digest: bytes) -> ExportResult | None: ...


class Writer(Protocol):
    """Commits batches; the future holds one result or error a request."""

    def submit(self, batch: WriteBatch) -> Future[list[ExportResult | Exception]]: ...


@dataclass(slots=True, eq=False)
class _Request:
    signal: Signal
    body: bytes
    encoding: Encoding
    transport: Transport
    received_at_ns: int
    answer: asyncio.Future[ExportResult]
    digest: bytes = b""
    waiting: list[_Request] = field(default_factory=list)  # retries of this very request


class Intake:
    """Takes request bodies from the receivers and answers each after its rows are committed."""

    def __init__(
        self,
        *,
        writer: Writer,
        ledger: Ledger,
        attribute_limit: int,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._attribute_limit = attribute_limit
        self._telemetry = telemetry
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Request] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self._in_flight: dict[bytes, _Request] = {}
        self._in_flight_lock = threading.Lock()
        self._thread = threading.Thread(target=self._decode_forever, name="decode", daemon=True)
        self._thread.start()

    async def export(
        self,
        signal: Signal,
        body: bytes,
        *,
        encoding: Encoding,
        transport: Transport,
        deadline_seconds: float | None = None,  # noqa: ARG002 - admission has already used it
    ) -> ExportResult:
        """Store one request and return its answer after the commit.

        Raises InvalidPayload when the bytes can never be accepted, StoreUnavailable when the store
        cannot commit now, StoreFatal when the daemon has to restart.
        """
        started = time.perf_counter()
        request = _Request(
            signal, body, encoding, transport, self._clock.now_ns(), self._loop.create_future()
        )
        with self._ready:
            if self._closed:
                raise StoreUnavailable("the daemon is shutting down")
            self._queue.append(request)
            self._ready.notify()
        # A caller that goes away must not cancel a commit that others share.
        result = await asyncio.shield(request.answer)
        self._telemetry.ack_latency.labels(signal).observe(time.perf_counter() - started)
        self._count(request, result)
        return result

    async def close(self) -> None:
        """Answer what is queued, then stop the decode thread."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        await asyncio.to_thread(self._thread.join)

    def _count(self, request: _Request, result: ExportResult) -> None:
        if result.duplicate:
            self._telemetry.duplicate_requests.inc()
            if request.signal == "traces":
                self._telemetry.duplicate_spans.inc(result.accepted)
        elif request.signal == "traces":
            self._telemetry.accepted_spans.labels(request.transport).inc(result.accepted)
        else:
            self._telemetry.accepted_log_records.inc(result.accepted)

    # The decode thread.

    def _decode_forever(self) -> None:
        while group := self._take_group():
            self._process(group)

    def _take_group(self) -> list[_Request]:
        """The next requests of one signal, in order of arrival; empty when closed and drained."""
        with self._ready:
            while not self._queue and not self._closed:
                self._ready.wait()
            group: list[_Request] = []
            size = 0
            while (
                self._queue
                and len(group) < GROUP_REQUESTS
                and size < GROUP_BYTES
                and (not group or self._queue[0].signal == group[0].signal)
            ):
                group.append(self._queue.popleft())
                size += len(group[-1].body)
            return group

    def _process(self, group: list[_Request]) -> None:
        fresh = [request for request in group if self._is_first(request)]
        payloads: list[bytes] = []
        decodable: list[_Request] = []
        for request in fresh:
            try:
                payloads.append(_wire_bytes(request))
                decodable.append(request)
            except InvalidPayload as error:
                self._reject(request, error)
        if decodable:
            self._submit_or_split(decodable, payloads)

    def _submit_or_split(self, requests: list[_Request], payloads: list[bytes]) -> None:
        """Decode and hand over together; when that fails, request by request.

        One bad request fails a merged decode, and must not cost its neighbours anything.
        """
        try:
            self._submit(requests, payloads)
        except StoreError as error:
            self._settle([(request, error) for request in requests])
        except Exception as error:
            if len(requests) > 1:
                for request, payload in zip(requests, payloads, strict=True):
                    self._submit_or_split([request], [payload])
                return
            if not isinstance(error, InvalidPayload):
                log.exception("request could not be decoded", digest=requests[0].digest.hex())
            self._reject(requests[0], InvalidPayload(_reason(error)))

    def _is_first(self, request: _Request) -> bool:
        """False when these bytes are committed already or are being committed now."""
        digest = hashlib.blake2b(request.body, digest_size=16, person=request.signal.encode())
        request.digest = digest.digest()
        with self._in_flight_lock:
            original = self._in_flight.get(request.digest)
            if original is not None:
                original.waiting.append(request)
                return False
            known = self._ledger.lookup(request.digest)
            if known is None:
                self._in_flight[request.digest] = request
                return True
        self._answer([(request, _as_duplicate(known))])
        return False

    def _submit(self, requests: list[_Request], payloads: list[bytes]) -> None:
        decode = self._decode_traces if requests[0].signal == "traces" else self._decode_logs
        batch = decode(requests, payloads)
        batch.size_bytes = sum(map(len, payloads))
        future = self._writer.submit(batch)
        future.add_done_callback(lambda done: self._committed(requests, done))

    def _decode_traces(self, requests: list[_Request], payloads: list[bytes]) -> WriteBatch:
        rows = normalise_traces(decode_traces(payloads), attribute_limit=self._attribute_limit)
        n = len(requests)
        self._telemetry.repaired_strings.inc(rows.repaired_strings)
        self._telemetry.duplicate_attributes.inc(rows.duplicate_attributes)
        accepted = np.bincount(rows.span_request, minlength=n)
        rejected = np.bincount(rows.rejected_request, minlength=n)
        messages = _rejection_messages(
            rows.rejected, rows.rejected_request, n, "spans", self._telemetry.rejected_spans
        )
        return WriteBatch(
            signal="traces",
            received_at_ns=requests[0].received_at_ns,
            digests=[request.digest for request in requests],
            results=[
                ExportResult(int(a), int(r), m)
                for a, r, m in zip(accepted, rejected, messages, strict=True)
            ],
            spans=rows.spans,
            span_request=rows.span_request,
            evaluations=rows.evaluations,
            evaluation_request=rows.evaluation_request,
            quarantine=_quarantine("traces", rows.rejected),
            quarantine_request=rows.rejected_request,
        )

    def _decode_logs(self, requests: list[_Request], payloads: list[bytes]) -> WriteBatch:
        rows = normalise_logs(decode_logs(payloads))
        n = len(requests)
        accepted = np.bincount(rows.log_request, minlength=n)
        rejected = np.bincount(rows.rejected_request, minlength=n)
        messages = _rejection_messages(
            rows.rejected, rows.rejected_request, n, "log records",
            self._telemetry.rejected_log_records,
        )  # fmt: skip
        self._telemetry.dropped_log_records.inc(int(rows.dropped.sum()))
        self._telemetry.repaired_strings.inc(rows.repaired_strings)
        self._telemetry.duplicate_attributes.inc(rows.duplicate_attributes)
        return WriteBatch(
            signal="logs",
            received_at_ns=requests[0].received_at_ns,
            digests=[request.digest for request in requests],
            results=[
                ExportResult(int(a), int(r), m)
                for a, r, m in zip(accepted, rejected, messages, strict=True)
            ],
            logs=rows.logs,
            log_request=rows.log_request,
            quarantine=_quarantine("logs", rows.rejected),
            quarantine_request=rows.rejected_request,
        )

    # Answers, from the decode thread or the commit thread.

    def _committed(
        self, requests: list[_Request], done: Future[list[ExportResult | Exception]]
    ) -> None:
        error = done.exception()
        outcomes: Sequence[ExportResult | BaseException] = (
            [error] * len(requests) if error is not None else done.result()
        )
        self._settle(list(zip(requests, outcomes, strict=True)))

    def _settle(self, pairs: list[tuple[_Request, ExportResult | BaseException]]) -> None:
        answers: list[tuple[_Request, ExportResult | BaseException]] = []
        for request, outcome in pairs:
            with self._in_flight_lock:
                self._in_flight.pop(request.digest, None)
            answers.append((request, outcome))
            retried = _as_duplicate(outcome) if isinstance(outcome, ExportResult) else outcome
            answers.extend((retry, retried) for retry in request.waiting)
        self._answer(answers)

    def _answer(self, answers: Sequence[tuple[_Request, ExportResult | BaseException]]) -> None:
        def deliver() -> None:
            for request, outcome in answers:
                if request.answer.done():
                    continue
                if isinstance(outcome, ExportResult):
                    request.answer.set_result(outcome)
                else:
                    request.answer.set_exception(outcome)
                    request.answer.exception()  # the caller may have gone away

        self._loop.call_soon_threadsafe(deliver)

    def _reject(self, request: _Request, error: InvalidPayload) -> None:
        """Answer an undecodable request, and keep its first bytes for the operator."""
        self._settle([(request, error)])
        self._writer.submit(
            WriteBatch(
                signal=request.signal,
                received_at_ns=request.received_at_ns,
                digests=[],
                results=[],
                quarantine=pa.table(
                    {
                        "signal": [request.signal],
                        "reason": ["undecodable"],
                        "detail": [str(error)[:MESSAGE_BYTES]],
                        "item": pa.array([None], pa.string()),
                        "payload": pa.array(
                            [request.body[:QUARANTINED_PAYLOAD_BYTES]], pa.binary()
                        ),
                    }
                ),
                quarantine_request=np.zeros(1, np.int32),
            )
        )


def _wire_bytes(request: _Request) -> bytes:
    if request.encoding == "protobuf":
        return request.body
    convert = traces_from_json if request.signal == "traces" else logs_from_json
    return convert(request.body)


def _reason(error: Exception) -> str:
    """What the client may read: our own words, never the text of an unexpected exception."""
    return str(error) if isinstance(error, InvalidPayload) else "the request could not be decoded"


def _rejection_messages(
    rejected: pa.Table, request_index: np.ndarray, n: int, items: str, counter: Counter
) -> list[str]:
    """For each request, one line that names how many items were rejected and why."""
    reasons: list[dict[str, int]] = [{} for _ in range(n)]
    for index, reason in zip(request_index, rejected.column("reason").to_pylist(), strict=True):
        reasons[index][reason] = reasons[index].get(reason, 0) + 1
        counter.labels(reason).inc()
    return [
        "; ".join(f"{count} {items} rejected: {reason}" for reason, count in sorted(by.items()))
        for by in reasons
    ]


def _as_duplicate(result: ExportResult) -> ExportResult:
    return ExportResult(result.accepted, result.rejected, result.message, duplicate=True)


def _quarantine(signal: Signal, rejected: pa.Table) -> pa.Table | None:
    if rejected.num_rows == 0:
        return None
    n = rejected.num_rows
    return pa.table(
        {
            "signal": pa.array([signal] * n, pa.string()),
            "reason": rejected.column("reason"),
            "detail": rejected.column("detail"),
            "item": rejected.column("item"),
            "payload": pa.nulls(n, pa.binary()),
        }
    )
