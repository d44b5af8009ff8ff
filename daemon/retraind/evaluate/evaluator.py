"""The tick: newly stored rows become panes, closed windows become results and decisions.

One thread, at its own pace. Each step is a transaction of its own and can be repeated, so a tick
that is cut off anywhere goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import structlog

from retraind.clock import Clock
from retraind.config.settings import Config
from retraind.errors import StoreError, StoreFatal
from retraind.evaluate.decisions import Decider
from retraind.evaluate.memory import Memory, load
from retraind.evaluate.panes import PaneBuilder
from retraind.evaluate.publish import Publisher
from retraind.evaluate.windows import WindowEvaluator
from retraind.metrics.snapshot import Snapshot
from retraind.store.rows import StoredRows
from retraind.store.state import State
from retraind.telemetry import Telemetry
from retraind.window.plan import MonitorPlan

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Evaluator:
    """Runs the tick on its own thread until it is stopped."""

    def __init__(
        self,
        *,
        rows: StoredRows,
        state: State,
        config: Config,
        telemetry: Telemetry,
        clock: Clock,
        on_snapshot: Callable[[Snapshot], None],
        on_triggers: Callable[[], None],
    ) -> None:
        self._rows = rows
        self._state = state
        self._telemetry = telemetry
        self._clock = clock
        self._on_snapshot = on_snapshot
        self._on_triggers = on_triggers
        self._memory: Memory | None = None
        self._jobs: list[tuple[Callable[[Memory], object], Future[object]]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self.configure(config)
        self._thread = threading.Thread(target=self._run, name="evaluate", daemon=True)

    def configure(self, config: Config) -> None:
        """Use other settings from the next tick on."""
        self.plans = [MonitorPlan.from_settings(monitor) for monitor in config.monitors]
        self._tick_seconds = config.tick
        self._panes = PaneBuilder(self._rows, self._state, self.plans, config, self._telemetry)
        decider = Decider(config, self._telemetry)
        self._windows = WindowEvaluator(self._state, config, self.plans, decider, self._telemetry)
        self._publisher = Publisher(config)
        self._memory = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the step that is under way, then end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, job: Callable[[Memory], T]) -> Future[T]:
        """Run `job` between two ticks, on the evaluation thread: nothing else changes then."""
        future: Future[T] = Future()
        with self._wake:
            self._jobs.append((job, future))  # type: ignore[arg-type]
            self._wake.notify()
        return future

    def tick(self) -> None:
        """One round. Raises StoreError; then everything in memory is read again next time."""
        memory = self._memory
        if memory is None:
            memory = self._memory = load(self._state)
            self._publisher.load(self._state)
            self._on_snapshot(self._publisher.snapshot(memory, self._state))
        now_ns = self._clock.now_ns()
        built = self._panes.bring_up_to_date(memory, now_ns)
        started = time.perf_counter()
        evaluated = False
        for source in sorted(memory.sources):
            outcomes = self._windows.evaluate_source(memory, source, now_ns)
            self._publisher.keep(outcomes)
            evaluated |= bool(outcomes)
        if evaluated:
            self._telemetry.evaluation_duration.observe(time.perf_counter() - started)
            self._on_triggers()
        if built or evaluated:
            self._on_snapshot(self._publisher.snapshot(memory, self._state))
        self._telemetry.last_tick.set(now_ns / 1e9)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.tick()
            except StoreFatal:
                self._memory = None
                log.error("evaluation stopped: the database engine has to be restarted")
                return
            except StoreError as error:
                self._failed("the store could not commit a tick", error)
            except Exception as error:  # a bug in one tick must not end evaluation for good
                self._failed("a tick failed", error)
            self._do_jobs()
            with self._wake:
                if not self._stopping and not self._jobs:
                    self._wake.wait(self._tick_seconds)

    def _failed(self, what: str, error: Exception) -> None:
        self._memory = None
        self._telemetry.evaluation_failures.inc()
        log.error(what, exc_info=error)

    def _do_jobs(self) -> None:
        with self._wake:
            jobs, self._jobs = self._jobs, []
        for job, future in jobs:
            try:
                if self._memory is None:
                    self._memory = load(self._state)
                future.set_result(job(self._memory))
                self._on_snapshot(self._publisher.snapshot(self._memory, self._state))
            except Exception as error:  # handed to whoever asked
                self._memory = None
                future.set_exception(error)
