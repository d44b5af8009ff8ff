"""Deletes whole sealed segments by age and by total size: state first, file second."""

from __future__ import annotations

from dataclasses import replace

import structlog

from retraind.clock import Clock
from retraind.config import settings
from retraind.store.segments import Segment, Segments
from retraind.telemetry import Telemetry

log = structlog.get_logger(__name__)

READERS_SECONDS = 5.0


class Retention:
    """Keeps the store within retention_age and retention_bytes; never touches the hot segment."""

    def __init__(
        self, segments: Segments, config: settings.Store, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._segments = segments
        self.config = config
        self._telemetry = telemetry
        self._clock = clock

    def apply(self) -> list[Segment]:
        """Delete what is due, and return it. Raises StoreUnavailable while queries run.

        What is being merged waits for the next time.
        """
        deleted = []
        for segment in self._due():
            with self._segments.alone(READERS_SECONDS):
                if not self._segments.is_deletable(segment):
                    continue
                self._segments.record(replace(segment, status="dropped"))
                self._segments.refresh_views()
                self._segments.detach(segment)
                self._segments.path(segment).unlink(missing_ok=True)
            deleted.append(segment)
            self._telemetry.segments_deleted.inc()
            log.info("segment deleted", file=segment.file, span_rows=segment.span_rows)
        self.measure()
        return deleted

    def measure(self) -> None:
        """Show how many bytes the segments have."""
        self._telemetry.stored_bytes.set(self._total())

    def _due(self) -> list[Segment]:
        sealed = [segment for segment in self._segments.all() if segment.status == "sealed"]
        oldest_ns = self._clock.now_ns() - int(self.config.retention_age * 1e9)
        excess = self._total() - self.config.retention_bytes
        due = []
        for segment in sealed:
            if _newest_ns(segment) < oldest_ns or excess > 0:
                due.append(segment)
                excess -= segment.bytes or 0
        return due

    def _total(self) -> int:
        total = 0
        for segment in self._segments.all():
            for path in (self._segments.path(segment), self._segments.log_path(segment)):
                if path.exists():
                    total += path.stat().st_size
        return total


def _newest_ns(segment: Segment) -> int:
    """Newest event time, at most that of sealing: a wrong clock must not keep it forever."""
    sealed_ns = segment.sealed_ns or 0
    return min(segment.last_ns or sealed_ns, sealed_ns)
