"""The same hours again: by whole weeks, or by whole days of the same kind."""

from __future__ import annotations

import datetime as dt

from retraind.model import HOUR_NS as H
from retraind.window.shifts import block, day_shifts, week_shifts

DAY, WEEK = 24 * H, 168 * H


def at(day: int, hour: int = 0) -> int:
    """An hour of January 2024; the first is a Monday."""
    moment = dt.datetime(2024, 1, 1, hour, tzinfo=dt.UTC) + dt.timedelta(days=day - 1)
    return int(moment.timestamp()) * 10**9


def days(shifts: tuple[int, ...]) -> list[int]:
    return [shift // DAY for shift in shifts]


def test_whole_weeks_back() -> None:
    assert week_shifts(at(30, 9), at(30, 10), 4) == (WEEK, 2 * WEEK, 3 * WEEK, 4 * WEEK)


def test_windows_longer_than_a_week_do_not_overlap_when_moved() -> None:
    assert week_shifts(at(1), at(9), 4) == (2 * WEEK, 4 * WEEK)


def test_weekdays_go_with_weekdays() -> None:
    """From Thursday the 11th: three days of its week, Friday and Thursday of the week before."""
    found = day_shifts(at(11, 9), at(11, 10), nearest_ns=2 * H, farthest_ns=WEEK + H)
    assert days(found) == [1, 2, 3, 6, 7]


def test_weekends_go_with_weekends() -> None:
    found = day_shifts(at(14, 9), at(14, 10), nearest_ns=2 * H, farthest_ns=WEEK + H)
    assert days(found) == [1, 7]


def test_there_is_a_gap_before_the_window() -> None:
    """A window of 20 hours, moved by one day, would end four hours before it begins."""
    start, end = at(11), at(11, 20)
    found = day_shifts(start, end, nearest_ns=40 * H, farthest_ns=WEEK)
    assert days(found) == [2, 3, 6, 7]


def test_moved_windows_of_several_days_do_not_overlap() -> None:
    """Monday and Tuesday: two to six days back there is a day of weekend, or two."""
    found = day_shifts(at(15), at(17), nearest_ns=2 * DAY, farthest_ns=WEEK + DAY)
    assert days(found) == [4, 6]
    assert [(15 - day, 16 - day) for day in days(found)] == [(11, 12), (9, 10)]


def test_blocks_of_four_hours() -> None:
    assert block(at(3, 9), at(3, 10)) == (at(3, 8), at(3, 12))
    assert block(at(3, 8), at(3, 12)) == (at(3, 8), at(3, 12))
    assert block(at(3, 23), at(4, 1)) == (at(3, 20), at(4, 4))
