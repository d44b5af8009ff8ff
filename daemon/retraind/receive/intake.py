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
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from retraind.clock import Clock
from retraind.errors import InvalidPayload, RetraindError, StoreError, StoreUnavailable
from retraind.model import ExportResult, Signal
from retraind.receive import batches
from retraind.receive.commits import Ledger, Writer
from retraind.receive.protocol import Encoding, Transport
from retraind.redact import Policy
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)

# A group is decoded while the interpreter lock is held for part of it, so it stays small enough
# for the event loop to answer in between.
GROUP_REQUESTS = 16
GROUP_BYTES = 12 * 2**20

Outcome = ExportResult | BaseException


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
    rejections: Mapping[str, int] = field(default_factory=dict)  # items by reason
    dropped: int = 0


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
        policy: Policy | None = None,
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self.attribute_limit = attribute_limit
        self.policy = policy
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
        answer = self._enqueue(signal, body, encoding, transport)
        # An error's traceback keeps this frame: let go of what would keep the body with it.
        del body
        try:
            # A caller that goes away must not cancel a commit that others share.
            result = await asyncio.shield(answer)
        finally:
            del answer
        self._telemetry.ack_latency.labels(signal).observe(time.perf_counter() - started)
        return result

    async def close(self) -> None:
        """Answer what is queued, then stop the decode thread."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        await asyncio.to_thread(self._thread.join)

    def _enqueue(
        self, signal: Signal, body: bytes, encoding: Encoding, transport: Transport
    ) -> asyncio.Future[ExportResult]:
        answer: asyncio.Future[ExportResult] = self._loop.create_future()
        with self._ready:
            if self._closed:
                raise StoreUnavailable("the daemon is shutting down")
            self._queue.append(
                _Request(signal, body, encoding, transport, self._clock.now_ns(), answer)
            )
            self._ready.notify()
        return answer

    # The decode thread.

    def _decode_forever(self) -> None:
        while group := self._take_group():
            try:
                self._process(group)
            except Exception:  # a bug must not end the thread, nor leave a request without answer
                log.exception("requests could not be handed to the store")
                error = StoreUnavailable("the request could not be handed to the store")
                self._settle([(request, error) for request in group])
            del group  # the last bodies are not kept while nothing comes

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
        payloads: list[bytes] = []
        decodable: list[_Request] = []
        for request in group:
            if not self._is_first(request):
                continue
            try:
                payloads.append(batches.to_wire(request.signal, request.encoding, request.body))
                decodable.append(request)
            except Exception as error:
                self._refuse(request, error)
        if decodable:
            self._submit_or_split(decodable, payloads)

    def _submit_or_split(self, requests: list[_Request], payloads: list[bytes]) -> None:
        """Decode and hand over together; when that fails, request by request.

        One bad request fails a merged decode, and must not cost its neighbours anything.
        """
        try:
            self._submit(requests, payloads)
        except Exception as error:
            if len(requests) == 1:
                self._refuse(requests[0], error)
                return
            for request, payload in zip(requests, payloads, strict=True):
                self._submit_or_split([request], [payload])

    def _is_first(self, request: _Request) -> bool:
        """False when these bytes are committed already or are being committed now."""
        # SHA-256 has instructions of its own on current CPUs: half the time of BLAKE2b there.
        digest = hashlib.sha256(request.signal.encode() + b"\0")
        digest.update(request.body)
        request.digest = digest.digest()[:16]
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
        decoded = batches.decode(
            requests[0].signal,
            payloads,
            [request.digest for request in requests],
            received_at_ns=requests[0].received_at_ns,
            attribute_limit=self.attribute_limit,
            policy=self.policy,
        )
        for i, request in enumerate(requests):
            request.rejections, request.dropped = decoded.rejections[i], decoded.dropped[i]
        blemishes = decoded.blemishes
        future = self._writer.submit(decoded.batch)
        future.add_done_callback(lambda done: self._committed(requests, done, blemishes))

    def _refuse(self, request: _Request, error: Exception) -> None:
        """Answer a request that could not be decoded; keep its first bytes for the operator."""
        if isinstance(error, StoreError | MemoryError):
            self._settle([(request, StoreUnavailable(_reason(error)))])
            return
        if not isinstance(error, InvalidPayload):
            # The text of an unexpected exception can hold content.
            shown = error if self.policy is None else None
            log.error(
                "request could not be decoded", digest=request.digest.hex(),
                kind=type(error).__name__, exc_info=shown,
            )  # fmt: skip
        why = _reason(error)
        self._settle([(request, InvalidPayload(why))])
        self._writer.submit(
            batches.undecodable(
                request.signal, request.body, request.received_at_ns, why, self.policy
            )
        )

    # Answers, from the decode thread or the commit thread.

    def _committed(
        self, requests: list[_Request], done: Future[list[ExportResult | Exception]],
        blemishes: batches.Blemishes,
    ) -> None:  # fmt: skip
        error = done.exception()
        if error is None:  # else all of it comes again, and counts then
            self._telemetry.repaired_strings.inc(blemishes.repaired_strings)
            self._telemetry.duplicate_attributes.inc(blemishes.duplicate_attributes)
            for convention, count in blemishes.incomplete_spans.items():
                self._telemetry.incomplete_spans.labels(convention or "none").inc(count)
        outcomes: Sequence[Outcome] = (
            [error] * len(requests) if error is not None else done.result()
        )
        self._settle(list(zip(requests, outcomes, strict=True)))

    def _settle(self, pairs: Sequence[tuple[_Request, Outcome]]) -> None:
        """Answer requests and the retries that wait on them; they are no longer in flight."""
        answers: list[tuple[_Request, Outcome]] = []
        for request, outcome in pairs:
            with self._in_flight_lock:
                if self._in_flight.get(request.digest) is request:
                    del self._in_flight[request.digest]
            answers.append((request, outcome))
            retried = _as_duplicate(outcome) if isinstance(outcome, ExportResult) else outcome
            answers.extend((retry, retried) for retry in request.waiting)
        self._answer(answers)

    def _answer(self, answers: Sequence[tuple[_Request, Outcome]]) -> None:
        for request, outcome in answers:
            if isinstance(outcome, ExportResult):
                self._count(request, outcome)

        def deliver() -> None:
            for request, outcome in answers:
                if request.answer.done():
                    continue
                if isinstance(outcome, ExportResult):
                    request.answer.set_result(outcome)
                else:
                    request.answer.set_exception(_own(outcome))
                    request.answer.exception()  # the caller may have gone away

        self._loop.call_soon_threadsafe(deliver)

    def _count(self, request: _Request, result: ExportResult) -> None:
        """Count what is durable, whether or not the client has stayed for its answer."""
        telemetry, traces = self._telemetry, request.signal == "traces"
        if result.duplicate:
            telemetry.duplicate_requests.inc()
            if traces:
                telemetry.duplicate_spans.inc(result.accepted)
            return
        if traces:
            telemetry.accepted_spans.labels(request.transport).inc(result.accepted)
        else:
            telemetry.accepted_log_records.inc(result.accepted)
            telemetry.dropped_log_records.inc(request.dropped)
        rejected = telemetry.rejected_spans if traces else telemetry.rejected_log_records
        for reason, n in request.rejections.items():
            rejected.labels(reason).inc(n)


def _reason(error: Exception) -> str:
    """What the client may read: our own words, never the text of an unexpected exception."""
    return str(error) if isinstance(error, RetraindError) else "the request could not be decoded"


def _own(error: BaseException) -> Exception:
    """An exception for one caller alone: without a traceback, whose frames hold the bodies."""
    if isinstance(error, InvalidPayload | StoreError):
        return type(error)(str(error))
    return StoreUnavailable("the request could not be committed")


def _as_duplicate(result: ExportResult) -> ExportResult:
    return ExportResult(result.accepted, result.rejected, result.message, duplicate=True)
