"""How far the events of one source are complete: a pure state machine over batches.

Watermark = newest event time - lateness, where lateness is the 99th percentile of (newest event
time seen before - event time), between `lateness_min` and `lateness_max`. An idle source's
watermark advances by the wall time since its last arrival, never to the wall clock: a backfill
stays where its events are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retraind.config.settings import WindowSettings

SECOND_NS = 1_000_000_000
FUTURE_NS = 300 * SECOND_NS
HALVE_AT = 100_000
PERCENTILE = 99
BINS = 64
"""Bin 0: late by less than a second; bin k: by less than 1.25**k seconds; the last: the rest."""

_EDGES_NS = np.rint(1.25 ** np.arange(BINS - 1) * SECOND_NS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch of rows of a source says about time. No newest event: all lay in the future."""

    max_event_ns: int | None
    lateness_counts: tuple[int, ...]
    arrived_ns: int
    future: int


def summarise(
    event_ns: NDArray[np.int64],
    received_ns: NDArray[np.int64],
    max_event_ns: int | None = None,
) -> Batch:
    """Summarise rows in the order of their seq, given the newest event time before them.

    Events more than 5 minutes past their arrival are counted in `future` and otherwise ignored.
    Raises ValueError for no rows.
    """
    if len(event_ns) == 0:
        raise ValueError("a batch has at least one row")
    arrived = int(received_ns.max())
    usable = event_ns <= received_ns + FUTURE_NS
    future = int((~usable).sum())
    events = event_ns[usable]
    if len(events) == 0:
        return Batch(None, (0,) * BINS, arrived, future)
    newest = np.maximum.accumulate(events)
    if max_event_ns is not None:
        newest = np.maximum(newest, max_event_ns)
    bins = np.searchsorted(_EDGES_NS, newest - events, side="right")
    counts = np.bincount(bins, minlength=BINS)
    return Batch(int(newest[-1]), tuple(counts.tolist()), arrived, future)


@dataclass(frozen=True, slots=True)
class SourceClock:
    """Newest event time, its arrival, and the histogram of lateness; columns of `watermarks`."""

    max_event_ns: int
    last_arrival_ns: int
    lateness_counts: tuple[int, ...] = (0,) * BINS

    def update(self, batch: Batch) -> SourceClock:
        """The clock after one more batch. Old lateness fades: counts are halved past 100,000."""
        counts = np.array(self.lateness_counts, np.int64) + np.array(batch.lateness_counts)
        while counts.sum() > HALVE_AT:
            counts //= 2
        if batch.max_event_ns is None:
            return self
        return replace(
            self,
            max_event_ns=max(self.max_event_ns, batch.max_event_ns),
            last_arrival_ns=max(self.last_arrival_ns, batch.arrived_ns),
            lateness_counts=tuple(counts.tolist()),
        )

    def lateness_ns(self, settings: WindowSettings) -> int:
        """Allowance for late spans: upper edge of the 99th percentile's bin, within the bounds."""
        low, high = int(settings.lateness_min * SECOND_NS), int(settings.lateness_max * SECOND_NS)
        counts = np.cumsum(self.lateness_counts)
        if counts[-1] == 0:
            return low
        at = int(np.searchsorted(counts * 100, int(counts[-1]) * PERCENTILE))
        edge = int(_EDGES_NS[at]) if at < len(_EDGES_NS) else high
        return max(low, min(high, edge))

    def watermark_ns(self, now_ns: int, settings: WindowSettings) -> int:
        """Events before this are taken to be complete."""
        idle = max(0, now_ns - self.last_arrival_ns)
        return self.max_event_ns - self.lateness_ns(settings) + idle


def first_clock(batch: Batch) -> SourceClock | None:
    """The clock of a new source; None while all its events lie in the future."""
    if batch.max_event_ns is None:
        return None
    return SourceClock(batch.max_event_ns, batch.arrived_ns, batch.lateness_counts)
