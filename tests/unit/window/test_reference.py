"""References: pooling, identity, maturity, files; and sums of counts."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from retraind.config.settings import Monitor, ReferenceSettings
from retraind.model import HOUR_NS as H
from retraind.model import Counts
from retraind.window.counts import add_all, is_high_cardinality, merge_rows, to_columns
from retraind.window.plan import MonitorPlan
from retraind.window.reference import (
    counts_from_table,
    freeze,
    hour_of_week,
    mature,
    pool,
    reference_from_rows,
    window_hours,
)

KEY = ("input_tokens", "", "number")
DAY = 24


def number(n: int, bucket: int = 7) -> Counts:
    return Counts("number", (bucket,), (n,), missing=1)


def rate(n: int, total: int) -> Counts:
    return Counts("rate", (0,), (n,), total=total, results=n, failures=1)


def test_hour_of_week_is_that_of_the_calendar() -> None:
    for day in range(20):
        when = dt.datetime(2024, 2, 20, 13, tzinfo=dt.UTC) + dt.timedelta(days=day)
        assert hour_of_week(int(when.timestamp()) * 10**9) == when.weekday() * 24 + 13


def test_window_hours() -> None:
    monday = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()) * 10**9
    assert window_hours(monday, monday + 2 * H) == {0, 1}
    assert window_hours(monday - H, monday + H) == {167, 0}
    assert len(window_hours(monday, monday + 900 * H)) == 168


@pytest.mark.parametrize(
    ("ratio_n", "m4", "m", "rung"),
    [
        (10, 40, 10, "hour_of_week"),
        (11, 40, 30, "kind_of_day"),
        (31, 40, 70, "hour_of_day"),
        (71, 40, None, None),  # not the night, which has 80 an hour
        (101, 70, 100, "hour_of_day"),  # as many as a test needs
    ],
)
def test_the_narrowest_pool_that_is_large_enough(
    ratio_n: int, m4: int, m: int | None, rung: str | None
) -> None:
    other_hours = {DAY + hour: number(80) for hour in range(24)}
    like_hours = {9: number(10), DAY + 9: number(20), 5 * DAY + 9: number(m4)}
    reference = freeze("pinned", {KEY: other_hours | like_hours})
    found = pool(reference, KEY, frozenset({9}), ratio_n, 1.0)
    assert (found and (found[0].n, found[1])) == (m and (m, rung))


def test_less_than_a_day_serves_all_hours() -> None:
    """Also a day that begins on Sunday evening."""
    reference = freeze("pinned", {KEY: {hour % 168: number(10) for hour in range(165, 189)}})
    found = pool(reference, KEY, frozenset({9}), 240, 1.0)
    assert found is not None
    assert (found[0].n, found[1]) == (240, "everything")
    assert pool(reference, KEY, frozenset({9}), 241, 1.0) is None
    longer = freeze("pinned", {KEY: {hour: number(10) for hour in range(25)}})
    assert pool(longer, KEY, frozenset({9}), 10, 1.0) == (number(10), "hour_of_week")


def test_a_file_has_no_hours_and_serves_all_of_them() -> None:
    reference = freeze("pinned", {KEY: {-1: number(50)}})
    assert pool(reference, KEY, frozenset({3}), 5, 10.0) == (number(50), "everything")


def test_rates_pool_versions_of_one_judge() -> None:
    counts = {
        ("g", "v1|judge:1", "rate"): {0: rate(10, 1)},
        ("g", "v2|judge:1", "rate"): {5: rate(20, 2)},
        ("g", "v2|judge:2", "rate"): {5: rate(40, 4)},
    }
    found = pool(freeze("pinned", counts), ("g", "v3|judge:1", "rate"), frozenset({0}), 1, 1.0)
    assert found is not None
    assert (found[0].n, found[0].total, found[0].failures, found[1]) == (30, 3, 2, "everything")


def test_the_id_depends_on_contents_and_not_on_order() -> None:
    other = ("cost", "", "number")
    one = {KEY: {0: number(1), 5: number(2)}, other: {0: number(3)}}
    two = {other: {0: number(3)}, KEY: {5: number(2), 0: number(1)}}
    assert freeze("pinned", one).id == freeze("pinned", two).id
    changed = {**one, other: {0: number(4)}}
    assert (
        len({freeze("pinned", one).id, freeze("pinned", changed).id, freeze("deploy", one).id}) == 3
    )


def test_maturity_needs_seven_days_and_2800_sessions() -> None:
    settings = ReferenceSettings()
    assert mature(0, 168 * H, 2800, settings)
    assert not mature(0, 168 * H - 1, 2800, settings)
    assert not mature(0, 168 * H, 2799, settings)


def test_a_training_file_is_counted_like_a_pane() -> None:
    plan = MonitorPlan.from_settings(Monitor(name="m"))
    table = pa.table(
        {"input_tokens": [100, 100, None, 0], "x": [1] * 4,
         "finish_reason": ["stop", "stop", "length", None]}
    )  # fmt: skip
    counts = counts_from_table(table, plan)
    assert counts[KEY] == {-1: Counts("number", (0, 5079), (1, 2), missing=1)}
    assert counts[("finish_reason", "", "category")] == {
        -1: Counts("category", ("length", "stop"), (1, 2), missing=1)
    }
    with pytest.raises(ValueError, match="no column is a feature"):
        counts_from_table(pa.table({"x": [1]}), plan)


def rows_of(items: list[Counts], **more: list[object]) -> pa.Table:
    return pa.table({**to_columns(items), **{name: pa.array(v) for name, v in more.items()}})


def test_rows_are_summed_by_key() -> None:
    items = [
        Counts("number", (-3, 0, 7), (1, 2, 3), missing=1),
        Counts("number", (0, 9), (10, 20), missing=2),
        Counts("category", ("a", "b"), (1, 2)),
        Counts("category", ("b", "é"), (5, 6)),
        Counts("rate", (0, 500_000), (3, 1), 0, 500_000, 250_000, 8, 1),
        Counts("rate", (500_000,), (1,), 0, 500_000, 250_000, 2, 1),
    ]
    rows = rows_of(items, feature=["n", "n", "c", "c", "r", "r"])
    assert merge_rows(rows, ("feature", "kind")) == {
        ("n", "number"): Counts("number", (-3, 0, 7, 9), (1, 12, 3, 20), missing=3),
        ("c", "category"): Counts("category", ("a", "b", "é"), (1, 7, 6)),
        ("r", "rate"): Counts("rate", (0, 500_000), (3, 2), 0, 1_000_000, 500_000, 10, 2),
    }
    for at in (0, 2, 4):
        key = (["n", "c", "r"][at // 2], items[at].kind)
        assert add_all(items[at : at + 2]) == merge_rows(rows, ("feature", "kind"))[key]


def test_rows_of_nothing_are_nothing() -> None:
    empty = [Counts("number", (), (), missing=4)]
    assert merge_rows(rows_of(empty), ("kind",)) == {("number",): empty[0]}
    assert merge_rows(rows_of(empty).slice(0, 0), ("kind",)) == {}
    with pytest.raises(ValueError, match="kinds"):
        add_all([number(1), rate(1, 1)])


def test_references_survive_their_table() -> None:
    counts = {KEY: {3: number(5)}, ("g", "v", "rate"): {-1: rate(4, 2)}}
    items = [number(5), rate(4, 2)]
    rows = rows_of(items, feature=["input_tokens", "g"], version=["", "v"], hour_of_week=[3, -1])
    again = reference_from_rows(rows)
    assert (again.id, again.counts) == (freeze("pinned", counts).id, counts)


def test_too_many_categories_are_marked() -> None:
    assert is_high_cardinality(Counts("category", tuple("abc"), (1, 1, 1)), 2)
    assert is_high_cardinality(Counts("category", ("__high_cardinality__",), (9,)), 512)
    assert not is_high_cardinality(Counts("category", tuple("ab"), (1, 1)), 2)
