"""Seals segments in the background: checkpoint, verify, attach read-only, record."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import duckdb
import structlog

from retraind.clock import Clock
from retraind.config import settings
from retraind.errors import StoreError, StoreFatal, StoreUnavailable
from retraind.store.engine import Cursor, fault, run, store_errors
from retraind.store.segments import Segment, Segments
from retraind.store.views import STORED
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)

RETRY_SECONDS = 10.0
READERS_SECONDS = 30.0
TEXTS = (
    "input_messages", "output_messages", "system_instructions", "input_text", "output_text",
    "attributes", "resource", "events", "links", "norm_source",
)  # fmt: skip
NOTHING: Mapping[str, str] = {}
TEXT_SAMPLE = 8  # a block of a column of long texts holds far more rows than that


def without(left_out: Mapping[str, str], table: str) -> str:
    """The WHERE that leaves rows of a table out."""
    return f" WHERE ({left_out[table]}) IS NOT TRUE" if table in left_out else ""


def fingerprint(
    cursor: Cursor,
    catalog: str,
    *,
    sample: int = TEXT_SAMPLE,
    left_out: Mapping[str, str] = NOTHING,
) -> list[tuple[str, int, int]]:
    """(part, rows, checksum) of every table of a segment, independent of the order of rows.

    Checksums add up over segments. Long texts of spans are hashed in one row of `sample`, all
    other columns in every row. Rows for which a condition of `left_out` holds do not count.
    """
    parts = {
        table: f"FROM {catalog}.main.{table} t{without(left_out, table)}"
        for table in (*STORED, "ledger")
    }
    if sample > 1:
        spans, texts = f"FROM {catalog}.main.spans", ", ".join(TEXTS)
        parts["spans"] = f"FROM (SELECT * EXCLUDE ({texts}) {spans}) t"
        parts["texts"] = f"FROM (SELECT seq, {texts} {spans} WHERE seq % {sample} = 0) t"
    rows: list[Any] = run(
        cursor,
        " UNION ALL ".join(
            f"SELECT '{part}', count(*), coalesce(sum(hash(t)::HUGEINT), 0)::HUGEINT {relation}"
            for part, relation in parts.items()
        )
        + " ORDER BY 1",
    )
    return rows


def measured(cursor: Cursor, segment: Segment) -> Segment:
    """The segment with its rows and its ranges of seq and event time filled in."""
    catalog = segment.catalog
    seqs = " UNION ALL ".join(
        f"SELECT min(seq) AS low, max(seq) AS high FROM {catalog}.main.{table}"  # noqa: S608
        for table in STORED
    )
    (first_seq, last_seq), *_ = run(cursor, f"SELECT min(low), max(high) FROM ({seqs})")  # noqa: S608
    (n, first_ns, last_ns), *_ = run(
        cursor,
        f"SELECT (SELECT count(*) FROM {catalog}.main.spans), epoch_ns(min(t)), epoch_ns(max(t)) "  # noqa: S608
        f"FROM (SELECT start_time AS t FROM {catalog}.main.spans "
        f"UNION ALL SELECT time FROM {catalog}.main.evaluations "
        f"UNION ALL SELECT time FROM {catalog}.main.logs "
        f"UNION ALL SELECT received_at FROM {catalog}.main.quarantine)",
    )
    return replace(
        segment, span_rows=n, first_seq=first_seq, last_seq=last_seq, first_ns=first_ns,
        last_ns=last_ns,
    )  # fmt: skip


class Sealer:
    """A thread that seals the segments it is given, one after the other."""

    def __init__(
        self, segments: Segments, config: settings.Store, telemetry: Telemetry, clock: Clock,
        *, on_fatal: Callable[[StoreFatal], None],
    ) -> None:  # fmt: skip
        self._segments = segments
        self._config = config
        self._telemetry = telemetry
        self._clock = clock
        self._on_fatal = on_fatal
        self._queue: queue.Queue[Segment | None] = queue.Queue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="seal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, segment: Segment) -> None:
        """Seal this segment when its turn comes."""
        self._queue.put(segment)

    def close(self) -> None:
        """Finish the segment at hand; the others are sealed after the next start."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while (segment := self._queue.get()) is not None:
            while not self._stopping.is_set():
                try:
                    self.seal(segment)
                    break
                except StoreFatal as error:
                    self._on_fatal(error)
                    return
                except (StoreError, OSError) as error:
                    log.warning("segment not sealed yet", file=segment.file, error=str(error))
                    self._stopping.wait(RETRY_SECONDS)

    def seal(self, segment: Segment) -> None:
        """Seal one segment. Can be repeated after a crash at any point. Raises StoreError."""
        segments, started = self._segments, time.perf_counter()
        segments.record(segment)
        segments.record(segments.hot)
        self._require_space(segment)
        with store_errors():
            cursor = segments.engine.cursor()
            facts = measured(cursor, segment)
            before = fingerprint(cursor, segment.catalog)
            self._require_space(segment)  # the disk may have filled meanwhile
            segments.engine.checkpoint(cursor, segment.catalog)
            sealed = replace(
                facts, status="sealed", sealed_ns=self._clock.now_ns(),
                bytes=segments.path(segment).stat().st_size,
            )  # fmt: skip
            with segments.alone(READERS_SECONDS):
                self._swap(segment, sealed, before)
        self._telemetry.segment_seal_duration.observe(time.perf_counter() - started)

    def _swap(self, segment: Segment, sealed: Segment, before: list[tuple[str, int, int]]) -> None:
        """Attach the file read-only instead, and compare its contents with what was committed."""
        segments = self._segments
        segments.detach(segment)
        try:
            segments.attach(sealed)
            same = fingerprint(segments.engine.cursor(), sealed.catalog) == before
        except duckdb.Error as error:
            if fault(error) == "fatal":
                raise
            same = False
        if same:
            segments.record(sealed)
        else:
            log.error("sealed segment does not hold what was committed", file=segment.file)
            segments.detach(sealed)
            segments.set_aside(segment, "its checkpoint could not be verified")
        segments.refresh_views()

    def _require_space(self, segment: Segment) -> None:
        """A checkpoint that fills the disk invalidates the engine, so it is not even begun."""
        log_path = self._segments.log_path(segment)
        needed = log_path.stat().st_size if log_path.exists() else 0
        if shutil.disk_usage(self._segments.folder).free < 2 * needed:
            raise StoreUnavailable(f"sealing needs {2 * needed} bytes of free disk")
