"""The segment files under DIR/store: which there are, which are attached, and the views over them.

One segment is hot and takes every commit. Others are sealed: checkpointed, verified and attached
read-only. A read holds `reading()`; files are detached or swapped only while nobody reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import structlog

from retraind.clock import Clock
from retraind.config import settings
from retraind.errors import StoreUnavailable
from retraind.store.engine import Cursor, Engine, run, store_errors, transaction
from retraind.store.queries import SEGMENT_VERSION, schema_script
from retraind.store.state import State
from retraind.store.views import create_segment_views, has_details, has_unplaced
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)

ATTACHED_FOR_ONE_READ = 64
ATTACHED_FOR_SQL = 1024  # 0.4 MB each; a query over more is refused, never answered in part
MERGING = ".merging"  # behind the name of a file that is not finished
Status = Literal["hot", "sealing", "sealed", "quarantined", "dropped", "merged"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file. Ranges are inclusive and known once it is sealed; times in ns UTC."""

    id: int
    status: Status
    created_ns: int
    schema_version: int = SEGMENT_VERSION
    sealed_ns: int | None = None
    span_rows: int | None = None
    bytes: int | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None

    @property
    def catalog(self) -> str:
        return f"seg_{self.id:06d}"

    @property
    def file(self) -> str:
        return f"segment-{self.id:06d}.duckdb"

    def overlaps(self, first_ns: int | None, last_ns: int | None, after_seq: int | None) -> bool:
        """Can it hold rows of [first_ns, last_ns) with a seq above `after_seq`?"""
        if self.status != "sealed":
            return True
        if after_seq is not None and (self.last_seq is None or self.last_seq <= after_seq):
            return False
        if first_ns is None or last_ns is None:
            return True
        if self.first_ns is None or self.last_ns is None:
            return False
        return self.first_ns < last_ns and self.last_ns >= first_ns


