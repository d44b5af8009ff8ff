"""Cells by hand, T against the formula, level on long tails."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from retraind.drift.categories import (
    METHOD,
    MISSING,
    NEW,
    OTHER,
    compare_categories,
    new_category_p,
)
from retraind.drift.compare import compare
from retraind.model import Counts, DriftResult


def category(table: dict[str, int], missing: int = 0) -> Counts:
    rows = sorted(table.items())
    return Counts("category", tuple(t for t, _ in rows), tuple(c for _, c in rows), missing)


def sample(values: Iterable[object]) -> Counts:
    return category(Counter(str(value) for value in values))


def cells(result: DriftResult) -> set[str]:
    return {part.label for part in result.contributions}


REFERENCE = category({"A": 480, "B": 300, "C": 240, "D": 120, "E": 60})
CURRENT = category({"A": 150, "B": 125, "C": 100, "D": 100, "F": 25})


def test_vanished_and_new_category() -> None:
    result = compare_categories(REFERENCE, CURRENT)
    p = (np.array([480, 300, 240, 120, 60, 0]) + 0.5) / 1203
    q = (np.array([150, 125, 100, 100, 0, 25]) + 0.5) / 503
    psi = math.fsum((q - p) * np.log(q / p))
    statistic = psi / (1 / 500 + 1 / 1200)
    assert (result.method, result.n, result.m) == (METHOD, 500, 1200)
    assert result.psi == pytest.approx(psi)
    assert result.statistic == pytest.approx(statistic)
    assert result.degrees_of_freedom == 5
    # The reference has no category that it saw once or twice: Beta with mean 1/1202 and variance
    # 1/1200^2, and 25 of 500 sessions are new.
    mean, variance = 1 / 1202, 1 / 1200**2
    size = mean * (1 - mean) / variance - 1
    new = stats.betabinom.sf(24, 500, mean * size, (1 - mean) * size)
    both = 2 * min(stats.chi2.sf(statistic, 5), new)
    assert result.p_value == pytest.approx(both, rel=1e-6)
    # a different statistic of the same hypothesis agrees on the order of magnitude
    contingency = stats.chi2_contingency([[480, 300, 240, 120, 60, 0], [150, 125, 100, 100, 0, 25]])
    assert contingency.pvalue < 1e-20
    assert result.p_value < 1e-20
    assert [part.label for part in result.contributions[:2]] == [NEW, "E"]
    assert sum(part.contribution for part in result.contributions) == pytest.approx(psi)


def test_t_approaches_pearson_when_shifts_are_small() -> None:
    reference = {"a": 40_000, "b": 30_000, "c": 20_000, "d": 10_000}
    current = {"a": 4_060, "b": 2_960, "c": 2_030, "d": 950}
    result = compare_categories(category(reference), category(current))
    pearson = stats.chi2_contingency([list(reference.values()), list(current.values())])
    assert result.statistic == pytest.approx(pearson.statistic, rel=0.02)


def test_same_sample_has_p_one_and_no_shift() -> None:
    result = compare_categories(REFERENCE, REFERENCE)
    assert result.p_value == 1.0
    assert result.psi == 0.0
    assert result.psi_corrected == 0.0


def test_at_most_24_are_named_by_the_reference() -> None:
    reference = category({f"c{i:02}": 200 - i for i in range(40)})
    current = category({f"c{i:02}": 100 for i in range(40)})
    result = compare_categories(reference, current)
    assert cells(result) == {f"c{i:02}" for i in range(24)} | {OTHER}
    other = next(part for part in result.contributions if part.label == OTHER)
    assert other.current_share == pytest.approx((1600 + 0.5) / (4000 + 12.5))


def test_ties_for_the_last_name_go_by_text() -> None:
    reference = category({f"c{i:02}": 100 for i in range(30)})
    assert cells(compare_categories(reference, reference)) == {f"c{i:02}" for i in range(24)} | {
        OTHER
    }


def test_missing_is_a_cell_when_either_side_has_it() -> None:
    without = category({"a": 500, "b": 500})
    result = compare_categories(without, category({"a": 100, "b": 100}, missing=50))
    assert MISSING in cells(result)
    assert (result.n, result.m) == (250, 1000)
    assert result.p_value < 1e-6
    assert MISSING not in cells(compare_categories(without, without))


def test_rare_categories_are_folded_into_other() -> None:
    # pooled expectation in the smaller sample: (r + c) * 100 / 1100; five needs 55
    reference = category({"a": 900, "b": 50, "c": 30, "d": 20})
    current = category({"a": 90, "b": 5, "c": 3, "d": 2})
    result = compare_categories(reference, current)
    assert cells(result) == {"a", "b", OTHER}
    assert result.degrees_of_freedom == 2


def test_a_small_rest_takes_the_smallest_category_along() -> None:
    # the rest is expected to hold (5 + 0) * 100 / 1100 < 1 session
    result = compare_categories(
        category({"a": 600, "b": 395, "c": 5}), category({"a": 60, "b": 40})
    )
    assert cells(result) == {"a", OTHER}


def test_a_category_seen_once_is_new_to_the_reference_and_known_to_the_window() -> None:
    once = {f"once{i}": 1 for i in range(100)}
    reference = category({"a": 500, "b": 400, **once})
    current = category({"a": 200, "b": 180, "once0": 40, "once1": 60, "never": 30})
    parts = {part.label: part for part in compare_categories(reference, current).contributions}
    assert set(parts) == {"a", "b", OTHER, NEW}
    assert parts[NEW].reference_share == pytest.approx(100.5 / 1002)
    assert parts[NEW].current_share == pytest.approx(30.5 / 512)
    assert parts[OTHER].reference_share == pytest.approx(0.5 / 1002)
    assert parts[OTHER].current_share == pytest.approx(100.5 / 512)


def test_one_category_cannot_drift() -> None:
    result = compare_categories(category({"a": 1000}), category({"a": 100}))
    assert (result.p_value, result.degrees_of_freedom, result.psi) == (1.0, 0, 0.0)


def test_a_new_category_of_five_per_cent_is_seen() -> None:
    result = compare_categories(category({"ok": 3000}), category({"ok": 285, "refused": 15}))
    assert result.p_value < 1e-6
    assert stats.fisher_exact([[3000, 0], [285, 15]]).pvalue < 1e-6


@pytest.mark.parametrize(("n", "m"), [(100, 1000), (100, 10_000), (200, 10_000)])
def test_a_new_category_in_one_of_twenty_is_found_beside_a_long_tail(n: int, m: int) -> None:
    """Fisher's test of new against known sessions finds it too: the tail must not hide it."""
    rng = np.random.default_rng(3)
    share = 1 / np.arange(1, 41)
    share /= share.sum()

    def draw(k: int, *, new: int = 0) -> Counts:
        drawn = {str(i): int(c) for i, c in enumerate(rng.multinomial(k - new, share)) if c}
        return category(drawn | ({"never": new} if new else {}))

    found = [compare_categories(draw(m), draw(n, new=n // 20)).p_value < 0.001 for _ in range(60)]
    assert sum(found) >= 54
    reference = draw(m)
    unchanged = [compare_categories(reference, draw(n)).p_value < 0.001 for _ in range(200)]
    assert sum(unchanged) <= 3


def test_new_categories_are_expected_where_the_reference_saw_many_once() -> None:
    reference = category({"a": 500, "b": 400, **{f"once{i}": 1 for i in range(100)}})
    current = category({"a": 250, "b": 200, **{f"never{i}": 1 for i in range(50)}})
    # Good and Turing: 101 of 1002 unseen, so 50 of 500 new sessions are what is to be expected.
    mean, variance = 101 / 1002, 101 / 1000**2
    size = mean * (1 - mean) / variance - 1
    expected = stats.betabinom.sf(49, 500, mean * size, (1 - mean) * size)
    assert new_category_p(reference, current) == pytest.approx(expected, rel=1e-6)
    assert compare_categories(reference, current).p_value > 0.05


def test_a_category_named_like_a_cell_is_not_lost() -> None:
    reference = category({OTHER: 500, "a": 500, **{f"c{i}": 20 for i in range(30)}})
    current = category({OTHER: 50, "a": 50, "z": 30})
    result = compare_categories(reference, current)
    assert (result.n, result.m) == (130, 1600)


def test_no_sessions_is_an_error() -> None:
    with pytest.raises(ValueError, match="no sessions"):
        compare_categories(REFERENCE, category({}))


def test_kinds_are_dispatched_and_checked() -> None:
    assert compare(REFERENCE, CURRENT) == compare_categories(REFERENCE, CURRENT)
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(REFERENCE, Counts("number", (1,), (5,)))
    with pytest.raises(ValueError, match="no drift test"):
        compare(Counts("rate", (0,), (5,)), Counts("rate", (0,), (5,)))


@pytest.mark.parametrize(("kinds", "n", "m"), [(40, 300, 3000), (500, 300, 3000), (500, 300, 300)])
def test_level_on_long_tails(kinds: int, n: int, m: int) -> None:
    """Zipf shares. With 500 kinds each window has some that the reference has never seen."""
    rng = np.random.default_rng(kinds)
    share = 1 / np.arange(1, kinds + 1)
    share /= share.sum()
    runs = 1000

    def draw(k: int) -> Counts:
        return category({str(i): int(c) for i, c in enumerate(rng.multinomial(k, share)) if c})

    p = np.array([compare_categories(draw(m), draw(n)).p_value for _ in range(runs)])
    assert stats.binomtest(int((p < 0.05).sum()), runs, 0.06, "greater").pvalue > 1e-3
    # Two tests share the level, each at half of it, and what is new is rare: 2.5 % is the least.
    assert stats.binomtest(int((p < 0.05).sum()), runs, 0.025, "less").pvalue > 1e-3
    assert stats.binomtest(int((p < 0.001).sum()), runs, 0.002, "greater").pvalue > 1e-3
