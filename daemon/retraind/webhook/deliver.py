"""Delivers the outbox: at least once, in order, until delivered, refused for good or expired.

The schedule lives in the outbox table, so a restart continues it. Each destination has a worker of
its own with one event in flight: a receiver that hangs delays nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import httpx2
import structlog

from retraind.clock import Clock
from retraind.config.settings import Destination
from retraind.errors import StoreError
from retraind.model import Json
from retraind.store.state import State
from retraind.telemetry import Telemetry
from retraind.webhook import outbox, sign
from retraind.webhook.address import RefusedAddressError
from retraind.webhook.event import build_test_event
from retraind.webhook.outbox import Attempt, Pending
from retraind.webhook.report import report
from retraind.webhook.schedule import Meaning, backoff_seconds, meaning, retry_after_seconds
from retraind.webhook.send import Answer, new_client, post

log = structlog.get_logger(__name__)

IDLE_SECONDS = 30.0
STOP_SECONDS = 5.0
RECORD_SECONDS = 5.0
_NS = 1_000_000_000
_OUTCOME: dict[Meaning, outbox.Status] = {
    "delivered": "delivered",
    "retry": "pending",
    "dead": "dead",
    "gone": "dead",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Target:
    """A destination with the secrets that it had when it was configured."""

    settings: Destination
    secrets: tuple[bytes, ...]


class Delivery:
    """The workers of all destinations. Used from one event loop, `wake` from any thread."""

    def __init__(
        self,
        *,
        state: State,
        destinations: Sequence[Destination],
        telemetry: Telemetry,
        clock: Clock,
        jitter: random.Random | None = None,
    ) -> None:
        """Raises ConfigError when a destination's secret cannot be used."""
        self._state = state
        self._telemetry = telemetry
        self._clock = clock
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads load, guards nothing
        # One thread: one connection to the state file, and `stop` can wait for it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webhook")
        self._task: asyncio.Task[None] | None = None
        self._wakes: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shown: set[str] = set()
        self.configure(destinations)

    def configure(self, destinations: Sequence[Destination]) -> None:
        """Use these destinations from the next attempt on; disabled ones are tried again.

        Raises ConfigError, and keeps the old ones, when a secret cannot be used.
        """
        self._targets = {
            each.name: _Target(
                each, sign.load_secrets(each.secret_file) if each.secret_file else ()
            )
            for each in destinations
        }
        self._disabled: set[str] = set()
        for name in self._targets:  # shown as 0 from the start, so that a first failure is a rise
            self._telemetry.webhook_deliveries.labels(name)
            self._telemetry.webhook_dead.labels(name)
            self._telemetry.webhook_disabled.labels(name).set(0)
        self._changed.set()
        self.wake()

    def start(self) -> None:
        """Begin to deliver, on the running event loop."""
        self._task = asyncio.create_task(self.run(), name="webhook")

    async def stop(self) -> None:
        """End delivery. Attempts under way get a few seconds; one cut off is made again later."""
        self.end()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._thread.shutdown)

    async def run(self) -> None:
        """Deliver until `end`; an attempt that is under way is finished and recorded first."""
        self._loop = asyncio.get_running_loop()
        async with new_client() as client:
            while not self._stopping:
                self._changed.clear()
                self._wakes = {name: asyncio.Event() for name in self._targets}
                async with asyncio.TaskGroup() as workers:
                    workers.create_task(self._keep_house())
                    for name in self._wakes:
                        workers.create_task(self._work(client, name))
        self._loop = None

    def end(self) -> None:
        """End `run` once attempts under way are recorded. Call it on the event loop."""
        self._stopping = True
        self._changed.set()
        self._set_wakes()

    def wake(self) -> None:
        """Look at the outbox now. Safe to call from any thread, and before or after `run`."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._set_wakes)

    async def deliver_next(self, client: httpx2.AsyncClient, name: str) -> float | None:
        """Attempt a destination's oldest event if it is due.

        Returns the seconds until there is something to do: 0 right after an attempt, None when
        nothing is pending or the destination is disabled.
        """
        target = self._targets.get(name)
        if target is None or name in self._disabled:
            return None
        event = await self._in_thread(lambda: outbox.head(self._state, name))
        if event is None:
            return None
        if event.expires_ns <= self._clock.now_ns():
            await self._in_thread(lambda: self._expire(name))
            return await self.deliver_next(client, name)
        wait_ns = event.next_attempt_ns - self._clock.now_ns()
        if wait_ns > 0:
            return wait_ns / _NS
        attempt = await self._attempt(client, target, event)
        await self._record(event, attempt)
        report(self._telemetry, event, attempt)
        await self._in_thread(self.refresh_gauges)
        return 0.0

    async def send_test(self, name: str) -> Json:
        """POST one signed dev.retraind.webhook.test.v1 event, outside the outbox.

        Returns destination, delivered, status (or None), seconds and error (or None). Raises
        KeyError for an unknown destination.
        """
        target = self._targets[name]
        now_ns = self._clock.now_ns()
        event_id = f"test_{uuid.uuid4().hex}"
        body = build_test_event(event_id, name, created_at_ns=now_ns)
        started = time.perf_counter()
        async with new_client() as client:
            answer, error = await self._post(client, target, event_id, body, now_ns)
        return {
            "destination": name,
            "id": event_id,
            "delivered": answer is not None and meaning(answer.status) == "delivered",
            "status": None if answer is None else answer.status,
            "seconds": time.perf_counter() - started,
            "error": str(error) or type(error).__name__ if error else None,
        }

    async def _work(self, client: httpx2.AsyncClient, name: str) -> None:
        wake = self._wakes[name]
        while not self._changed.is_set():
            wake.clear()
            try:
                wait = await self.deliver_next(client, name)
            except StoreError as error:
                self._telemetry.webhook_failures.labels(name, "store").inc()
                log.error("webhook outbox not available", destination=name, error=str(error))
                wait = None
            except Exception:
                # A worker that ends would stop every destination; the event stays where it is.
                log.exception("webhook worker failed", destination=name)
                wait = None
            if wait == 0.0:
                continue
            with contextlib.suppress(TimeoutError):
                seconds = IDLE_SECONDS if wait is None else min(wait, IDLE_SECONDS)
                await asyncio.wait_for(wake.wait(), seconds)

    async def _keep_house(self) -> None:
        """Expire and count also while no destination is configured or all are disabled."""
        while not self._changed.is_set():
            try:
                await self._in_thread(self._expire_unserved)
                await self._in_thread(self.refresh_gauges)
            except StoreError as error:
                log.error("webhook outbox not available", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), IDLE_SECONDS)

    async def _attempt(
        self, client: httpx2.AsyncClient, target: _Target, event: Pending
    ) -> Attempt:
        started_ns, started = self._clock.now_ns(), time.perf_counter()
        answer, error = await self._post(client, target, event.trigger_id, event.body, started_ns)
        seconds = time.perf_counter() - started
        now_ns = self._clock.now_ns()
        pause = backoff_seconds(event.attempts + 1, self._jitter)
        if answer is None:
            # Also when the address is refused: a name may resolve wrongly for a while.
            text = f"{type(error).__name__}: {error}"[:500]
            next_ns = now_ns + int(pause * _NS)
            return Attempt(started_ns, seconds, None, text, "pending", next_ns)
        means = meaning(answer.status)
        if means == "gone" and self._targets.get(event.destination) is target:
            self._disabled.add(event.destination)
            self._telemetry.webhook_disabled.labels(event.destination).set(1)
            log.error(
                "webhook destination is gone; disabled until reload", destination=event.destination
            )
        if means == "retry":
            asked = retry_after_seconds(answer.headers, now_ns)
            pause = max(pause, asked or 0.0)
        return Attempt(
            started_ns, seconds, answer.status,
            None if means == "delivered" else f"HTTP {answer.status}: {answer.text}",
            _OUTCOME[means],
            now_ns + int(pause * _NS),
        )  # fmt: skip

    async def _post(
        self,
        client: httpx2.AsyncClient,
        target: _Target,
        event_id: str,
        body: bytes,
        now_ns: int,
    ) -> tuple[Answer | None, Exception | None]:
        """The answer, or why there was none."""
        try:
            answer = await post(
                client, target.settings.url, body, event_id=event_id,
                secrets=target.secrets, timestamp=now_ns // _NS,
                timeout_seconds=target.settings.timeout,
            )  # fmt: skip
        except (
            RefusedAddressError,
            TimeoutError,
            OSError,
            httpx2.HTTPError,
            httpx2.InvalidURL,
            ValueError,  # a host name that cannot be encoded
        ) as error:
            return None, error
        return answer, None

    async def _record(self, event: Pending, attempt: Attempt) -> None:
        """Write the attempt down, however long it takes: else the event would be sent again."""
        while True:
            try:
                await self._in_thread(
                    lambda: outbox.record(self._state, event, attempt, self._clock.now_ns())
                )
                return
            except StoreError as error:
                log.error("webhook attempt not recorded yet", trigger=event.trigger_id,
                          destination=event.destination, error=str(error))  # fmt: skip
                if self._stopping:
                    raise
                await asyncio.sleep(RECORD_SECONDS)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _expire_unserved(self) -> None:
        """Expire events of destinations that are no longer configured, or disabled."""
        served = self._targets.keys() - self._disabled
        for name in outbox.pending(self._state).keys() - served:
            self._expire(name)

    def _expire(self, name: str) -> None:
        for trigger_id in outbox.expire(self._state, name, self._clock.now_ns()):
            self._telemetry.webhook_dead.labels(name).inc()
            log.error("webhook event expired undelivered", trigger=trigger_id, destination=name)

    def refresh_gauges(self) -> None:
        """Set the gauges of undelivered events; that of the oldest is absent when there is none."""
        waiting = outbox.pending(self._state)
        for name in self._shown | self._targets.keys() | waiting.keys():
            count, oldest_ns = waiting.get(name, (0, 0))
            self._telemetry.webhook_pending.labels(name).set(count)
            if count:
                self._telemetry.webhook_oldest_pending.labels(name).set(oldest_ns / _NS)
            else:
                with contextlib.suppress(KeyError):
                    self._telemetry.webhook_oldest_pending.remove(name)
        self._shown = set(waiting)

    def _set_wakes(self) -> None:
        for event in self._wakes.values():
            event.set()
