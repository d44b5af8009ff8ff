"""A user's SQL, on a running or stopped data folder: read-only, bounded in time and rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

from retraind.clock import SystemClock
from retraind.config import settings
from retraind.errors import QueryError, StartError, StoreFatal
from retraind.store.allow import check_statement
from retraind.store.engine import Cursor, Engine, fault, rollback, run
from retraind.store.opening import attach_read_only, lock_folder
from retraind.store.segments import ATTACHED_FOR_ONE_READ, ATTACHED_FOR_SQL, Segments
from retraind.store.state import State
from retraind.store.usage import create_usage_view
from retraind.store.views import create_own_views, create_state_views
from retraind.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class SqlResult:
    """At most `max_rows` rows; `truncated` when there were more. `types` are DuckDB type names."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    table: pa.Table
    truncated: bool


class Queried(Protocol):
    """What run_sql needs of an open data folder."""

    @property
    def segments(self) -> Segments: ...


class Stop:
    """Ends one query early. `reason` is what its user is told, empty while it may go on."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.reason = ""

    def end(self, reason: str) -> None:
        """Interrupt the query; the first reason counts."""
        self.reason = self.reason or reason
        with suppress(duckdb.ConnectionException):  # the query has just ended by itself
            self._cursor.interrupt()


def run_sql(
    database: Queried, sql: str, *, timeout_seconds: float, max_rows: int,
    on_start: Callable[[Stop], None] = lambda _: None,
) -> SqlResult:  # fmt: skip
    """Run one reading statement. Raises QueryError when refused, failed, ended or too slow.

    `on_start` is given the means to end it.
    """
    segments = database.segments
    cursor = segments.engine.new_cursor()
    stop = Stop(cursor)
    try:
        on_start(stop)
        with segments.reading():
            check_statement(cursor, sql)
            _show_all(segments, cursor, sql)
            return _run(cursor, sql, stop, timeout_seconds, max_rows)
    except QueryError as error:
        # An interrupt before the query itself has begun is an error like any other.
        raise QueryError(stop.reason or str(error)) from error
    finally:
        segments.engine.release(cursor)


def _show_all(segments: Segments, cursor: Cursor, sql: str) -> None:
    """Let this cursor see every segment, also when the common views leave old ones out."""
    readable = segments.all()
    if sum(segment.status == "sealed" for segment in readable) <= ATTACHED_FOR_ONE_READ:
        return
    if len(readable) > ATTACHED_FOR_SQL:
        raise QueryError(
            f"{len(readable)} segment files are more than the {ATTACHED_FOR_SQL} that one query "
            "may open; they are merged in the background, so ask again later"
        )
    try:
        for segment in readable:
            segments.attach(segment)
        catalogs = [segment.catalog for segment in readable]
        placing = bool(segments.unplaced(readable))
        create_own_views(cursor, catalogs, segments.detailed(readable), sql, placing=placing)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def _run(cursor: Cursor, sql: str, stop: Stop, timeout_seconds: float, max_rows: int) -> SqlResult:
    timer = threading.Timer(timeout_seconds, stop.end, (TOO_LONG,))
    timer.daemon = True
    run(cursor, "BEGIN TRANSACTION READ ONLY")
    timer.start()
    try:
        if stop.reason:
            raise QueryError(stop.reason)
        relation = cursor.sql(sql)
        table = relation.limit(max_rows + 1).to_arrow_table()
        return SqlResult(
            columns=tuple(relation.columns),
            types=tuple(str(kind) for kind in relation.types),
            table=table.slice(0, max_rows),
            truncated=table.num_rows > max_rows,
        )
    except duckdb.Error as error:
        if fault(error) == "fatal":
            raise StoreFatal(str(error)) from error
        raise QueryError(stop.reason or str(error)) from error
    finally:
        timer.cancel()
        rollback(cursor)


TOO_LONG = "the query took longer than admin.sql_timeout and was interrupted"


@dataclass(frozen=True, slots=True)
class StoppedDatabase:
    """A data folder without a daemon, attached read-only."""

    state: State
    segments: Segments


@contextmanager
def open_stopped(data_dir: Path) -> Iterator[StoppedDatabase]:
    """Attach a stopped daemon's folder for queries; nothing in it is changed.

    Raises QueryError when it is no data folder or a daemon runs on it.
    """
    data_dir = data_dir.resolve()
    if not (data_dir / "retraind.duckdb").exists():
        raise QueryError(f"{data_dir} is not a data folder of retraind")
    try:
        lock = lock_folder(data_dir)
    except StartError as error:
        raise QueryError(f"{error}; ask the running daemon instead") from error
    config = settings.Store()
    engine = Engine(data_dir, memory_limit=config.memory_limit, threads=os.cpu_count() or 1)
    try:
        engine.attach(data_dir / "retraind.duckdb", "state", read_only=True)
        engine.lock_down()
        state = State(engine, data_dir / "retraind.duckdb")
        segments = Segments(engine, state, data_dir / "store", config, Telemetry(), SystemClock())
        attach_read_only(segments, state)
        create_state_views(engine.cursor())
        if segments.all():
            create_usage_view(engine.cursor())
        yield StoppedDatabase(state, segments)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    finally:
        engine.close()
        os.close(lock)
