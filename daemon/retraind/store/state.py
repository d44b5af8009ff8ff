"""The state file: everything small, written in short transactions that exclude one another.

Named queries with `$name` parameters are the only way in. Reads see the last committed state and
never wait for a transaction of another thread.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from retraind.errors import StoreUnavailable
from retraind.store.engine import Cursor, Engine, fetch, run, store_errors, transaction, unregister
from retraind.store.queries import named_queries

log = structlog.get_logger(__name__)

SNAPSHOTS_KEPT = 3
LOG_BYTES = 64 * 2**20  # a larger log makes the start slow; hourly snapshots alone do not bound it
IDLE_LOG_BYTES = 2**20  # what is worth writing while nobody waits for it: at start and at the end


class Transaction:
    """An open transaction on the state file; see State.transaction."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def run(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a named statement; returns the rows of RETURNING, or one row with the count."""
        return run(self._cursor, named_queries()[name], parameters)

    def read(self, name: str, **parameters: Any) -> pa.Table:
        """Run a named query; sees what this transaction has written."""
        return fetch(self._cursor, named_queries()[name], parameters)

    def append(self, table: str, rows: pa.Table) -> None:
        """Insert rows; columns are matched by name, absent ones become NULL."""
        self._cursor.register("appended_rows", rows)
        run(self._cursor, f'INSERT INTO "{table}" BY NAME SELECT * FROM appended_rows')  # noqa: S608


class State:
    """Named reads and exclusive transactions on the state file.

    Every method raises StoreUnavailable when the engine refuses, StoreFatal when it is gone, and
    KeyError for an unknown query name.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._lock = threading.Lock()

    def read(self, name: str, **parameters: Any) -> pa.Table:
        """The rows of a named query."""
        statement = named_queries()[name]
        with store_errors():
            return fetch(self._engine.cursor("state"), statement, parameters)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction; commits at the end of the block, rolls back when it raises."""
        cursor = self._engine.cursor("state")
        with self._lock, store_errors():
            try:
                with transaction(cursor):
                    yield Transaction(cursor)
            finally:
                unregister(cursor, "appended_rows")
            self._bound_log(LOG_BYTES)

    def settle(self) -> None:
        """Checkpoint at the start or at the end, so that no tick pays for what was before it."""
        with self._lock:
            self._bound_log(IDLE_LOG_BYTES)

    def _bound_log(self, limit: int) -> None:
        """Checkpoint a larger log. What was committed stays so when that does not work now."""
        try:
            if _size(self._log_path()) > limit:
                self._checkpoint()
        except StoreUnavailable as error:
            log.warning("state log not checkpointed; tried again later", error=str(error))

    def _log_path(self) -> Path:
        return Path(f"{self._path}.wal")

    def _checkpoint(self) -> None:
        """Move the log into the file. One that fills the disk invalidates the engine."""
        needed = 2 * _size(self._log_path())
        if shutil.disk_usage(self._path.parent).free < needed:
            raise StoreUnavailable(f"a checkpoint needs {needed} bytes of free disk")
        with store_errors():
            self._engine.checkpoint(self._engine.cursor("state"), "state")

    def snapshot(self, folder: Path, now_ns: int) -> Path:
        """Copy the checkpointed state file to `folder`, durable, and keep the newest three."""
        folder.mkdir(mode=0o700, exist_ok=True)
        target = folder / f"state-{now_ns:020d}.duckdb"
        partial = target.with_suffix(".partial")
        with self._lock:
            self._checkpoint()
            try:
                shutil.copyfile(self._path, partial)
                _sync(partial)
            except OSError as error:
                partial.unlink(missing_ok=True)
                raise StoreUnavailable(f"snapshot failed: {error}") from error
        partial.replace(target)
        _sync(folder)
        for old in sorted(folder.glob("state-*.duckdb"))[:-SNAPSHOTS_KEPT]:
            old.unlink(missing_ok=True)
        return target


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
