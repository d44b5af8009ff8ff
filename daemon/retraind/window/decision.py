"""Decision windows of a series: runs of panes with enough sessions, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from retraind.config.settings import WindowSettings
from retraind.model import HOUR_NS

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """Panes [start_ns, end_ns); not `ready`: too few sessions at the longest length (no_data)."""

    start_ns: int
    end_ns: int
    sessions: int
    ready: bool


def close_windows(
    window_start_ns: int,
    panes: Iterable[tuple[int, int]],
    closed_through_ns: int,
    settings: WindowSettings,
) -> list[ClosedWindow]:
    """Windows that have closed from `window_start_ns` on; the next begins where the last one ended.

    `panes`: (start, sessions) in any order; hours without one had no session. A window closes at
    the end of the first pane at which it is long enough and has enough sessions, or at
    `max_length`. It begins at `window_start_ns`, empty hours included: a series that falls silent
    is no_data after `max_length`. Only panes that end by `closed_through_ns` count. Cost: the
    number of panes.
    """
    low, high = int(settings.min_length * SECOND_NS), int(settings.max_length * SECOND_NS)
    closed: list[ClosedWindow] = []
    start, sessions = window_start_ns, 0

    def expire(until_ns: int) -> None:
        """Close what reached its longest length by `until_ns`."""
        nonlocal start, sessions
        while (end := _whole_hours(start + high)) <= until_ns:
            ready = sessions >= settings.min_sessions_at_max_length
            closed.append(ClosedWindow(start, end, sessions, ready))
            start, sessions = end, 0

    for pane_ns, count in sorted(panes):
        end = pane_ns + HOUR_NS
        if pane_ns < window_start_ns or end > closed_through_ns:
            continue
        expire(pane_ns)
        sessions += count
        if end - start >= low and sessions >= settings.min_sessions:
            closed.append(ClosedWindow(start, end, sessions, ready=True))
            start, sessions = end, 0
    expire(closed_through_ns)
    return closed


def _whole_hours(end_ns: int) -> int:
    return -(-end_ns // HOUR_NS) * HOUR_NS
