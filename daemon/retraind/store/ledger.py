"""Which requests were committed within the last hour: how a retry is recognised."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from retraind.clock import Clock
from retraind.model import HOUR_NS, ExportResult
from retraind.store.engine import run, store_errors
from retraind.store.segments import Segments
from retraind.telemetry import Telemetry

RETRY_WINDOW_NS = HOUR_NS
MAX_ENTRIES = 500_000


class Ledger:
    """In-memory index of the segments' ledger tables: digest to answer. Thread-safe and bounded."""

    def __init__(
        self, telemetry: Telemetry, clock: Clock, *, max_entries: int = MAX_ENTRIES
    ) -> None:
        self._entries: OrderedDict[bytes, tuple[int, ExportResult]] = OrderedDict()
        self._lock = threading.Lock()
        self._telemetry = telemetry
        self._clock = clock
        self._max_entries = max_entries

    def lookup(self, digest: bytes) -> ExportResult | None:
        """The answer that this request got, None when it is not known."""
        with self._lock:
            entry = self._entries.get(digest)
            if entry is None or entry[0] < self._clock.now_ns() - RETRY_WINDOW_NS:
                return None
            return entry[1]

    def add(self, entries: Iterable[tuple[bytes, ExportResult]], committed_ns: int) -> None:
        """Remember requests that have been committed, and forget those older than an hour."""
        oldest = self._clock.now_ns() - RETRY_WINDOW_NS
        with self._lock:
            for digest, result in entries:
                self._entries[digest] = (committed_ns, result)
            while self._entries:
                digest, (at_ns, _) = next(iter(self._entries.items()))
                if at_ns >= oldest:
                    if len(self._entries) <= self._max_entries:
                        break
                    self._telemetry.ledger_evictions.inc()
                del self._entries[digest]
            self._telemetry.ledger_entries.set(len(self._entries))

    def rebuild(self, segments: Segments) -> None:
        """Read the last hour of every segment's ledger table. Raises StoreError."""
        oldest = self._clock.now_ns() - RETRY_WINDOW_NS
        with segments.reading(), store_errors():
            cursor = segments.engine.cursor()
            for segment in segments.all():
                if segment.sealed_ns is not None and segment.sealed_ns < oldest:
                    continue
                segments.attach(segment)
                rows = run(
                    cursor,
                    "SELECT digest, accepted, rejected, message, epoch_ns(committed_at) "  # noqa: S608
                    f"FROM {segment.catalog}.ledger "
                    "WHERE committed_at >= make_timestamp_ns(?::BIGINT) ORDER BY committed_at",
                    [oldest],
                )
                for digest, accepted, rejected, message, at_ns in rows:
                    self.add([(digest, ExportResult(accepted, rejected, message or ""))], at_ns)
