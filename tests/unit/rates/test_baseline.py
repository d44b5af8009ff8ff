"""The null rate against scipy's Clopper-Pearson and a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retraind.model import Counts
from retraind.rates.baseline import baseline, mean, upper_limit


def binary(failed: int, n: int) -> Counts:
    rows = [(value, count) for value, count in ((0, n - failed), (10**6, failed)) if count]
    return Counts("rate", tuple(v for v, _ in rows), tuple(c for _, c in rows))


@pytest.mark.parametrize(("failed", "n"), [(0, 50), (1, 50), (100, 2000), (49, 50)])
def test_binary_shares_use_clopper_and_pearson(failed: int, n: int) -> None:
    exact = stats.binomtest(failed, n, alternative="less").proportion_ci(0.95, "exact").high
    assert upper_limit(binary(failed, n)) == pytest.approx(exact, rel=1e-9)


def test_the_larger_of_tolerance_and_limit() -> None:
    exact = stats.binomtest(100, 2000, alternative="less").proportion_ci(0.95, "exact").high
    loose = baseline(binary(100, 2000), tolerance=0.05)
    assert (loose.rate, loose.null) == (pytest.approx(0.05), pytest.approx(0.10))
    assert baseline(binary(100, 2000), tolerance=0.0).null == pytest.approx(exact)
    assert baseline(binary(20, 20), tolerance=0.01).null == 1.0
    assert baseline(binary(199, 200), tolerance=0.5).null == 1.0


def test_limit_of_shares_covers_the_mean() -> None:
    rng = np.random.default_rng(8)
    runs, below = 400, 0
    for _ in range(runs):
        shares = np.round(rng.binomial(4, 0.08, 300) / 4 * 1e6).astype(int)
        values, counts = np.unique(shares, return_counts=True)
        reference = Counts("rate", tuple(values.tolist()), tuple(counts.tolist()))
        below += upper_limit(reference) < 0.08
    assert stats.binomtest(below, runs, 0.05, "greater").pvalue > 1e-3


def test_means_by_hand() -> None:
    assert mean(Counts("rate", (0, 250_000, 10**6), (6, 2, 2))) == pytest.approx(0.25)
    assert mean(Counts("score", (-3, 4), (1, 3), total=3_000_000)) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="no sessions"):
        mean(Counts("rate", (), ()))
    with pytest.raises(ValueError, match="no mean"):
        mean(Counts("category", ("a",), (1,)))
