"""Distances against scipy, third-party results and the formula written out."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import optimize, spatial, stats

from retraind.drift.distance import chi_square_p, distance, noncentrality_lower, smoothed_shares

# Categories A..F: 1200 reference and 500 current sessions; E vanishes, F is new.
REFERENCE = np.array([480, 300, 240, 120, 60, 0])
CURRENT = np.array([150, 125, 100, 100, 0, 25])
# Deciles of 12 x (0 .. 0.99) and where 5 x (i/100)^0.8 falls into them.
DECILES_REFERENCE = np.full(10, 120)
DECILES_CURRENT = np.array([30, 35, 45, 50, 50, 55, 55, 60, 60, 60])


def exact_psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Sum of (q - p) ln(q/p) over rational shares with half a session added to each bin."""
    half, bins = Fraction(1, 2), len(reference)
    p = [(int(c) + half) / (int(reference.sum()) + bins * half) for c in reference]
    q = [(int(c) + half) / (int(current.sum()) + bins * half) for c in current]
    return math.fsum(float(b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


@pytest.mark.parametrize(
    ("reference", "current"),
    [(REFERENCE, CURRENT), (DECILES_REFERENCE, DECILES_CURRENT)],
    ids=["categories", "deciles"],
)
def test_every_distance_is_that_of_the_smoothed_shares(
    reference: np.ndarray, current: np.ndarray
) -> None:
    result = distance(reference, current)
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (current + 0.5) / (current + 0.5).sum()
    scale = 1 / current.sum() + 1 / reference.sum()
    assert result.psi == pytest.approx(exact_psi(reference, current), rel=1e-12)
    assert result.statistic == pytest.approx(exact_psi(reference, current) / scale, rel=1e-12)
    assert result.psi_floor == pytest.approx((len(p) - 1) * scale)
    assert result.psi_corrected == pytest.approx(result.psi - result.psi_floor)
    assert result.kl_reference_current == pytest.approx(stats.entropy(p, q), rel=1e-12)
    assert result.kl_current_reference == pytest.approx(stats.entropy(q, p), rel=1e-12)
    assert result.js_distance == pytest.approx(spatial.distance.jensenshannon(p, q, base=2))
    assert result.psi == pytest.approx(result.kl_reference_current + result.kl_current_reference)
    assert result.parts.sum() == pytest.approx(result.psi)


def test_large_samples_give_the_results_of_other_tools() -> None:
    deciles = distance(DECILES_REFERENCE * 10**6, DECILES_CURRENT * 10**6)
    assert deciles.psi == pytest.approx(0.045032375, rel=1e-5)  # frouros 0.9, same ten bins
    categories = distance(REFERENCE * 10**6, CURRENT * 10**6)
    assert categories.js_distance == pytest.approx(0.259664740, rel=1e-5)  # nannyml, scipy base 2
    # evidently 0.7 puts 0.0001 into empty categories and does not renormalise
    filled = distance(
        np.array([40_000, 25_000, 20_000, 10_000, 5_000, 10]) * 10**5,
        np.array([30_000, 25_000, 20_000, 20_000, 10, 5_000]) * 10**5,
    )
    assert filled.psi == pytest.approx(0.7183008135, rel=2e-4)
    assert filled.kl_reference_current == pytest.approx(0.3558314719, rel=2e-4)
    assert filled.kl_current_reference == pytest.approx(0.3623975187, rel=2e-4)


def test_floor_by_hand() -> None:
    result = distance(np.array([50, 50]), np.array([10, 10]))
    assert result.psi_floor == pytest.approx(1 / 20 + 1 / 100)
    assert result.psi == 0.0
    assert result.psi_corrected == 0.0
    assert result.psi_lower == 0.0
    assert result.js_distance == 0.0


@pytest.mark.parametrize("df", [1, 4, 9, 24])
@pytest.mark.parametrize("statistic", [0.0, 3.0, 30.0, 188.0, 4e3, 2e5])
def test_lower_bound_inverts_the_noncentral_chi_square(statistic: float, df: int) -> None:
    if stats.chi2.cdf(statistic, df) <= 0.95:
        assert noncentrality_lower(statistic, df) == 0.0
        return
    expected = optimize.brentq(
        lambda nc: stats.ncx2.cdf(statistic, df, nc) - 0.95, 1e-12, statistic, xtol=1e-9
    )
    assert noncentrality_lower(statistic, df) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_lower_bound_is_missed_upwards_in_about_five_per_cent_of_samples() -> None:
    rng = np.random.default_rng(20)
    p = np.full(10, 0.1)
    q = p * np.linspace(0.6, 1.4, 10)
    truth = float(((q - p) * np.log(q / p)).sum())
    over = sum(
        distance(rng.multinomial(5000, p), rng.multinomial(500, q)).psi_lower > truth
        for _ in range(600)
    )
    assert stats.binomtest(over, 600, 0.05).pvalue > 1e-4


@pytest.mark.parametrize(("statistic", "df"), [(0.0, 4), (9.5, 4), (60.0, 9), (900.0, 23)])
def test_p_value_is_the_chi_square_tail(statistic: float, df: int) -> None:
    assert chi_square_p(statistic, df) == pytest.approx(stats.chi2.sf(statistic, df), rel=1e-10)


def test_one_bin_cannot_drift() -> None:
    result = distance(np.array([900]), np.array([30]))
    assert (result.psi, result.psi_floor, result.psi_lower) == (0.0, 0.0, 0.0)
    assert chi_square_p(result.statistic, 0) == 1.0


def test_an_empty_side_is_an_error() -> None:
    with pytest.raises(ValueError, match="no sessions"):
        distance(np.array([0, 0]), np.array([1, 2]))
    with pytest.raises(ValueError, match="no sessions"):
        distance(np.array([1, 2]), np.array([0, 0]))


def test_shares_of_empty_bins_are_half_a_session() -> None:
    assert smoothed_shares(np.array([9, 0])).tolist() == pytest.approx([9.5 / 10, 0.5 / 10])
