"""Betting intervals: the wealth written out session by session, coverage, and width."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from retraind.model import Counts
from retraind.rates.interval import STAKES, interval, upper_bound


def rate(shares: object) -> Counts:
    values, counts = np.unique(
        np.round(np.asarray(shares, dtype=np.float64) * 1e6).astype(int), return_counts=True
    )
    return Counts("rate", tuple(values.tolist()), tuple(counts.tolist()))


def wealth(shares: list[float], mean: float) -> float:
    """Average over the stakes of a gambler's capital who plays one session after the other."""
    total = 0.0
    for stake in STAKES.tolist():
        capital = 1.0
        for share in shares:
            capital *= 1 + stake / mean * (share - mean)
        total += capital
    return total / len(STAKES)


def test_bounds_are_where_the_gambler_reaches_one_over_alpha() -> None:
    shares = [0.0] * 60 + [0.25] * 20 + [0.5] * 15 + [1.0] * 5
    lower, upper = interval(rate(shares))
    assert wealth(shares, lower) == pytest.approx(40.0, rel=1e-3)
    assert wealth([1 - share for share in shares], 1 - upper) == pytest.approx(40.0, rel=1e-3)
    assert lower < np.mean(shares) < upper
    one_sided = upper_bound(rate(shares))
    assert wealth([1 - share for share in shares], 1 - one_sided) == pytest.approx(20.0, rel=1e-3)
    assert one_sided < upper


def test_all_good_and_all_bad() -> None:
    lower, upper = interval(rate([0.0] * 100))
    assert lower == 0.0
    assert 0.0 < upper < 0.1
    lower, upper = interval(rate([1.0] * 100))
    assert 0.9 < lower < 1.0
    assert upper == 1.0
    assert interval(rate([])) == (0.0, 1.0)


def test_width_is_of_the_order_of_the_exact_binomial() -> None:
    for n, failed in ((100, 5), (2000, 100), (20_000, 1000)):
        exact = stats.binomtest(failed, n).proportion_ci(0.95, "exact")
        lower, upper = interval(rate([1.0] * failed + [0.0] * (n - failed)))
        assert lower < failed / n < upper
        assert upper - lower < 2.2 * (exact.high - exact.low)


def test_coverage_however_often_one_looks() -> None:
    rng = np.random.default_rng(31)
    truth, missed, runs = 0.1, 0, 150
    for _ in range(runs):
        # shares of failed evaluations in sessions of one to four evaluations
        sizes = rng.integers(1, 5, 400)
        shares = rng.binomial(sizes, truth) / sizes
        bounds = [interval(rate(shares[:n])) for n in range(20, 401, 38)]
        missed += any(not lower <= truth <= upper for lower, upper in bounds)
    assert stats.binomtest(missed, runs, 0.05, "greater").pvalue > 1e-3


def test_thousands_of_values_only_widen_it() -> None:
    shares = np.random.default_rng(4).beta(1, 9, 3000)
    lower, upper = interval(rate(shares))
    assert lower < shares.mean() < upper
    assert upper - lower < 0.03
    assert wealth((np.floor(shares * 256) / 256).tolist(), lower) == pytest.approx(40, rel=0.02)
    assert wealth(shares.tolist(), lower) >= 40
    assert math.isfinite(lower)
