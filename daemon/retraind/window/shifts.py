"""Where a window's own hours come again: the window moved back by whole days or weeks.

Moved windows do not overlap, and have as many hours of weekend as the window itself, so that the
mix of hours is the same on both sides of a comparison.
"""

from __future__ import annotations

from retraind.model import HOUR_NS
from retraind.window.reference import hour_of_week

DAY_NS = 24 * HOUR_NS
WEEK_NS = 7 * DAY_NS
BLOCK_NS = 4 * HOUR_NS


def week_shifts(start_ns: int, end_ns: int, weeks: int) -> tuple[int, ...]:
    """Whole weeks by which a window is moved back, nearest first: the same hours of the week."""
    step = -(-(end_ns - start_ns) // WEEK_NS) * WEEK_NS
    return tuple(range(step, weeks * WEEK_NS + 1, step))


def day_shifts(start_ns: int, end_ns: int, *, nearest_ns: int, farthest_ns: int) -> tuple[int, ...]:
    """Whole days by which a window is moved back, within limits: the same hours of the day."""
    step = -(-(end_ns - start_ns) // DAY_NS) * DAY_NS
    weekend = _weekend_hours(start_ns, end_ns)
    return tuple(
        shift
        for shift in range(step, farthest_ns + 1, step)
        if shift >= nearest_ns and _weekend_hours(start_ns - shift, end_ns - shift) == weekend
    )


def block(start_ns: int, end_ns: int) -> tuple[int, int]:
    """The window widened to whole blocks of four hours (00:00, 04:00, ... UTC)."""
    return start_ns // BLOCK_NS * BLOCK_NS, -(-end_ns // BLOCK_NS) * BLOCK_NS


def _weekend_hours(start_ns: int, end_ns: int) -> int:
    hours = range(start_ns, min(end_ns, start_ns + WEEK_NS), HOUR_NS)
    return sum(hour_of_week(at) >= 5 * 24 for at in hours)
