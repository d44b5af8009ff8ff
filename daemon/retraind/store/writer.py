"""The one commit thread: group commit without a timer.

While a commit runs, batches queue; the next commit takes all of them. A future is resolved only
after the transaction with its rows is durable.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from retraind.clock import Clock
from retraind.config import settings
from retraind.errors import InvalidPayload, StoreError, StoreFatal, StoreUnavailable
from retraind.model import WriteBatch
from retraind.store.commit import (
    TABLES,
    Outcome,
    Part,
    inserts,
    ledger_rows,
    poison_batch,
    stored_rows,
)
from retraind.store.engine import Cursor, fault, rollback, run, unregister
from retraind.store.ledger import Ledger
from retraind.store.segments import Segment, Segments
from retraind.store.user_queries import UserQueries
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)

QUEUED_BATCHES = 4
GROUP_ROWS = 20_000
WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A transaction with everything in it: what is counted once it is durable."""

    parts: Sequence[Part]
    catalog: str
    first_seq: int
    rows: Mapping[str, int]  # stored, by table
    overflow: int
    started: float
    committed_ns: int


class _Pending:
    """A submitted batch, its future, and the outcome of each of its requests so far.

    `open` are the requests whose outcome is not final.
    """

    __slots__ = ("batch", "future", "open", "outcomes")

    def __init__(self, batch: WriteBatch) -> None:
        self.batch = batch
        self.future: Future[list[Outcome]] = Future()
        self.outcomes: list[Outcome] = list(batch.results)
        self.open = set(range(len(batch.results)))


