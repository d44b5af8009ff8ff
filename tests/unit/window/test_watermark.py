"""The watermark of one source, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from retraind.config.settings import WindowSettings
from retraind.window.watermark import HALVE_AT, SourceClock, first_clock, summarise

S = 1_000_000_000
T = 1_700_000_000 * S
SETTINGS = WindowSettings()


def clock(events: list[int], received: int = T) -> SourceClock:
    batch = summarise(np.array(events) * S + T, np.full(len(events), received))
    found = first_clock(batch)
    assert found is not None
    return found


def test_punctual_events_leave_two_minutes() -> None:
    source = clock([0, 1, 2])
    assert source.watermark_ns(T, SETTINGS) == T + 2 * S - 120 * S


def test_lateness_is_the_99th_percentile_within_a_bucket() -> None:
    events = [1000] + [0] * 2 + [1000] * 97  # 2 of 100 are 1000 s late
    assert 1000 * S <= clock(events, T + 1000 * S).lateness_ns(SETTINGS) <= 1250 * S
    assert clock([1000, 0] + [1000] * 98, T + 1000 * S).lateness_ns(SETTINGS) == 120 * S


def test_lateness_is_at_most_an_hour() -> None:
    assert clock([100_000] + [0] * 99, T + 100_000 * S).lateness_ns(SETTINGS) == 3600 * S


def test_an_idle_source_advances_with_the_wall_and_never_to_it() -> None:
    backfill = clock([-1_000_000])
    later = backfill.watermark_ns(T + 600 * S, SETTINGS)
    assert later == T - 1_000_000 * S - 120 * S + 600 * S
    assert backfill.watermark_ns(T - 5 * S, SETTINGS) == T - 1_000_000 * S - 120 * S


def test_events_of_the_future_do_not_advance_it() -> None:
    batch = summarise(np.array([T, T + 301 * S, T + 300 * S]), np.full(3, T))
    assert (batch.max_event_ns, batch.future) == (T + 300 * S, 1)
    assert first_clock(summarise(np.array([T + 400 * S]), np.array([T]))) is None


def test_batches_add_up_and_time_never_runs_back() -> None:
    first = summarise(np.array([T, T + 50 * S]), np.full(2, T + 60 * S))
    second = summarise(np.array([T + 10 * S]), np.full(1, T + 70 * S), first.max_event_ns)
    source = first_clock(first)
    assert source is not None
    both = source.update(second)
    together = summarise(
        np.array([T, T + 50 * S, T + 10 * S]), np.array([T + 60 * S] * 2 + [T + 70 * S])
    )
    assert both == first_clock(together)
    assert both.max_event_ns == T + 50 * S


def test_the_histogram_forgets_by_halves() -> None:
    source = clock([0])
    for _ in range(3):
        source = source.update(summarise(np.full(60_000, T), np.full(60_000, T)))
    assert 0 < sum(source.lateness_counts) <= HALVE_AT


def test_an_empty_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        summarise(np.array([], np.int64), np.array([], np.int64))
