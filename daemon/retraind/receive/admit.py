"""Admission by bytes: what all transports together may hold between reading a body and its answer.

A request reserves bytes before they are read and gives them back after its answer. When there is no
room it waits a little (unread bytes stay with the sender) and is then refused with a hint when to
come back. The hint and the estimated wait come from the rate at which bodies are being committed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from retraind.config.settings import ReceiverLimits
from retraind.errors import Refused
from retraind.telemetry import Telemetry

RETRY_SECONDS = (1.0, 30.0)
"""Bounds of the retry hint: long enough to recover, short enough for an exporter's own queue."""

_RATE_MIN_SECONDS = 0.1
_RATE_MEMORY_SECONDS = 5.0


class Lease:
    """Bytes that one request holds. Every lease must be released once; later calls do nothing."""

    __slots__ = ("_admission", "_released", "size")

    def __init__(self, admission: Admission, size: int) -> None:
        self._admission = admission
        self._released = False
        self.size = size

    def grow(self, size: int) -> None:
        """Hold `size` bytes more, or raise Refused: waiting for more while holding can deadlock."""
        self._admission.take(size)
        self.size += size

    def shrink_to(self, size: int) -> None:
        """Give back what was reserved in excess of `size` bytes."""
        if size < self.size:
            self._admission.give(self.size - size)
            self.size = size

    def queued(self) -> None:
        """The body is complete: from now on it counts into the estimated wait."""
        self._admission.enqueue(self)

    def release(self, *, committed: bool = False) -> None:
        if self._released:
            return
        self._released = True
        self._admission.dequeue(self, committed=committed)
        self._admission.give(self.size)


