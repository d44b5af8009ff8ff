"""A data folder as it was recorded, for replays: nothing in it is changed, not even its lock.

Beside a running daemon its files are read as far as other processes may open them: the sealed
segments, and the newest snapshot of the state file.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from retraind.clock import SystemClock
from retraind.config import settings
from retraind.errors import QueryError
from retraind.store.engine import Engine
from retraind.store.features import create_feature_macros
from retraind.store.opening import attach_read_only, attach_state
from retraind.store.reader import Reader
from retraind.store.seal import measured
from retraind.store.segments import Segment, Segments
from retraind.store.state import State
from retraind.store.usage import create_usage_view
from retraind.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Recorded:
    """An open folder. `newest_seq` is the highest that can be read; changes of `state` are lost.

    `snapshot`: what was read instead of the state file, because a daemon runs.
    """

    state: State
    reader: Reader
    newest_seq: int
    snapshot: Path | None
    _telemetry: Telemetry

    @property
    def left_out(self) -> int:
        """Times that a read had to leave a segment out, because there were too many."""
        value = self._telemetry.registry.get_sample_value("retraind_segments_left_out_total")
        return int(value or 0)


@contextmanager
def open_recorded(data_dir: Path, scratch: Path) -> Iterator[Recorded]:
    """Attach what of a folder can be read; the new folder `scratch` takes what memory cannot.

    While this is open no daemon can start on the folder. Raises QueryError when it is no data
    folder, or when a daemon runs that has no snapshot yet; StartError when it is a newer version's.
    """
    data_dir = data_dir.resolve()
    path = data_dir / "retraind.duckdb"
    if not path.exists():
        raise QueryError(f"{data_dir} is not a data folder of retraind")
    lock = _lock_shared(data_dir)
    snapshot = _newest_snapshot(data_dir) if lock is None else None
    engine = _engine(scratch)
    try:
        copy = _copy(snapshot or path, scratch)
        attach_state(engine, copy, SystemClock().now_ns())
        state = State(engine, copy)
        telemetry = Telemetry()
        segments = Segments(
            engine, state, data_dir / "store", settings.Store(), telemetry, SystemClock()
        )
        newest = _open_segments(segments, state)
        yield Recorded(state, Reader(segments), newest, snapshot, telemetry)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    finally:
        engine.close()
        if lock is not None:
            os.close(lock)


@contextmanager
def scratch_state(scratch: Path) -> Iterator[State]:
    """An empty state file in memory; what does not fit goes to `scratch`."""
    engine = _engine(scratch)
    try:
        attach_state(engine, Path(":memory:"), 0)
        yield State(engine, scratch / "none")
    finally:
        engine.close()


def _copy(path: Path, scratch: Path) -> Path:
    """The state file, which is small, in `scratch`: there it may be brought up to date."""
    try:
        scratch.mkdir(parents=True)
        for file in (path, Path(f"{path}.wal")):
            if file.exists():
                shutil.copyfile(file, scratch / file.name)
    except OSError as error:
        raise QueryError(f"{path} cannot be copied to {scratch}: {error.strerror}") from error
    return scratch / path.name


def _engine(scratch: Path) -> Engine:
    limit = settings.Store().memory_limit
    return Engine(scratch, memory_limit=limit, threads=os.cpu_count() or 1)


def _lock_shared(data_dir: Path) -> int | None:
    """Keep daemons off the folder without writing into it. None when one has it already."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a copy of a folder
        descriptor = os.open(data_dir, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _newest_snapshot(data_dir: Path) -> Path:
    found = sorted((data_dir / "snapshots").glob("state-*.duckdb"))
    if not found:
        raise QueryError(
            f"a daemon runs on {data_dir} and has made no snapshot of its state yet "
            "(store.snapshot_interval): wait for one, or stop the daemon"
        )
    return found[-1]


def _open_segments(segments: Segments, state: State) -> int:
    """Attach every file that can be opened, with its ranges; returns the highest seq of a row."""
    attach_read_only(segments, state)
    known = {row["id"]: row for row in state.read("read_segments").to_pylist()}
    for segment in segments.all():
        row = known.get(segment.id)
        if row is not None and row["status"] == "sealed":
            ranges = {name: value for name, value in row.items() if name != "file"}
            segments.put(Segment(**ranges))
        else:  # ends in a log: attached for good, as one that is being sealed
            found = measured(segments.engine.cursor(), segment)
            segments.put(replace(found, status="sealing"))
    if segments.all():
        create_usage_view(segments.engine.cursor())
        create_feature_macros(segments.engine.cursor())
    return max((segment.last_seq or 0 for segment in segments.all()), default=0)