class Writer:
    """Commits batches in the order in which they were submitted.

    `fatal` is set, and `on_fatal` called on the commit thread, when the engine has invalidated
    itself: the process has to exit non-zero and be restarted.
    """

    def __init__(
        self, segments: Segments, ledger: Ledger, config: settings.Store, telemetry: Telemetry,
        clock: Clock, *, next_seq: int, queries: UserQueries, on_rotated: Callable[[Segment], None],
        on_fatal: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.fatal = threading.Event()
        self.on_fatal = on_fatal
        self.accepting = True
        self.reason = ""  # why not accepting: disk_low, io or fatal
        self._segments = segments
        self._ledger = ledger
        self.config = config
        self._telemetry = telemetry
        self._clock = clock
        self._next_seq = next_seq
        self._queries = queries
        self._on_rotated = on_rotated
        self._cursor: Cursor = segments.engine.new_cursor()
        self._queue: deque[_Pending] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._doubtful: _Attempt | None = None  # its COMMIT failed, perhaps after it was durable
        self._rotation = False  # asked for, whether due or not
        self._watched_at = 0.0
        self._quarantined = self._count_quarantined()
        self._watch()
        self._thread = threading.Thread(target=self._loop, name="commit", daemon=True)

    @property
    def newest_seq(self) -> int:
        """Every row up to this seq is committed, and none above it."""
        return self._next_seq - 1

    def start(self) -> None:
        self._thread.start()

    def rotate(self, timeout_seconds: float) -> None:
        """Start a new segment, so that the present one is sealed. Raises StoreUnavailable."""
        old = self._segments.hot.id
        with self._changed:
            self._rotation = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._segments.hot.id != old, timeout_seconds)
        if not done:
            raise StoreUnavailable("no new segment could be started")

    def close(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, batch: WriteBatch) -> Future[list[Outcome]]:
        """Queue a batch; blocks while four others wait.

        The future holds one ExportResult a request after the commit, or in its place InvalidPayload
        when the database refused the request, StoreUnavailable or StoreFatal when it was not
        stored. It raises one of the latter two when nothing of the batch was stored.
        """
        pending = _Pending(batch)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._queue) < QUEUED_BATCHES)
            if self._closed or self.fatal.is_set():
                pending.future.set_exception(StoreUnavailable("the store is closing"))
                return pending.future
            self._queue.append(pending)
            self._changed.notify_all()
        return pending.future

    # The commit thread

    def _loop(self) -> None:
        while True:
            group = self._take()
            if group is None:
                return
            if group:
                self._commit_group(group)
            if group or self._rotation:
                self._rotate_if_due()
            if time.monotonic() - self._watched_at >= WATCH_SECONDS:
                self._watch()

    def _take(self) -> list[_Pending] | None:
        """Everything that is queued, up to about 20,000 rows; None when closed and empty."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._queue or self._closed or self._rotation, WATCH_SECONDS
            )
            if not self._queue:
                return None if self._closed else []
            group, rows = [], 0
            while self._queue and rows < GROUP_ROWS:
                pending = self._queue.popleft()
                rows += Part(pending.batch).num_rows()
                group.append(pending)
            self._changed.notify_all()
        return group

    def _commit_group(self, group: list[_Pending]) -> None:
        try:
            self._settle()
            parts = self._without_duplicates(group)
            self._commit_or_bisect(parts, {id(p.batch): p for p in group})
        except StoreError as error:
            self._refuse(group, error)
        except Exception as error:  # a bug must neither end the thread nor be acknowledged
            log.exception("commit failed")
            self._refuse(group, StoreUnavailable(f"commit failed: {type(error).__name__}"))
        else:
            for pending in group:
                pending.future.set_result(pending.outcomes)

    def _refuse(self, group: list[_Pending], error: StoreError) -> None:
        """Nothing that is still open was stored: every client is told so."""
        for pending in group:
            # Copies: the error's traceback holds this group, and so all of its rows.
            if len(pending.open) == len(pending.outcomes):
                pending.future.set_exception(type(error)(str(error)))
                continue
            for i in pending.open:
                pending.outcomes[i] = type(error)(str(error))
            pending.future.set_result(pending.outcomes)
        if isinstance(error, StoreFatal):
            self.fail(error)

    def fail(self, error: StoreFatal) -> None:
        """Refuse everything from now on: the engine is gone."""
        log.critical("database engine failed; the daemon must be restarted", error=str(error))
        with self._changed:
            self.fatal.set()
            waiting = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        self._set_accepting(False, "fatal")
        for pending in waiting:
            pending.future.set_exception(error)
        if self.on_fatal is not None:
            self.on_fatal()

    def _without_duplicates(self, group: Sequence[_Pending]) -> list[Part]:
        """Leave out requests that are committed already or come twice in this group."""
        seen: set[bytes] = set()
        parts = []
        for pending in group:
            fresh = []
            for i, digest in enumerate(pending.batch.digests):
                known = self._ledger.lookup(digest)
                if known is not None:
                    pending.open.discard(i)
                if known is None and digest not in seen:
                    fresh.append(i)
                    seen.add(digest)
                else:
                    original = known or pending.batch.results[i]
                    pending.outcomes[i] = replace(original, duplicate=True)
            if len(fresh) == len(pending.batch.digests):
                parts.append(Part(pending.batch))
            elif fresh:
                parts.append(Part(pending.batch, tuple(fresh)))
        return parts

    def _commit_or_bisect(self, parts: list[Part], pending: dict[int, _Pending]) -> None:
        """Commit parts in one transaction; when the data is refused, find the culprit."""
        if not parts:
            return
        try:
            self._commit_before_queries(parts)
        except (duckdb.Error, pa.ArrowException) as error:
            kind = fault(error)
            self._telemetry.commit_failures.labels(kind).inc()
            if kind == "fatal":
                raise StoreFatal(str(error)) from error
            if kind == "io" or self._doubtful is not None:
                log.warning("commit failed", error=str(error)[:500])
                self._set_accepting(False, "io")
                raise StoreUnavailable(str(error)) from error
            middle = len(parts) // 2
            halves = (
                [parts[:middle], parts[middle:]]
                if len(parts) > 1
                else [[half] for half in parts[0].halves()]
            )
            for half in halves:
                self._commit_or_bisect(half, pending)
            if not halves:
                self._set_poison_aside(parts[0], error, pending)
        else:
            for part in parts:
                pending[id(part.batch)].open.difference_update(part.indices())

    def _set_poison_aside(
        self, part: Part, error: BaseException, pending: dict[int, _Pending]
    ) -> None:
        log.warning("request refused by the database", error=str(error)[:500])
        if part.indices():
            self._commit([Part(poison_batch(part, error))])
        self._telemetry.poison_requests.inc()
        for i in part.indices():
            pending[id(part.batch)].open.discard(i)
            pending[id(part.batch)].outcomes[i] = InvalidPayload(
                "the rows of this request cannot be stored"
            )

    def _commit_before_queries(self, parts: Sequence[Part]) -> None:
        """Commit; users' queries end when they have left no memory for it."""
        try:
            self._commit(parts)
        except duckdb.OutOfMemoryException as error:
            log.warning("commit without memory; ending users' queries", error=str(error)[:200])
            with self._queries.ended("incoming data needed the memory"):
                rollback(self._cursor)
                if not self._is_settled():
                    self._commit(parts)

    def _commit(self, parts: Sequence[Part]) -> None:
        """One transaction with all rows of the parts and their ledger entries.

        A COMMIT can fail after it is durable. Then this returns like any other; when even that
        cannot be found out now, it raises and leaves `_doubtful` for `_is_settled`.
        """
        started, committed_ns = time.perf_counter(), self._clock.now_ns()
        catalog, first_seq = self._segments.hot.catalog, self._next_seq
        stored: dict[str, int] = {}
        overflow = 0
        try:
            run(self._cursor, "BEGIN TRANSACTION")
            for table in TABLES:
                rows = stored_rows(parts, table, first_seq + sum(stored.values()))
                if rows is not None and table == "quarantine":
                    rejected, rows = rows.num_rows, self._bounded(rows)
                    overflow = rejected - rows.num_rows
                if rows is not None and rows.num_rows:
                    self._insert(catalog, table, rows)
                    stored[table] = rows.num_rows
            self._insert(catalog, "ledger", ledger_rows(parts, committed_ns))
            attempt = _Attempt(parts, catalog, first_seq, stored, overflow, started, committed_ns)
            self._doubtful = attempt
            run(self._cursor, "COMMIT")
        except duckdb.Error as error:
            rollback(self._cursor)
            if fault(error) == "fatal" or not self._is_settled():
                raise
        except BaseException:
            rollback(self._cursor)
            raise
        else:
            self._doubtful = None
            self._count(attempt)
        finally:
            unregister(self._cursor, "new_rows")

    def _settle(self) -> None:
        """Nothing is committed, and no seq given again, before a doubt is settled."""
        try:
            self._is_settled()
        except duckdb.Error as error:
            if fault(error) == "fatal":
                raise StoreFatal(str(error)) from error
            raise StoreUnavailable(str(error)) from error

    def _is_settled(self) -> bool:
        """Whether the doubtful attempt was durable: no other rows bear its seq or come after.

        Raises duckdb.Error when that cannot be told now; the doubt stays. An attempt without rows
        may as well be repeated.
        """
        attempt = self._doubtful
        if attempt is None:
            return False
        asked = " UNION ALL ".join(
            f"SELECT 1 FROM {attempt.catalog}.main.{table} WHERE seq >= $1"  # noqa: S608
            for table in attempt.rows
        )
        durable = bool(asked and run(self._cursor, asked + " LIMIT 1", [attempt.first_seq]))
        self._doubtful = None
        if durable:
            log.warning("a commit that failed was durable", rows=sum(attempt.rows.values()))
            self._count(attempt)
        return durable

    def _count(self, attempt: _Attempt) -> None:
        """Take note of what has become durable."""
        rows = sum(attempt.rows.values())
        self._next_seq = attempt.first_seq + rows
        self._segments.show_new(
            details="span_details" in attempt.rows,
            unplaced=any(_names_a_response(part.batch.evaluations) for part in attempt.parts),
        )
        quarantined = attempt.rows.get("quarantine", 0)
        self._quarantined += quarantined
        self._ledger.add(
            [(p.batch.digests[i], p.batch.results[i]) for p in attempt.parts for i in p.indices()],
            attempt.committed_ns,
        )
        # Counted after the commit: what failed comes again.
        self._telemetry.quarantined_items.inc(quarantined)
        self._telemetry.quarantine_overflow.inc(attempt.overflow)
        self._telemetry.commits.inc()
        self._telemetry.commit_rows.observe(rows)
        self._telemetry.commit_duration.observe(time.perf_counter() - attempt.started)
        self._telemetry.last_commit.set(attempt.committed_ns / 1e9)
        if self.reason == "io":
            self._set_accepting(True, "")

    def _insert(self, catalog: str, table: str, rows: pa.Table) -> None:
        self._cursor.register("new_rows", rows)
        for statement in inserts(catalog, table, "new_rows"):
            run(self._cursor, statement)

    def _bounded(self, rows: pa.Table) -> pa.Table:
        """As many rejected items as the segment may still keep; the others are only counted."""
        return rows.slice(0, max(0, self.config.quarantine_rows - self._quarantined))

    def _count_quarantined(self) -> int:
        catalog = self._segments.hot.catalog
        count: int = run(self._cursor, f"SELECT count(*) FROM {catalog}.main.quarantine")[0][0]  # noqa: S608
        return count

    # Rotation and the disk

    def _rotate_if_due(self) -> None:
        wanted, self._rotation = self._rotation, False
        if self.fatal.is_set() or not (wanted or self._segments.is_due()):
            return
        try:
            self._settle()  # it can be asked only where it was written
            self._on_rotated(self._segments.rotate())
            with self._changed:
                self._changed.notify_all()
            self._quarantined = 0
            self._telemetry.segment_rotations.inc()
        except StoreFatal as error:
            self.fail(error)
        except StoreError as error:  # the full disk, most likely; tried again after the next commit
            log.warning("could not start a new segment", error=str(error))

    def _watch(self) -> None:
        """Look at the disk, and stop or resume taking new data."""
        self._watched_at = time.monotonic()
        log_bytes = self._segments.log_bytes()
        needed = max(self.config.min_free_bytes, 2 * log_bytes)
        free = shutil.disk_usage(self._segments.folder).free
        if free < needed and self.accepting:  # what queries have spilled goes with them
            with self._queries.ended("incoming data needed the disk"):
                free = shutil.disk_usage(self._segments.folder).free
        self._telemetry.free_bytes.set(free)
        self._telemetry.log_bytes.set(log_bytes)
        if self.fatal.is_set():
            return
        if free < needed:
            self._set_accepting(False, "disk_low")
        else:
            self._set_accepting(True, "")

    def _set_accepting(self, accepting: bool, reason: str) -> None:
        if accepting != self.accepting:
            log.warning("store accepting changed", accepting=accepting, reason=reason)
        self.accepting, self.reason = accepting, reason
        self._telemetry.accepting.set(accepting)


def _names_a_response(results: pa.Table | None) -> bool:
    """Whether some of these results name only the response that they judge."""
    if results is None:
        return False
    alone = pc.and_(pc.is_null(results["trace_id"]), pc.is_valid(results["response_id"]))
    return bool(pc.any(alone).as_py())
