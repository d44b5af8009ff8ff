"""Bins by hand, the smooth test against regression, level and power against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retraind.drift.bins import NumericBins, adjacent_groups, count_in, quantile_bins
from retraind.drift.numbers import METHOD, compare_numbers, smooth_components
from retraind.model import Counts
from retraind.window.buckets import bucket


def number(sample: object, missing: int = 0) -> Counts:
    values, counts = np.unique(np.asarray(sample, dtype=np.int64), return_counts=True)
    return Counts("number", tuple(values.tolist()), tuple(counts.tolist()), missing)


HUNDRED = number(np.repeat(np.arange(100), 12))
# round((i/100)^0.8, 2) in hundredths, five times each
BENT = number(np.repeat(np.round((np.arange(100) / 100) ** 0.8 * 100), 5))


def regression_statistic(reference: np.ndarray, current: np.ndarray, degree: int) -> float:
    """N R^2 of "is it current?" regressed on powers of the reference mid-rank, session by session.

    It is the same statistic by another road: no orthonormal polynomials, no covariance matrix.
    """
    below = np.cumsum(reference) - reference
    rank = (below + reference / 2) / reference.sum()
    x = np.concatenate([np.repeat(rank, reference), np.repeat(rank, current)])
    y = np.concatenate([np.zeros(reference.sum()), np.ones(current.sum())])
    design = np.stack([x**k for k in range(degree + 1)], axis=1)
    fit = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(len(y) * (1 - ((y - fit) ** 2).sum() / ((y - y.mean()) ** 2).sum()))


def test_decile_edges_and_counts_by_hand() -> None:
    bins = quantile_bins(HUNDRED, 10)
    assert bins.edges == (9, 19, 29, 39, 49, 59, 69, 79, 89)
    assert count_in(HUNDRED, bins).tolist() == [120] * 10
    assert count_in(BENT, bins).tolist() == [30, 35, 45, 50, 50, 55, 55, 60, 60, 60]


def test_labels_are_in_the_unit_of_the_value() -> None:
    edges = bucket(np.array([0.0, 100.0, 2000.0])).tolist()
    first, second, third, last = NumericBins(tuple(edges)).labels()
    assert first == "up to 0"
    assert second.startswith("0 to ")
    assert last.startswith("over ")
    low, high = (float(text) for text in third.split(" to "))
    assert 100 <= low <= 100.6  # a bucket is half a per cent wide
    assert 2000 <= high <= 2011
    assert second.split(" to ")[1] == third.split(" to ")[0]
    assert NumericBins(()).labels() == ["all"]


def test_outer_bins_are_open() -> None:
    counts = count_in(number([-(10**6), 10**6]), quantile_bins(HUNDRED, 10))
    assert counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_edges_are_quantiles_of_the_reference() -> None:
    sample = np.random.default_rng(3).normal(0, 1000, 2000).astype(int)
    quantiles = np.quantile(sample, np.arange(1, 16) / 16, method="inverted_cdf")
    assert list(quantile_bins(number(sample), 16).edges) == quantiles.astype(int).tolist()


def test_a_value_that_takes_several_quantiles_is_a_bin_of_its_own() -> None:
    half = number([7] * 50 + list(range(8, 58)))
    bins = quantile_bins(half, 10)
    assert bins.edges[:2] == (6, 7)
    assert len(bins) <= 10
    fifth = number([1] * 15 + [5] * 20 + list(range(6, 71)))  # 5 holds the 20 and 30 % quantiles
    assert quantile_bins(fifth, 10).edges == (1, 4, 5, 10, 20, 30, 40, 50, 60)
    constant = quantile_bins(number([5] * 300), 10)
    assert constant == NumericBins((4, 5))
    assert quantile_bins(number([0] * 300), 10).labels() == ["below 0", "0", "over 0"]


@pytest.mark.parametrize("moved_to", [3, 9])
def test_a_constant_that_moves_either_way_is_seen(moved_to: int) -> None:
    result = compare_numbers(number([5] * 3000), number([5] * 200 + [moved_to] * 100))
    assert result.p_value < 1e-6
    assert result.psi_corrected > 0.25
    location = result.components["location"]
    assert (location > 0) == (moved_to > 5)


def test_same_sample_has_p_one_and_no_shift() -> None:
    result = compare_numbers(HUNDRED, HUNDRED)
    assert result.p_value == pytest.approx(1.0)
    assert result.psi == 0.0
    assert result.psi_corrected == 0.0
    assert result.psi_lower == 0.0


def test_result_of_the_bent_sample() -> None:
    result = compare_numbers(HUNDRED, BENT)
    twenty = quantile_bins(HUNDRED, 20)
    expected = regression_statistic(count_in(HUNDRED, twenty), count_in(BENT, twenty), 4)
    assert (result.method, result.n, result.m) == (METHOD, 500, 1200)
    assert result.statistic == pytest.approx(expected, rel=1e-8)
    assert result.degrees_of_freedom == 4
    assert result.p_value == pytest.approx(stats.chi2.sf(expected, 4), rel=1e-8)
    assert sum(z * z for z in result.components.values()) == pytest.approx(expected, rel=1e-8)
    p, q = np.full(10, 120.5 / 1205), (count_in(BENT, quantile_bins(HUNDRED, 10)) + 0.5) / 505
    assert result.psi == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-9)
    assert sum(part.contribution for part in result.contributions) == pytest.approx(result.psi)
    lost = result.contributions[0]  # 30 of 500 where 60 were expected
    assert lost.label == quantile_bins(HUNDRED, 10).labels()[0]
    assert lost.reference_share == pytest.approx(120.5 / 1205)
    assert lost.current_share == pytest.approx(30.5 / 505)
    parts = [part.contribution for part in result.contributions]
    assert parts == sorted(parts, reverse=True)


@pytest.mark.parametrize("bins", [3, 5, 12, 20])
def test_smooth_statistic_equals_that_of_a_regression(bins: int) -> None:
    rng = np.random.default_rng(bins)
    reference = rng.integers(30, 200, bins)
    current = rng.integers(15, 60, bins)
    z = smooth_components(reference, current)
    assert len(z) == min(4, bins - 1)
    assert z @ z == pytest.approx(regression_statistic(reference, current, len(z)), rel=1e-6)


def test_bins_that_the_reference_leaves_empty_share_a_rank() -> None:
    reference, current = np.array([0, 0, 0, 500, 500]), np.array([60, 60, 60, 60, 60])
    z = smooth_components(reference, current)
    assert len(z) == 2  # three ranks: 0, 1/4, 3/4
    assert z @ z == pytest.approx(regression_statistic(reference, current, 2))


def test_components_name_the_kind_of_change() -> None:
    rng = np.random.default_rng(5)
    reference = number(rng.normal(0, 500, 5000))

    def largest(sample: np.ndarray) -> tuple[str, float]:
        parts = compare_numbers(reference, number(sample)).components
        return max(parts.items(), key=lambda item: abs(item[1]))

    name, z = largest(rng.normal(250, 500, 500))
    assert name == "location"
    assert z > 0
    name, z = largest(rng.normal(-250, 500, 500))
    assert name == "location"
    assert z < 0
    name, z = largest(rng.normal(0, 900, 500))
    assert name == "spread"
    assert z > 0


def test_rare_neighbours_are_joined() -> None:
    # pooled expectation of the smaller sample: (r + c) * 100 / 1100
    reference, current = np.array([20, 20, 460, 460, 40]), np.array([2, 2, 46, 46, 4])
    assert adjacent_groups(reference, current) == [slice(0, 3), slice(3, 5)]
    assert adjacent_groups(np.array([1, 1]), np.array([1, 1])) == [slice(0, 2)]


def test_given_bins_are_used() -> None:
    part = number(np.repeat(np.arange(50), 12))
    frozen = quantile_bins(HUNDRED, 10)
    result = compare_numbers(part, BENT, psi_bins=frozen)
    assert {row.label for row in result.contributions} == set(frozen.labels())


def test_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        compare_numbers(number([]), HUNDRED)
    with pytest.raises(ValueError, match="no sessions"):
        compare_numbers(HUNDRED, number([]))
    with pytest.raises(ValueError, match="two bins"):
        quantile_bins(HUNDRED, 1)


@pytest.mark.parametrize(
    ("shape", "n", "m"),
    [("normal", 300, 3000), ("poisson", 300, 300), ("half constant", 100, 1000)],
)
def test_level(shape: str, n: int, m: int) -> None:
    rng = np.random.default_rng(11)
    draw = {
        "normal": lambda k: rng.normal(0, 300, k),
        "poisson": lambda k: rng.poisson(2, k),
        "half constant": lambda k: np.where(rng.random(k) < 0.5, 7, rng.integers(0, 30, k)),
    }[shape]
    runs = 1000
    p = np.array([compare_numbers(number(draw(m)), number(draw(n))).p_value for _ in range(runs)])
    assert stats.binomtest(int((p < 0.05).sum()), runs, 0.06, "greater").pvalue > 1e-3
    assert stats.binomtest(int((p < 0.05).sum()), runs, 0.035, "less").pvalue > 1e-3
    assert stats.binomtest(int((p < 0.001).sum()), runs, 0.002, "greater").pvalue > 1e-3


def test_power_against_kolmogorov_and_smirnov() -> None:
    rng = np.random.default_rng(12)
    runs, alpha = 60, 0.001
    found = {"mean": [0, 0], "spread": [0, 0]}
    for _ in range(runs):
        reference = rng.normal(0, 300, 5000).astype(int)
        for name, sample in (
            ("mean", rng.normal(150, 300, 200).astype(int)),
            ("spread", rng.normal(0, 375, 200).astype(int)),
        ):
            found[name][0] += compare_numbers(number(reference), number(sample)).p_value < alpha
            found[name][1] += stats.ks_2samp(reference, sample).pvalue < alpha
    ours, ks = found["mean"]
    assert ours >= 0.95 * runs
    assert ks >= 0.95 * runs
    ours, ks = found["spread"]
    assert ours > ks + 0.25 * runs