class Admission:
    """The one budget of bytes of all receivers. Used from the event loop only."""

    def __init__(
        self,
        limits: ReceiverLimits,
        telemetry: Telemetry,
        *,
        accepting: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`accepting`: does the store take data? `jitter` gives [0, 1) for the retry hint."""
        self.limits = limits
        self.draining = False
        self._capacity = limits.in_flight_bytes
        self._accepting = accepting
        self._monotonic = monotonic
        self._jitter = jitter
        self._held = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._queue: OrderedDict[Lease, None] = OrderedDict()
        self._queued_bytes = 0
        self._progress_at = 0.0
        self._busy_since: float | None = None
        self._drained_bytes = 0.0
        self._drain_rate: float | None = None  # bytes/s, last seen while the queue was long
        self._heavy = asyncio.Semaphore(max(1, self._capacity // (2 * limits.request_bytes)))
        # Below this a queue is one small commit, whose fixed cost says nothing about the rate.
        self._meaningful_bytes = self._capacity // 16
        telemetry.in_flight_capacity_bytes.set(self._capacity)
        telemetry.in_flight_bytes.set_function(lambda: self._held)

    def is_large(self, size: int) -> bool:
        """Whether `size` bytes are so many that their turn comes in order of arrival."""
        return size > self._capacity // 64

    @property
    def contended(self) -> bool:
        """Whether a request waits for room."""
        return bool(self._waiters)

    @asynccontextmanager
    async def heavy(self) -> AsyncGenerator[None, None]:
        """The right to inflate a large body, for few at a time: bombs leave room for others.

        Raises Refused when the turn does not come within limits.queue_wait.
        """
        try:
            async with asyncio.timeout(self.limits.queue_wait):
                await self._heavy.acquire()
        except TimeoutError:
            raise self.refusal("memory") from None
        try:
            yield
        finally:
            self._heavy.release()

    def estimated_wait(self) -> float:
        """Seconds until a body that is complete now would be committed; 0 when unknown."""
        if not self._queue:
            return 0.0
        stalled = self._monotonic() - self._progress_at
        if self._drain_rate is None or self._queued_bytes < self._meaningful_bytes:
            return stalled
        return max(stalled, self._queued_bytes / self._drain_rate)

    def refusal(self, reason: str) -> Refused:
        """A refusal for `reason`, with a retry hint of queue / drain rate, bounded, plus jitter."""
        low, high = RETRY_SECONDS
        delay = min(max(self.estimated_wait(), low), high)
        return Refused(
            _MESSAGES[reason],
            reason=reason,
            retry_after_seconds=delay * (1.0 + 0.2 * self._jitter()),
        )

    def check(self, deadline_seconds: float | None = None) -> None:
        """Refuse what could not be answered in the time that the client has left."""
        if self.draining:
            raise self.refusal("draining")
        if not self._accepting():
            raise self.refusal("disk_low")
        budget = self.limits.queue_wait
        if deadline_seconds is not None:
            budget = min(budget, deadline_seconds)
        if self.estimated_wait() > budget:
            raise self.refusal("queue_full")

    async def reserve(self, size: int, deadline_seconds: float | None = None) -> Lease:
        """A lease on `size` bytes (at most the capacity).

        Large ones are served in order of arrival, small ones whenever they fit. Waits for room up
        to limits.queue_wait or the client's deadline. Raises Refused.
        """
        self.check(deadline_seconds)
        size = min(size, self._capacity)
        must_queue = bool(self._waiters) and self.is_large(size)
        if must_queue or self._held + size > self._capacity:
            await self._wait(size, deadline_seconds)
        else:
            self._held += size
        return Lease(self, size)

    async def _wait(self, size: int, deadline_seconds: float | None) -> None:
        """Queue for `size` bytes; on return they are held."""
        timeout = self.limits.queue_wait
        if deadline_seconds is not None:
            timeout = min(timeout, deadline_seconds)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                self.give(size)  # granted in the very moment of giving up
            else:
                if entry in self._waiters:  # else _wake has passed over it already
                    self._waiters.remove(entry)
                self._wake()
            if isinstance(exc, TimeoutError):
                raise self.refusal("memory") from None
            raise

    def take(self, size: int) -> None:
        """Hold `size` bytes now. Raises Refused when there is no room."""
        if self._held + size > self._capacity:
            raise self.refusal("memory")
        self._held += size

    def give(self, size: int) -> None:
        """Give `size` bytes back and let those who wait have them."""
        self._held -= size
        self._wake()

    def _wake(self) -> None:
        while self._waiters and self._held + self._waiters[0][0] <= self._capacity:
            size, turn = self._waiters.popleft()
            if not turn.done():
                self._held += size
                turn.set_result(None)

    def enqueue(self, lease: Lease) -> None:
        now = self._monotonic()
        if not self._queue:
            self._progress_at = now
        self._queue[lease] = None
        self._queued_bytes += lease.size
        if self._busy_since is None and self._queued_bytes >= self._meaningful_bytes:
            self._busy_since, self._drained_bytes = now, 0.0

    def dequeue(self, lease: Lease, *, committed: bool) -> None:
        """Take a body off the queue; a committed one tells how fast the queue drains."""
        if lease not in self._queue:
            return
        del self._queue[lease]
        self._queued_bytes -= lease.size
        if committed:
            self._observe(lease.size)
        if self._queued_bytes < self._meaningful_bytes:
            self._busy_since = None

    def _observe(self, size: int) -> None:
        """Rate = bytes committed / time since the queue became long; older halves are forgotten."""
        self._progress_at = now = self._monotonic()
        if self._busy_since is None:
            return
        self._drained_bytes += size
        elapsed = now - self._busy_since
        if elapsed >= _RATE_MIN_SECONDS:
            self._drain_rate = self._drained_bytes / elapsed
        if elapsed > _RATE_MEMORY_SECONDS:
            self._busy_since += elapsed / 2
            self._drained_bytes /= 2


_MESSAGES = {
    "draining": "The receiver is shutting down; send again.",
    "disk_low": "The store takes no data at the moment; send again later.",
    "queue_full": "The receiver is overloaded; send again later.",
    "memory": "The receiver holds as many bytes as receivers.limits.in_flight_bytes allows; "
    "send again later.",
}
