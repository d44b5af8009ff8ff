"""The tick: newly stored rows become panes, closed windows become results and decisions.

One thread, at its own pace. Each step is a transaction of its own and can be repeated, so a tick
that is cut off anywhere goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import structlog

from retraind.clock import Clock
from retraind.config.settings import Config
from retraind.errors import StoreError, StoreFatal, StoreUnavailable
from retraind.evaluate.decisions import Decider
from retraind.evaluate.memory import Memory, load
from retraind.evaluate.panes import PaneBuilder
from retraind.evaluate.publish import Publisher
from retraind.evaluate.telling import SessionFinder
from retraind.evaluate.tidy import tidy
from retraind.evaluate.windows import WindowEvaluator
from retraind.metrics.snapshot import Snapshot
from retraind.model import HOUR_NS
from retraind.store.rows import StoredRows
from retraind.store.state import State
from retraind.telemetry import Telemetry
from retraind.window.plan import MonitorPlan

log = structlog.get_logger(__name__)
TIDY_EVERY_NS = 24 * HOUR_NS
T = TypeVar("T")
Job = Callable[[Memory, Config], T]


@dataclass(frozen=True, slots=True)
class Stages:
    """What one configuration amounts to; replaced as a whole between two ticks."""

    config: Config
    panes: PaneBuilder
    windows: WindowEvaluator
    publisher: Publisher


def build_stages(rows: StoredRows, state: State, config: Config, telemetry: Telemetry) -> Stages:
    """The stages of a configuration, also those of a replay. Raises ConfigError."""
    plans = [MonitorPlan.from_settings(monitor) for monitor in config.monitors]
    decider = Decider(config, telemetry, SessionFinder(rows, plans, config))
    return Stages(
        config,
        PaneBuilder(rows, state, plans, config, telemetry),
        WindowEvaluator(state, config, plans, decider, telemetry),
        Publisher(config),
    )


class Evaluator:
    """Runs the tick on its own thread until it is stopped.

    Other threads only leave word (`configure`, `submit`, `stop`); nothing but the evaluation thread
    touches the memory or the stages. `on_fatal` is called on it when the engine is gone.
    """

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
        on_fatal: Callable[[StoreFatal], None],
    ) -> None:
        self._rows = rows
        self._state = state
        self._telemetry = telemetry
        self._clock = clock
        self._on_snapshot = on_snapshot
        self._on_triggers = on_triggers
        self._on_fatal = on_fatal
        self._memory: Memory | None = None
        self._tidied_ns = 0
        self._stages = self._build(config)
        self._following: Stages | None = None
        self._jobs: list[tuple[Job[object], Future[object]]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="evaluate", daemon=True)

    def configure(self, config: Config) -> None:
        """Use other settings from the next tick on. Raises ConfigError, changing nothing."""
        following = self._build(config)
        with self._wake:
            self._following = following
            self._wake.notify()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the step that is under way, then end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._refuse_jobs()

    def submit(self, job: Job[T]) -> Future[T]:
        """Run `job` between two ticks, on the evaluation thread: nothing else changes then.

        The future raises StoreUnavailable when evaluation has ended.
        """
        future: Future[T] = Future()
        with self._wake:
            self._jobs.append((job, future))  # type: ignore[arg-type]
            self._wake.notify()
        if self._stopping:
            self._refuse_jobs()
        return future

    def tick(self) -> None:
        """One round. Raises StoreError; then everything in memory is read again next time."""
        stages, memory = self._current()
        now_ns = self._clock.now_ns()
        try:
            stages.panes.bring_up_to_date(memory, now_ns)
            if memory.due:
                self._evaluate(stages, memory, now_ns)
                self._publish(stages, memory)
            if now_ns - self._tidied_ns >= TIDY_EVERY_NS:
                self._tidied_ns = now_ns
                if tidy(self._state, memory, now_ns):
                    self._memory = None
        except BaseException:
            self._memory = None
            raise
        self._telemetry.last_tick.set(now_ns / 1e9)

    def _evaluate(self, stages: Stages, memory: Memory, now_ns: int) -> None:
        started = time.perf_counter()
        try:
            for source in sorted(memory.due):
                stages.publisher.keep(stages.windows.evaluate_source(memory, source, now_ns))
                memory.due.discard(source)
        finally:
            self._on_triggers()  # also when a later window failed: earlier ones are decided
        self._telemetry.evaluation_duration.observe(time.perf_counter() - started)

    def _build(self, config: Config) -> Stages:
        return build_stages(self._rows, self._state, config, self._telemetry)

    def _current(self) -> tuple[Stages, Memory]:
        """The stages of the newest configuration, and the image of the state file."""
        with self._wake:
            following, self._following = self._following, None
        if following is not None:
            self._stages, self._memory = following, None
        if self._memory is None:
            memory = load(self._state)
            self._stages.publisher.load(self._state)
            self._publish(self._stages, memory)
            self._memory = memory
        return self._stages, self._memory

    def _publish(self, stages: Stages, memory: Memory) -> None:
        self._on_snapshot(stages.publisher.snapshot(memory, self._state, self._clock.now_ns()))

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.tick()
            except StoreFatal as error:
                log.error("evaluation stopped: the database engine has to be restarted")
                self._on_fatal(error)
                break
            except StoreError as error:
                self._failed("the store could not commit a tick", error)
            except Exception as error:  # a bug in one tick must not end evaluation for good
                self._failed("a tick failed", error)
            self._do_jobs()
            with self._wake:
                if not (self._stopping or self._jobs or self._following):
                    self._wake.wait(self._stages.config.tick)
        self._stopping = True
        self._refuse_jobs()

    def _failed(self, what: str, error: Exception) -> None:
        self._telemetry.evaluation_failures.inc()
        log.error(what, exc_info=error)

    def _do_jobs(self) -> None:
        for job, future in self._taken():
            if not future.set_running_or_notify_cancel():
                continue  # whoever asked has gone
            try:
                stages, memory = self._current()
                result = job(memory, stages.config)
                self._publish(stages, memory)
            except Exception as error:  # handed to whoever asked
                self._memory = None
                future.set_exception(error)
            else:
                future.set_result(result)

    def _refuse_jobs(self) -> None:
        for _, future in self._taken():
            if future.set_running_or_notify_cancel():
                future.set_exception(StoreUnavailable("evaluation has ended"))

    def _taken(self) -> list[tuple[Job[object], Future[object]]]:
        with self._wake:
            jobs, self._jobs = self._jobs, []
        return jobs
