"""`retraind status` shows the last window of each series, not the last hundreds of windows."""

from __future__ import annotations

from retraind.cli.manage import _last


def test_the_last_window_of_each_series() -> None:
    a, b = {"model": "a", "cohort": ""}, {"model": "b", "cohort": ""}
    newest_first = [
        {"series": a, "feature": "cost", "end_at": "12:00"},
        {"series": a, "feature": "intent", "end_at": "12:00"},
        {"series": a, "feature": "cost", "end_at": "11:00"},
        {"series": b, "feature": "cost", "end_at": "10:00"},
        {"series": b, "feature": "cost", "end_at": "09:00"},
    ]
    shown = [(row["series"]["model"], row["feature"], row["end_at"]) for row in _last(newest_first)]
    assert shown == [
        ("a", "cost", "12:00"),
        ("a", "intent", "12:00"),
        ("b", "cost", "10:00"),
    ]


def test_no_windows() -> None:
    assert _last([]) == []
