"""Decision windows by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retraind.config.settings import WindowSettings
from retraind.model import HOUR_NS as H
from retraind.window.decision import ClosedWindow, close_windows

SETTINGS = WindowSettings()


def test_a_window_closes_at_280_sessions() -> None:
    panes = [(0, 100), (H, 100), (2 * H, 100), (3 * H, 300), (4 * H, 279)]
    assert close_windows(0, panes, 5 * H, SETTINGS) == [
        ClosedWindow(0, 3 * H, 300, ready=True), ClosedWindow(3 * H, 4 * H, 300, ready=True),
    ]  # fmt: skip


def test_open_panes_wait() -> None:
    assert close_windows(0, [(0, 500)], H - 1, SETTINGS) == []
    assert len(close_windows(0, [(0, 500)], H, SETTINGS)) == 1


def test_after_seven_days_100_sessions_are_enough() -> None:
    week = 168 * H
    for sessions, ready in ((100, True), (99, False), (0, False)):
        panes = [(5 * H, sessions)]
        assert close_windows(0, panes, week, SETTINGS) == [ClosedWindow(0, week, sessions, ready)]
        assert close_windows(0, panes, week - 1, SETTINGS) == []


def test_a_longer_minimum_length_is_kept() -> None:
    settings = WindowSettings(min_length=2 * 3600)
    assert close_windows(0, [(0, 900), (H, 1)], 2 * H, settings) == [
        ClosedWindow(0, 2 * H, 901, True)
    ]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=400))
def test_windows_never_overlap_and_lose_no_session(sessions: list[int]) -> None:
    panes = [(hour * H, count) for hour, count in enumerate(sessions)]
    end = len(sessions) * H
    closed = close_windows(0, panes, end, SETTINGS)
    starts = [0, *(window.end_ns for window in closed)]
    assert [window.start_ns for window in closed] == starts[:-1]
    for window in closed:
        assert window.sessions == sum(sessions[window.start_ns // H : window.end_ns // H])
    # closing hour by hour, as the daemon does, gives the same
    found: list[ClosedWindow] = []
    start = 0
    for hour in range(len(sessions)):
        found += close_windows(start, panes, (hour + 1) * H, SETTINGS)
        start = found[-1].end_ns if found else 0
    assert found == closed
