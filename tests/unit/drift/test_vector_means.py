"""Moments against known covariances, the tail against scipy's and against Imhof's integral."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from retraind.drift.frozen import NotTested
from retraind.drift.vector_means import (
    MeanResult,
    Moments,
    VectorSums,
    compare_means,
    moments,
    upper_tail,
)

UNIT = 1000


def imhof(weights: np.ndarray, statistic: float) -> float:
    """P(sum of weights times chi-square(1) > statistic), by inverting its characteristic function.

    Imhof 1961, equation 3.2.
    """

    def integrand(u: float) -> float:
        angle = np.arctan(weights * u).sum() / 2 - statistic * u / 2
        size = np.log(u) + np.log1p((weights * u) ** 2).sum() / 4
        return float(np.sin(angle) * np.exp(-size))

    return 0.5 + integrate.quad(integrand, 0, np.inf, limit=2000)[0] / np.pi


def sums(rows: object, parts: str = "a") -> VectorSums:
    array = np.asarray(rows)
    return VectorSums(parts, len(array), np.rint(array * UNIT).astype(np.int64).sum(axis=0))


def result(each: MeanResult | NotTested) -> MeanResult:
    assert isinstance(each, MeanResult)
    return each


def test_equal_weights_are_chi_square() -> None:
    for statistic in (20.0, 64.0, 110.0):
        expected = stats.chi2.sf(statistic, 64)
        assert upper_tail(statistic, Moments(64, 64, 64, 64)) == pytest.approx(expected, rel=1e-9)


def traces(weights: np.ndarray) -> Moments:
    return Moments(*(float((weights**k).sum()) for k in (1, 2, 3, 4)))


@pytest.mark.parametrize(
    ("weights", "tolerance"),
    [
        (np.arange(1, 101) ** -0.5, 0.1),
        (np.arange(1, 101) ** -1.0, 0.1),
        (np.arange(1, 101) ** -1.5, 0.1),
        (np.concatenate((np.ones(5), np.full(500, 0.01))), 0.02),
        (np.concatenate(([1.0], np.full(50, 0.2))), 0.1),
    ],
)
def test_tail_is_that_of_the_weighted_chi_squares(weights: np.ndarray, tolerance: float) -> None:
    each = traces(weights)
    mean, deviation = each.trace, np.sqrt(2 * each.trace2)
    for steps in (-1, -1e-6, 0, 1e-6, 0.5, 1, 2, 3, 4, 5):
        statistic = float(mean + steps * deviation)
        assert upper_tail(statistic, each) == pytest.approx(
            imhof(weights, statistic), rel=tolerance
        )
    assert upper_tail(0.0, each) == 1.0
    far = [upper_tail(float(x), each) for x in np.linspace(0, mean + 20 * deviation, 500)]
    assert (np.diff(far) <= 0).all()


def test_two_moments_are_not_enough() -> None:
    """Where Welch and Satterthwaite's gamma has its p = .001, the true one is over twice that."""
    weights = np.arange(1, 101) ** -1.5
    each = traces(weights)
    shape = each.trace**2 / (2 * each.trace2)
    statistic = float(stats.gamma.isf(1e-3, shape, scale=2 * each.trace2 / each.trace))
    assert imhof(weights, statistic) > 2e-3
    assert upper_tail(statistic, each) > 2e-3


def test_without_a_usable_fourth_moment_it_is_pearson_type_3() -> None:
    each = Moments(0.95, 0.0045, 6.2e-5, -1e-9)
    skew = 8 * each.trace3 / (2 * each.trace2) ** 1.5
    for statistic in (0.8, 1.0, 1.3, 1.6):
        expected = stats.pearson3.sf(statistic, skew, each.trace, np.sqrt(2 * each.trace2))
        assert upper_tail(statistic, each) == pytest.approx(expected, rel=0.03)


