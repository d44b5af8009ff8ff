"""The one DuckDB instance: opening, locking down, a cursor per thread, and what its errors mean.

The instance itself is in memory and holds only views; the state file and every segment are attached
to it. Results are always drained, because an undrained one keeps locks and blocks the connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeAlias

import duckdb
import pyarrow as pa
import structlog

from retraind.errors import StoreFatal, StoreUnavailable

Cursor: TypeAlias = duckdb.DuckDBPyConnection
Fault = Literal["data", "io", "fatal"]

# Errors that the rows themselves cause; everything else is the disk's or the engine's doing.
_DATA_ERRORS = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.InvalidInputException,
    duckdb.InvalidTypeException,
    duckdb.BinderException,
    duckdb.NotSupportedError,
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    pa.ArrowNotImplementedError,
)


log = structlog.get_logger(__name__)

ROLLBACK_SECONDS = 10.0


def fault(error: BaseException) -> Fault:
    """Whose fault an error of the engine is."""
    text = str(error)
    if isinstance(error, duckdb.FatalException | duckdb.InternalException):
        return "fatal"
    if "has been invalidated" in text:
        return "fatal"
    return "data" if isinstance(error, _DATA_ERRORS) else "io"


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of the engine into StoreUnavailable or StoreFatal."""
    try:
        yield
    except duckdb.Error as error:
        if fault(error) == "fatal":
            raise StoreFatal(str(error)) from error
        raise StoreUnavailable(str(error)) from error


def run(cursor: Cursor, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Execute one statement and drain its result."""
    rows: list[tuple[Any, ...]] = cursor.execute(sql, parameters).fetchall()
    return rows


def fetch(cursor: Cursor, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
    """Execute one query and return all of its rows as Arrow."""
    return cursor.sql(sql, params=dict(parameters or {})).to_arrow_table()


@contextmanager
def transaction(cursor: Cursor, mode: str = "") -> Iterator[None]:
    """BEGIN … COMMIT around a block, ROLLBACK when it raises."""
    try:
        run(cursor, f"BEGIN TRANSACTION {mode}")
        yield
        run(cursor, "COMMIT")
    except BaseException:
        rollback(cursor)
        raise


def rollback(cursor: Cursor) -> None:
    """Roll back if a transaction is open; a failed COMMIT or a FATAL may have closed it already.

    Tried for a while: without any memory left even this fails, and then nothing else would ever
    work on this connection.
    """
    deadline = time.monotonic() + ROLLBACK_SECONDS
    while True:
        try:
            run(cursor, "ROLLBACK")
        except duckdb.OutOfMemoryException:
            if time.monotonic() < deadline:
                time.sleep(0.01)
                continue
        except duckdb.Error:
            pass
        return


def unregister(cursor: Cursor, name: str) -> None:
    """Let go of registered Arrow rows. Only outside a transaction: an aborted one refuses it."""
    try:
        cursor.unregister(name)
    except duckdb.Error:
        return


def quoted(text: str | Path) -> str:
    """A SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


class Engine:
    """One in-memory DuckDB with files attached. Safe to use from any thread through `cursor()`.

    `alone` runs a block while no user's query does, and says whether the last one has ended.
    """

    def __init__(self, data_dir: Path, *, memory_limit: int, threads: int) -> None:
        self.memory_limit = memory_limit
        self.alone: Callable[[str], AbstractContextManager[bool]] = lambda _: nullcontext(True)
        self._data_dir = data_dir
        self._root = duckdb.connect(":memory:")
        self._cursors = threading.local()
        self._open: list[Cursor] = []
        for name, value in (
            ("checkpoint_threshold", "'1TB'"),
            ("memory_limit", f"'{memory_limit}B'"),
            ("threads", str(threads)),
            ("temp_directory", quoted(data_dir / "tmp")),
            ("preserve_insertion_order", "false"),
            ("python_enable_replacements", "false"),
            ("autoinstall_known_extensions", "false"),
            ("autoload_known_extensions", "false"),
            ("allow_community_extensions", "false"),
        ):
            run(self._root, f"SET {name} = {value}")
        # A checkpoint while closing could hit a full disk; logs are replayed at the next start.
        run(self._root, "PRAGMA disable_checkpoint_on_shutdown")

    def lock_down(self) -> None:
        """From here on only files under DIR/store can be opened and no setting can be changed."""
        run(self._root, f"SET allowed_directories = [{quoted(self._data_dir / 'store')}]")
        run(self._root, "SET enable_external_access = false")
        run(self._root, "SET lock_configuration = true")

    def new_cursor(self) -> Cursor:
        """A connection of its own to the same instance."""
        cursor = self._root.cursor()
        self._open.append(cursor)
        return cursor

    def release(self, cursor: Cursor) -> None:
        """Close a cursor of `new_cursor`."""
        self._open.remove(cursor)
        cursor.close()

    def cursor(self, catalog: str = "memory") -> Cursor:
        """This thread's connection whose unqualified names resolve in `catalog`."""
        cursor: Cursor | None = getattr(self._cursors, catalog, None)
        if cursor is None:
            cursor = self.new_cursor()
            run(cursor, f"USE {catalog}")
            setattr(self._cursors, catalog, cursor)
        return cursor

    def attach(self, path: Path, catalog: str, *, read_only: bool = False) -> None:
        """Attach a file; it is created when absent. Raises duckdb.Error when it cannot be read."""
        option = " (READ_ONLY)" if read_only else ""
        run(self.cursor(), f"ATTACH {quoted(path)} AS {catalog}{option}")

    def detach(self, catalog: str) -> None:
        """Detach a file. Raises duckdb.Error when it is not attached."""
        run(self.cursor(), f"DETACH {catalog}")

    def checkpoint(self, cursor: Cursor, catalog: str) -> None:
        """Move the log of an attached file into the file. Raises StoreUnavailable and duckdb.Error.

        One that finds no memory invalidates the whole instance, so users' queries end before it.
        """
        with self.alone("the database had to write its log into a file; ask again") as ended:
            if not ended:
                raise StoreUnavailable("a user's query does not end; no checkpoint beside it")
            run(cursor, f"CHECKPOINT {catalog}")

    def close(self) -> None:
        """Close the instance. Logs stay on disk and are replayed at the next start."""
        for cursor in (*self._open, self._root):
            try:
                cursor.close()
            except (
                duckdb.ResourceInUseException
            ):  # inside a function call; it ends with the process
                log.warning("a query could not be interrupted")
