"""Merges small sealed segments in the background, so that reads open few files.

The rename of the finished file is the moment of the switch: until then it bears another name and is
deleted at start, from then on its segment_info names the segments whose rows it holds, and start
deletes what is left of those. So at every moment each row is readable exactly once. Rows are
copied in no promised order: `seq` is the order. Erasing rows is the same with some left out.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import structlog

from retraind.clock import Clock
from retraind.config import settings
from retraind.errors import StoreError, StoreFatal, StoreUnavailable
from retraind.model import HOUR_NS
from retraind.store.commit import inserts
from retraind.store.engine import Cursor, run, store_errors, unregister
from retraind.store.queries import SEGMENT_VERSION
from retraind.store.seal import fingerprint, measured, without
from retraind.store.segments import ATTACHED_FOR_ONE_READ, MERGING, Segment, Segments
from retraind.store.views import STORED
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)

MERGED_BYTES = 2**30  # large enough that 50 GiB are some 50 files, small enough to copy in a minute
MERGED_SPAN_NS = 24 * HOUR_NS  # retention and reads by time work on whole files
FEWEST = 4  # fewer files are not worth rewriting, unless nothing more can join them
MOST = 64  # files opened at once
START_SECONDS = 60.0  # the first minute belongs to clients that catch up
QUIET_SECONDS = 5.0
OVERDUE_SECONDS = 600.0  # under load that never pauses
CHECK_SECONDS = 2.0
READERS_SECONDS = 30.0


def choose_run(segments: Sequence[Segment], now_ns: int) -> list[Segment]:
    """The oldest neighbours that are worth merging, in order of seq; empty when there are none.

    `segments`: all readable ones in order of seq. A run is at least four files of which none holds
    over half of the bytes, so that a row is rewritten at most log2(1 GiB / its file) times; or two
    and more so old that no later file can join them.
    """
    for first in range(len(segments)):
        chosen = _longest_run(segments[first : first + MOST])
        if len(chosen) < 2:
            continue
        total = sum(segment.bytes or 0 for segment in chosen)
        even = 2 * max(segment.bytes or 0 for segment in chosen) <= total
        finished = min(s.created_ns for s in chosen) <= now_ns - MERGED_SPAN_NS
        if finished or (len(chosen) >= FEWEST and even):
            return chosen
    return []


def _longest_run(segments: Sequence[Segment]) -> list[Segment]:
    chosen: list[Segment] = []
    for segment in segments:
        if segment.status != "sealed" or not _fits([*chosen, segment]):
            break
        chosen.append(segment)
    return chosen


def _fits(run_: Sequence[Segment]) -> bool:
    """Within the limits of size and time; a single segment wider than a day may take others in."""
    if sum(segment.bytes or 0 for segment in run_) >= MERGED_BYTES:
        return False
    if len({segment.schema_version for segment in run_}) > 1:
        return False
    written = max(s.sealed_ns or s.created_ns for s in run_) - min(s.created_ns for s in run_)
    ranges = [
        (s.first_ns, s.last_ns)
        for s in run_
        if s.first_ns is not None and s.last_ns is not None
    ]  # fmt: skip
    widest = max((last - first for first, last in ranges), default=0)
    union = max((b for _, b in ranges), default=0) - min((a for a, _ in ranges), default=0)
    return len(run_) == 1 or (
        written <= MERGED_SPAN_NS and union <= max(MERGED_SPAN_NS, widest)
    )  # fmt: skip


class Merger:
    """A thread that merges when no commit and no sealing would be in its way."""

    def __init__(
        self, segments: Segments, config: settings.Store, telemetry: Telemetry, clock: Clock,
        *, on_fatal: Callable[[StoreFatal], None],
    ) -> None:  # fmt: skip
        self._segments = segments
        self.config = config
        self._telemetry = telemetry
        self._clock = clock
        self._on_fatal = on_fatal
        self._cursor: Cursor = segments.engine.new_cursor()
        self._stopping = threading.Event()
        self._position = (0, 0)
        self._moved_at = self._tried_at = time.monotonic()
        self._working = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name="merge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Give up the merge at hand, and end the thread."""
        self._stopping.set()
        while self._thread.is_alive():
            self._cursor.interrupt()
            self._thread.join(0.05)

    def _loop(self) -> None:
        self._stopping.wait(START_SECONDS)
        while not self._stopping.wait(CHECK_SECONDS):
            chosen = choose_run(self._segments.all(), self._clock.now_ns())
            if not self._is_quiet() or not chosen:
                continue
            try:
                self.merge(chosen)
            except (StoreError, OSError) as error:
                self._telemetry.segment_merge_failures.inc()
                log.warning("segments not merged; tried again later", error=str(error))
                if isinstance(error, StoreFatal):
                    self._on_fatal(error)
                    return
                self._stopping.wait(OVERDUE_SECONDS)
            self._tried_at = time.monotonic()

    def _is_quiet(self) -> bool:
        """Has no commit come for seconds, or is merging overdue? Sealing always goes first."""
        position = (self._segments.hot.id, self._segments.log_bytes())
        now = time.monotonic()
        if position != self._position:
            self._position, self._moved_at = position, now
        readable = self._segments.all()
        if any(segment.status == "sealing" for segment in readable):
            return False
        return (
            now - self._moved_at >= QUIET_SECONDS
            or now - self._tried_at >= OVERDUE_SECONDS
            or len(readable) > ATTACHED_FOR_ONE_READ
        )

    def merge(self, sources: Sequence[Segment]) -> Segment:
        """Replace sealed segments by one with all of their rows. Raises StoreError."""
        started = time.perf_counter()
        with self._working:
            merged = self._replace(sources, {})
        self._telemetry.segment_merges.inc()
        self._telemetry.segments_merged.inc(len(sources))
        self._telemetry.segment_merge_duration.observe(time.perf_counter() - started)
        log.info("segments merged", file=merged.file, merged=[source.file for source in sources])
        return merged

    def rewrite(
        self, source: Segment, left_out: Mapping[str, str], given: Mapping[str, pa.Table]
    ) -> Segment:
        """Replace a sealed segment by one without some of its rows. Raises StoreError.

        `left_out`: a condition in SQL for each table that loses rows; `given`: tables it may name.
        """
        with self._working:
            try:
                for name, table in given.items():
                    self._cursor.register(name, table)
                return self._replace([source], left_out)
            finally:
                for name in given:
                    unregister(self._cursor, name)

    def _replace(self, sources: Sequence[Segment], left_out: Mapping[str, str]) -> Segment:
        segments = self._segments
        merged = replace(
            sources[0],
            id=segments.next_id(),
            schema_version=SEGMENT_VERSION,
            created_ns=min(segment.created_ns for segment in sources),
            sealed_ns=max(segment.sealed_ns or 0 for segment in sources),
        )
        partial = segments.path(merged).with_name(merged.file + MERGING)
        with segments.pinned(sources), store_errors():
            try:
                merged = self._write(merged, sources, left_out, partial)
                with segments.alone(READERS_SECONDS):
                    self._switch(merged, sources, partial)
            finally:
                for path in (partial, partial.with_name(partial.name + ".wal")):
                    path.unlink(missing_ok=True)
        for source in sources:  # those that a crash leaves here are deleted at start
            segments.path(source).unlink(missing_ok=True)
        return merged

    def _write(
        self,
        merged: Segment,
        sources: Sequence[Segment],
        left_out: Mapping[str, str],
        partial: Path,
    ) -> Segment:
        """Write the file under its passing name, and compare it with the sources."""
        self._require_space(sources)
        engine, catalog = self._segments.engine, merged.catalog
        for path in (partial, partial.with_name(partial.name + ".wal")):
            path.unlink(missing_ok=True)
        engine.attach(partial, catalog)
        try:
            self._segments.initialise(merged, merged_from=[source.id for source in sources])
            for table in (*STORED, "ledger"):
                rows = " UNION ALL BY NAME ".join(
                    f"SELECT * FROM {source.catalog}.main.{table}{without(left_out, table)}"  # noqa: S608
                    for source in sources
                )
                for statement in inserts(catalog, table, f"({rows})"):
                    run(self._cursor, statement)
            self._require_space(sources)
            engine.checkpoint(self._cursor, catalog)
            engine.detach(catalog)
            engine.attach(partial, catalog, read_only=True)
            self._verify(catalog, sources, left_out)
            # What was erased has had a seq, and no row may have it again.
            firsts = [s.first_seq for s in sources if s.first_seq is not None]
            lasts = [s.last_seq for s in sources if s.last_seq is not None]
            return replace(
                measured(self._cursor, merged),
                first_seq=min(firsts, default=None),
                last_seq=max(lasts, default=None),
                bytes=partial.stat().st_size,
            )
        finally:
            with suppress(duckdb.Error):
                engine.detach(catalog)

    def _verify(
        self, catalog: str, sources: Sequence[Segment], left_out: Mapping[str, str]
    ) -> None:
        """Every value of every row: the sources are deleted afterwards."""
        expected: dict[str, tuple[int, int]] = {}
        for source in sources:
            for table, n, checksum in fingerprint(
                self._cursor, source.catalog, sample=1, left_out=left_out
            ):
                rows, total = expected.get(table, (0, 0))
                expected[table] = rows + n, total + checksum
        found = {t: (n, s) for t, n, s in fingerprint(self._cursor, catalog, sample=1)}
        if found != expected:
            raise StoreUnavailable("the merged segment does not hold what its sources hold")

    def _switch(self, merged: Segment, sources: Sequence[Segment], partial: Path) -> None:
        """Let the merged file take the sources' place; nobody reads meanwhile."""
        segments, path = self._segments, self._segments.path(merged)
        partial.rename(path)
        try:
            _sync(path.parent)
            segments.attach(merged)
            segments.record(merged, *(replace(source, status="merged") for source in sources))
        except BaseException:
            segments.detach(merged)
            path.unlink()
            raise
        segments.refresh_views()
        for source in sources:
            segments.detach(source)

    def _require_space(self, sources: Sequence[Segment]) -> None:
        """Room for the copy and for what the watch keeps free: ingest must not notice."""
        kept = max(self.config.min_free_bytes, 2 * self._segments.log_bytes())
        needed = 2 * sum(segment.bytes or 0 for segment in sources) + kept
        if shutil.disk_usage(self._segments.folder).free < needed:
            raise StoreUnavailable(f"merging needs {needed} bytes of free disk")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
