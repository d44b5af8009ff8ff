"""The users' queries on a running daemon: few at once, and the first to go.

They share the engine's memory and disk with the commits, and the engine has no hard limit for one
connection. So a query is ended when it holds much memory that cannot be spilled, and all are ended
when a commit finds no memory or the disk gets low, and before a checkpoint: one without memory
invalidates the engine, and there is no second attempt. The engine notices an interrupt between two
calls of functions only: a query inside a long one keeps its turn until the call returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager

import duckdb

from retraind.errors import QueryError
from retraind.store.engine import run
from retraind.store.segments import Segments
from retraind.store.sql import SqlResult, Stop, run_sql
from retraind.telemetry import Telemetry

AT_ONCE = 2
WAITING = 16
PATIENCE_SECONDS = 2.0  # that a checkpoint gives queries to end by themselves
END_SECONDS = 2.0  # that a commit waits for interrupted queries; exporters give up after 10
LOOK_SECONDS = 0.05
MEMORY_SHARE = 0.5  # of the engine's limit, in memory that cannot be spilled
_UNSPILLABLE = "SELECT memory_usage_bytes FROM duckdb_memory() WHERE tag = 'ALLOCATOR'"


class UserQueries:
    """Runs users' queries on threads of their own. Safe to use from any thread."""

    def __init__(self, segments: Segments, telemetry: Telemetry) -> None:
        self.segments = segments
        self._telemetry = telemetry
        self._changed = threading.Condition()
        self._running: list[Stop] = []
        self._turns = AT_ONCE
        self._waiting = 0
        self._held_back = 0
        self._why = ""  # of the last one that held queries back

    def submit(self, sql: str, *, timeout_seconds: float, max_rows: int) -> Future[SqlResult]:
        """Run one reading statement. The future raises QueryError when refused, failed or ended.

        It can be late when the query is inside one long call of a function.
        """
        future: Future[SqlResult] = Future()
        future.set_running_or_notify_cancel()

        def answer() -> None:
            try:
                future.set_result(self._run(sql, timeout_seconds, max_rows))
            except BaseException as error:  # handed to whoever asked
                future.set_exception(error)

        # A daemon thread: the process ends without waiting for what cannot be interrupted.
        threading.Thread(target=answer, name="sql", daemon=True).start()
        return future

    @contextmanager
    def ended(self, why: str, patience: float = 0.0) -> Iterator[bool]:
        """Run a block while no user's query does; those that run are ended and told `why`.

        `patience`: seconds in which they may end by themselves. After END_SECONDS more the block
        runs even so, and is given False.
        """
        with self._changed:
            self._held_back += 1
            self._why = why
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._busy(), patience)
                for stop in self._running:
                    self._end(stop, why)
                gone = self._changed.wait_for(lambda: not self._busy(), END_SECONDS)
            yield gone
        finally:
            with self._changed:
                self._held_back -= 1
                self._changed.notify_all()

    def let_end(self, why: str) -> AbstractContextManager[bool]:
        """As `ended`, for what can wait a moment."""
        return self.ended(why, PATIENCE_SECONDS)

    def _busy(self) -> bool:
        """Whether a query has its turn, also one that has yet to register and is ended then."""
        return self._turns < AT_ONCE

    def _end(self, stop: Stop, why: str) -> None:
        if not stop.reason:
            self._telemetry.queries_ended.inc()
        stop.end(why)

    def _run(self, sql: str, timeout_seconds: float, max_rows: int) -> SqlResult:
        deadline = time.monotonic() + timeout_seconds
        with self._turn(timeout_seconds) as register:
            left = max(0.0, deadline - time.monotonic())
            return run_sql(
                self, sql, timeout_seconds=left, max_rows=max_rows, on_start=register
            )  # fmt: skip

    @contextmanager
    def _turn(self, timeout_seconds: float) -> Iterator[Callable[[Stop], None]]:
        """One of AT_ONCE turns; gives what a query that starts has to call."""
        with self._changed:
            if self._waiting >= WAITING:
                raise QueryError("too many queries wait for their turn; ask again later")
            self._waiting += 1
            free = self._changed.wait_for(
                lambda: self._turns > 0 and not self._held_back, timeout_seconds
            )
            self._waiting -= 1
            if not free:
                raise QueryError("other queries ran all the time; ask again later")
            self._turns -= 1
        mine: list[Stop] = []

        def register(stop: Stop) -> None:
            with self._changed:
                mine.append(stop)
                self._running.append(stop)
                if self._held_back and self._why:
                    self._end(stop, self._why)
            threading.Thread(
                target=self._watch, args=(stop,), name="sql-watch", daemon=True
            ).start()

        try:
            yield register
        finally:
            with self._changed:
                self._turns += 1
                for stop in mine:
                    self._running.remove(stop)
                self._changed.notify_all()

    def _watch(self, stop: Stop) -> None:
        """End a query while it holds too much memory; one that fails for lack of it fails others.

        Whose memory it is cannot be seen: of two queries, both end.
        """
        cursor = self.segments.engine.new_cursor()
        limit = MEMORY_SHARE * self.segments.engine.memory_limit
        try:
            while self._is_running(stop):
                ((held,),) = run(cursor, _UNSPILLABLE)
                if stop.reason:
                    stop.end(stop.reason)  # an interrupt between two statements goes unnoticed
                elif held > limit:
                    self._end(stop, _TOO_MUCH)
        except duckdb.Error:  # no memory even for this; the query meets that too
            self._end(stop, _TOO_MUCH)
        finally:
            self.segments.engine.release(cursor)

    def _is_running(self, stop: Stop) -> bool:
        """Wait a moment, at most until the query has ended."""
        with self._changed:
            return not self._changed.wait_for(lambda: stop not in self._running, LOOK_SECONDS)


_TOO_MUCH = (
    "the query needs more memory than it may take from incoming data; read less at once, "
    "or raise store.memory_limit"
)