def test_moments_are_unbiased_where_the_plain_ones_are_not() -> None:
    rng = np.random.default_rng(1)
    weights = 1 / np.arange(1, 41) ** 0.7
    found, plain = [], []
    for _ in range(400):
        rows = rng.normal(size=(150, 40)) * np.sqrt(weights)
        each = moments(rows)
        found.append((each.trace, each.trace2, each.trace3, each.trace4))
        covariance = np.cov(rows.T)
        plain.append([np.trace(np.linalg.matrix_power(covariance, k)) for k in (1, 2, 3, 4)])
    expected = [(weights**k).sum() for k in (1, 2, 3, 4)]
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - expected) < 4 * error).all()
    assert (np.mean(plain, axis=0)[1:] > 1.1 * np.array(expected[1:])).all()


def test_result_by_hand() -> None:
    reference = sums([(0, 0), (2, 0), (0, 2), (2, 2)])  # mean (1, 1)
    current = sums([(4, 1), (4, 9)])  # mean (4, 5): squared distance 25
    found = result(compare_means("m", reference, current, Moments(2, 2, 2, 2), UNIT))
    assert (found.n, found.m, found.method) == (2, 4, "m")
    assert found.statistic == pytest.approx(25 / 0.75)
    assert found.p_value == pytest.approx(stats.chi2.sf(25 / 0.75, 2))
    assert found.distance == pytest.approx(25 - 2 * 0.75)
    assert found.moved_share == 1.0
    deviation = np.sqrt(2 * 0.75**2 * 2 + 4 * 0.75 * 2 ** (1 / 3) * 23.5)
    assert found.distance_lower == pytest.approx(23.5 - stats.norm.ppf(0.95) * deviation)


def test_moved_share_is_that_of_the_sessions_replaced() -> None:
    rng = np.random.default_rng(2)
    population = rng.normal(size=(60_000, 20))
    each = Moments(20, 20, 20, 20)
    window = population[:20_000].copy()
    window[:2000] = 0
    window[:2000, 0] = np.sqrt(20)  # all alike, at the usual distance from the mean
    found = result(compare_means("m", sums(population[20_000:]), sums(window), each, UNIT))
    assert found.moved_share == pytest.approx(0.1, abs=0.01)


def test_lower_bound_covers() -> None:
    rng = np.random.default_rng(3)
    weights = 1 / np.arange(1, 21)
    each = traces(weights)
    shift = np.zeros(20)
    shift[0] = 0.5  # along the direction of most variance, where the bound is tight
    over, runs = 0, 2000
    for _ in range(runs):  # the mean of n normal vectors is one normal vector
        current = sums((shift + rng.normal(size=20) * np.sqrt(weights / 200))[None])
        reference = sums((rng.normal(size=20) * np.sqrt(weights / 2000))[None])
        current = VectorSums("a", 200, current.total * 200)
        reference = VectorSums("a", 2000, reference.total * 2000)
        found = result(compare_means("m", reference, current, each, UNIT))
        over += found.distance_lower > 0.25
    assert stats.binomtest(over, runs, 0.05, "greater").pvalue > 1e-3
    assert over > runs * 0.01


def test_sums_are_the_same_in_any_order() -> None:
    rows = np.random.default_rng(4).normal(size=(100, 8))
    whole = sums(rows)
    assert sums(rows[70:]) + sums(rows[:30]) + sums(rows[30:70]) == whole
    assert sums(rows[:-1]) != whole
    with pytest.raises(ValueError, match="different references"):
        _ = whole + sums(rows, "b")


def test_what_cannot_be_tested_says_why() -> None:
    some, each = sums([(1, 0), (0, 1)]), Moments(1, 1, 1, 1)
    other = compare_means("m", some, sums([(1, 0)] * 5, "b"), each, UNIT)
    assert isinstance(other, NotTested)
    assert other.reason == "not_comparable"
    few = compare_means("m", some, sums([(1, 0)]), each, UNIT)
    assert isinstance(few, NotTested)
    assert few.reason == "too_few_sessions"
    constant = compare_means("m", some, some, Moments(0, 0, 0, 0), UNIT)
    assert isinstance(constant, NotTested)
    assert constant.reason == "constant"