class Segments:
    """The registry of segments. Safe to use from any thread; only the writer calls `rotate`."""

    def __init__(
        self, engine: Engine, state: State, folder: Path, config: settings.Store,
        telemetry: Telemetry, clock: Clock,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.folder = folder
        self.notices: list[str] = []
        self._state = state
        self.config = config
        self._telemetry = telemetry
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._readers = 0
        self._segments: dict[int, Segment] = {}
        self._attached: dict[int, None] = {}  # in order of use
        self._pinned: set[int] = set()
        self._detailed: dict[int, bool] = {}  # by id
        self._unplaced: dict[int, bool] = {}
        self._joined: frozenset[str] = frozenset()  # catalogs whose details the views show
        self._placing = False  # whether the views look for the spans of judged responses
        self._hot: Segment | None = None
        self._next_id = 1

    # What there is

    @property
    def hot(self) -> Segment:
        assert self._hot is not None
        return self._hot

    def all(self) -> list[Segment]:
        """Every segment that holds readable rows, in order of seq."""
        with self._changed:
            return sorted((s for s in self._segments.values() if s.status in _READABLE), key=_order)

    def is_deletable(self, segment: Segment) -> bool:
        """Is it sealed still, and nobody copying it?"""
        with self._changed:
            now = self._segments[segment.id]
            return now.status == "sealed" and segment.id not in self._pinned

    def path(self, segment: Segment) -> Path:
        return self.folder / segment.file

    def log_path(self, segment: Segment) -> Path:
        return self.folder / f"{segment.file}.wal"

    def log_bytes(self) -> int:
        """Size of the hot segment's log."""
        return _size(self.log_path(self.hot))

    def is_due(self) -> bool:
        """Has the hot segment reached its size or age?"""
        age_ns = self._clock.now_ns() - self.hot.created_ns
        return self.log_bytes() >= self.config.segment_bytes or (
            age_ns >= self.config.segment_age * 1e9 and self.log_bytes() > 0
        )

    # Creating and rotating

    def create_hot(self) -> Segment:
        """Create the next segment file, and make it the one that takes commits."""
        with self._changed:
            segment = Segment(self.next_id(), "hot", self._clock.now_ns())
            self.attach(segment)
            self.initialise(segment)
            self._segments[segment.id] = self._hot = segment
            self.refresh_views()
        return segment

    def next_id(self) -> int:
        """A number that no segment had before."""
        with self._changed:
            self._next_id += 1
            return self._next_id - 1

    def initialise(self, segment: Segment, merged_from: Sequence[int] = ()) -> None:
        """Give an empty file its tables, in one transaction."""
        cursor = self.engine.cursor()
        with transaction(cursor):
            run(cursor, schema_script("segment", segment.catalog))
            for key, value in (
                ("schema_version", str(SEGMENT_VERSION)),
                ("engine_version", duckdb.__version__),
                ("created_at_ns", str(segment.created_ns)),
                ("merged_from", " ".join(map(str, merged_from))),
            ):
                run(
                    cursor,
                    f"INSERT INTO {segment.catalog}.segment_info VALUES (?, ?)",  # noqa: S608
                    [key, value],
                )

    def rotate(self) -> Segment:
        """Start a new hot segment; returns the old one, which is to be sealed."""
        with store_errors():
            old = replace(self.hot, status="sealing")
            self.create_hot()
            self.put(old)
        return old

    def continue_with(self, segment: Segment) -> None:
        """Go on writing into a segment that was hot before the restart."""
        with self._changed:
            self._segments[segment.id] = self._hot = segment

    # The registry and its row in the state file

    def put(self, segment: Segment) -> None:
        """Replace what is known of a segment, in memory."""
        with self._changed:
            self._segments[segment.id] = segment
            self._next_id = max(self._next_id, segment.id + 1)
            self._count()

    def record(self, *segments: Segment) -> None:
        """Replace what is known of segments, in memory and, in one transaction, in the state."""
        with self._state.transaction() as tx:
            for segment in segments:
                tx.run("delete_segment", id=segment.id)
                tx.append("segments", _row(segment))
        for segment in segments:
            self.put(segment)

    def set_aside(self, segment: Segment, why: str) -> None:
        """Rename a segment that cannot be used, and tell the operator. Nothing is deleted."""
        for path in (self.path(segment), self.log_path(segment)):
            if path.exists():
                path.rename(path.with_name(path.name + ".quarantined"))
        self.notices.append(f"segment {segment.file} was set aside ({why}); see DIR/store")
        self._telemetry.segments_quarantined.inc()
        self.record(replace(segment, status="quarantined"))

    def _count(self) -> None:
        for status in ("hot", "sealing", "sealed", "quarantined"):
            n = sum(segment.status == status for segment in self._segments.values())
            self._telemetry.segments.labels(status).set(n)

    # Attaching

    def attach(self, segment: Segment) -> None:
        """Attach a file, read-only when sealed. Raises duckdb.Error when it cannot be read."""
        with self._changed:
            if segment.id not in self._attached:
                self.engine.attach(
                    self.path(segment), segment.catalog, read_only=segment.status == "sealed"
                )
            self._attached.pop(segment.id, None)
            self._attached[segment.id] = None

    def detach(self, segment: Segment) -> None:
        """Detach a file if it is attached; call within `alone`."""
        if segment.id in self._attached:
            self.engine.detach(segment.catalog)
            del self._attached[segment.id]

    def refresh_views(self) -> None:
        """Let the views show what is attached: everything unsealed and the newest sealed files."""
        with self._changed:
            shown = [s for s in self._in_views() if s.id in self._attached]
            detailed = self.detailed(shown)
            if detailed:  # the hot segment will get some, too: then the views need not change
                detailed += [s.catalog for s in shown if s.status == "hot"]
            catalogs = [segment.catalog for segment in shown]
            placing = bool(self.unplaced(shown))
            create_segment_views(
                self.engine.cursor(), catalogs, frozenset(detailed), placing=placing
            )
            self._joined, self._placing = frozenset(detailed), placing

    def detailed(self, segments: Sequence[Segment]) -> list[str]:
        """Catalogs of those attached segments in which log records tell of spans."""
        return self._having(has_details, self._detailed, segments)

    def unplaced(self, segments: Sequence[Segment]) -> list[str]:
        """Catalogs of those attached segments with results that name only a response."""
        return self._having(has_unplaced, self._unplaced, segments)

    def _having(
        self,
        ask: Callable[[Cursor, str], bool],
        known: dict[int, bool],
        segments: Sequence[Segment],
    ) -> list[str]:
        """Asks a sealed segment once, and no segment again that has it."""
        found = []
        with self._changed:
            for segment in segments:
                has = known.get(segment.id)
                if not has and (has is None or segment.status != "sealed"):
                    has = known[segment.id] = ask(self.engine.cursor(), segment.catalog)
                if has:
                    found.append(segment.catalog)
        return found

    def show_new(self, *, details: bool, unplaced: bool) -> None:
        """Let the views show details or place results, if the hot segment has got its first now.

        What was committed stays committed when this fails: the next commit tries again.
        """
        with self._changed:
            shown = not details or self.hot.catalog in self._joined
            if shown and (not unplaced or self._placing):
                return
            try:
                self.refresh_views()
            except duckdb.Error as error:
                log.warning("views do not show what is new yet", error=str(error)[:200])

    def _in_views(self) -> list[Segment]:
        readable = self.all()
        sealed = [segment for segment in readable if segment.status == "sealed"]
        hidden = {segment.id for segment in sealed[:-ATTACHED_FOR_ONE_READ]}
        return [segment for segment in readable if segment.id not in hidden]

    # Reading

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing is detached while this is held."""
        with self._changed:
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if self._readers == 0:
                    self._trim()
                    self._changed.notify_all()

    @contextmanager
    def alone(self, timeout_seconds: float) -> Iterator[None]:
        """Wait until nobody reads, and keep readers out. Raises StoreUnavailable in the end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._readers == 0, timeout_seconds):
                raise StoreUnavailable("a query has been running for too long")
            yield

    @contextmanager
    def pinned(self, segments: Sequence[Segment]) -> Iterator[None]:
        """Attach sealed segments, and neither detach nor delete them meanwhile."""
        with self._changed:
            if not all(self.is_deletable(segment) for segment in segments):
                raise StoreUnavailable("a segment is gone or in use")
            with store_errors():
                for segment in segments:
                    self.attach(segment)
            self._pinned |= {segment.id for segment in segments}
        try:
            yield
        finally:
            with self._changed:
                self._pinned -= {segment.id for segment in segments}

    def for_range(
        self, first_ns: int | None, last_ns: int | None, after_seq: int | None
    ) -> Sequence[Segment]:
        """Attached segments that may hold such rows, oldest first; call within `reading`.

        Of the sealed ones at most the newest 64; further ones are counted as left out.
        """
        with self._changed:
            found = [s for s in self.all() if s.overlaps(first_ns, last_ns, after_seq)]
            sealed = [segment for segment in found if segment.status == "sealed"]
            left_out = {segment.id for segment in sealed[:-ATTACHED_FOR_ONE_READ]}
            self._telemetry.segments_left_out.inc(len(left_out))
            chosen = [segment for segment in found if segment.id not in left_out]
            with store_errors():
                for segment in chosen:
                    self.attach(segment)
        return chosen

    def _trim(self) -> None:
        """Detach files that were attached for an old range, the longest unused first."""
        keep = {segment.id for segment in self._in_views()}
        extra = [i for i in self._attached if i not in keep and i not in self._pinned]
        for i in extra[: max(0, len(extra) - ATTACHED_FOR_ONE_READ)]:
            self.detach(self._segments[i])


_READABLE = ("hot", "sealing", "sealed")


def _order(segment: Segment) -> tuple[bool, int, int]:
    """By seq, unknown ones last. Ids are no order: merged files have late ones."""
    return segment.first_seq is None, segment.first_seq or 0, segment.id


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _row(segment: Segment) -> pa.Table:
    def micros(value: int | None) -> Any:
        return pa.array([None if value is None else value // 1000], pa.timestamp("us"))

    def nanos(value: int | None) -> Any:
        return pa.array([value], pa.timestamp("ns"))

    whole = pa.int64()
    return pa.table(
        {
            "id": pa.array([segment.id], pa.int32()),
            "file": [segment.file],
            "status": [segment.status],
            "schema_version": pa.array([segment.schema_version], pa.int32()),
            "created_at": micros(segment.created_ns),
            "sealed_at": micros(segment.sealed_ns),
            "span_rows": pa.array([segment.span_rows], whole),
            "bytes": pa.array([segment.bytes], whole),
            "first_seq": pa.array([segment.first_seq], whole),
            "last_seq": pa.array([segment.last_seq], whole),
            "first_time": nanos(segment.first_ns),
            "last_time": nanos(segment.last_ns),
        }
    )
