"""The data folder of one daemon, opened: state file, segments, ledger, writer, readers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from retraind.clock import Clock
from retraind.config import settings
from retraind.errors import StartError, StoreFatal
from retraind.store.engine import Engine, store_errors
from retraind.store.features import create_feature_macros
from retraind.store.ledger import Ledger
from retraind.store.merge import Merger
from retraind.store.opening import lock_folder, next_seq, open_segments, open_state
from retraind.store.reader import Reader
from retraind.store.retention import Retention
from retraind.store.seal import Sealer
from retraind.store.segments import Segments
from retraind.store.state import State
from retraind.store.usage import create_usage_view
from retraind.store.user_queries import UserQueries
from retraind.store.views import create_state_views
from retraind.store.writer import Writer
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Database:
    """Everything the store offers. `notices` are sentences for the operator about the start."""

    data_dir: Path
    engine: Engine
    state: State
    segments: Segments
    ledger: Ledger
    reader: Reader
    queries: UserQueries
    writer: Writer
    sealer: Sealer
    merger: Merger
    retention: Retention
    _lock: int
    _telemetry: Telemetry
    _clock: Clock

    @classmethod
    def open(
        cls, data_dir: Path, config: settings.Store, telemetry: Telemetry, clock: Clock
    ) -> Database:
        """Open or create a data folder, own it, and recover what a crash left.

        Raises StartError when another daemon owns it or nothing can be written there, StoreError
        when what lies in it cannot be used. Threads run only after `start`.
        """
        try:
            for folder in (data_dir, data_dir / "store", data_dir / "tmp", data_dir / "snapshots"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            data_dir = data_dir.resolve()
            lock = lock_folder(data_dir)
        except OSError as error:
            raise StartError(
                f"{error.filename or data_dir} cannot be made: {error.strerror}; "
                "choose a folder that this user may write to with --data"
            ) from None
        try:
            with store_errors():
                return cls._assemble(data_dir, config, telemetry, clock, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def _assemble(
        cls, data_dir: Path, config: settings.Store, telemetry: Telemetry, clock: Clock, lock: int
    ) -> Database:
        # Half of the cores: decoding needs the others, and an insert of 10,000 rows that is split
        # over two threads costs a fifth more CPU time than on the commit thread alone.
        engine = Engine(
            data_dir, memory_limit=config.memory_limit, threads=max(1, (os.cpu_count() or 1) // 2)
        )
        try:
            notice = open_state(engine, data_dir, clock.now_ns())
            engine.lock_down()
            state = State(engine, data_dir / "retraind.duckdb")
            segments = Segments(engine, state, data_dir / "store", config, telemetry, clock)
            if notice is not None:
                segments.notices.append(notice)
                telemetry.state_recoveries.inc()
            unsealed = open_segments(segments, state, trust_state=notice is None)
            queries = UserQueries(segments, telemetry)
            engine.alone = queries.let_end
            state.settle()
            create_state_views(engine.cursor())
            create_usage_view(engine.cursor())
            create_feature_macros(engine.cursor())
            ledger = Ledger(telemetry, clock)
            ledger.rebuild(segments)
            sealer = Sealer(
                segments,
                config,
                telemetry,
                clock,
                on_fatal=lambda error: writer.fail(error),  # noqa: PLW0108
            )
            writer = Writer(
                segments, ledger, config, telemetry, clock,
                next_seq=next_seq(segments, state), queries=queries, on_rotated=sealer.add,
            )  # fmt: skip
            for segment in unsealed:
                sealer.add(segment)
        except BaseException:
            engine.close()
            raise
        merger = Merger(segments, config, telemetry, clock, on_fatal=writer.fail)
        retention = Retention(segments, config, telemetry, clock)
        retention.measure()
        return cls(
            data_dir, engine, state, segments, ledger, Reader(segments), queries, writer, sealer,
            merger, retention, lock, telemetry, clock,
        )  # fmt: skip

    @property
    def notices(self) -> list[str]:
        return self.segments.notices

    def start(self, on_fatal: Callable[[], None] | None = None) -> None:
        """Start the threads that commit, seal and merge."""
        self.writer.on_fatal = on_fatal
        self.writer.start()
        self.sealer.start()
        self.merger.start()

    def configure(self, config: settings.Store) -> None:
        """Take up other limits; the engine keeps its memory limit."""
        for part in (self.segments, self.writer, self.merger, self.retention):
            part.config = config

    def snapshot(self) -> Path:
        """Copy the state file to DIR/snapshots. Raises StoreError."""
        path = self.state.snapshot(self.data_dir / "snapshots", self._clock.now_ns())
        self._telemetry.snapshots.inc()
        return path

    def close(self) -> None:
        """Commit what is queued, stop all threads, and release the folder."""
        self.writer.close()
        self.sealer.close()
        self.merger.close()
        try:
            if not self.writer.fatal.is_set():
                self.state.settle()
                self.engine.close()
        except StoreFatal:
            log.exception("the engine did not close cleanly")
        finally:
            os.close(self._lock)
