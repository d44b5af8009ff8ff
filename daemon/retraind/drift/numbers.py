"""Drift of a number or a score: PSI on ten bins as effect size, a smooth test as p-value.

The smooth test (after Neyman) compares the means of orthonormal polynomials, degrees 1 to 4, of the
reference mid-rank on twenty bins. The polynomials are orthonormal under the pooled sample, so under
no change their mean differences are uncorrelated with variance 1/n + 1/m, and d' V^-1 d is a sum of
squares of z-values, chi-square with 4 degrees of freedom. The z-values read as location (positive:
larger than before), spread, skew and tail.
"""

from __future__ import annotations

import math

import numpy as np

from retraind.drift.bins import (
    FloatArray,
    IntArray,
    NumericBins,
    Sample,
    adjacent_groups,
    count_in,
    quantile_bins,
)
from retraind.drift.distance import Distance, chi_square_p, contributions, distance
from retraind.model import Contribution, Counts, DriftResult

METHOD = "psi10+smooth4/½/v1"
PSI_BINS = 10
TEST_BINS = 20
COMPONENTS = ("location", "spread", "skew", "tail")


def compare_numbers(
    reference: Counts,
    current: Counts,
    *,
    psi_bins: NumericBins | None = None,
    test_bins: NumericBins | None = None,
) -> DriftResult:
    """Compare the values of two sets of sessions; missing values are not looked at.

    Bins default to 10 and 20 quantile bins of `reference`; give those of the whole pinned reference
    when `reference` is only a part of it (the same hours). Bins expected to hold fewer than five
    sessions join a neighbour. With fewer than five bins left the test has fewer components, and
    with one bin left p is 1. Raises ValueError when a side has no values.
    """
    before = Sample.of(reference)
    return compare_samples(
        before,
        Sample.of(current),
        psi_bins or quantile_bins(before, PSI_BINS),
        test_bins or quantile_bins(before, TEST_BINS),
    )


def compare_samples(
    before: Sample, now: Sample, psi_bins: NumericBins, test_bins: NumericBins
) -> DriftResult:
    """As `compare_numbers`, with both sides as arrays and the bins given."""
    effect, parts = _effect(before, now, psi_bins)
    z = smooth_components(count_in(before, test_bins), count_in(now, test_bins))
    statistic = float(z @ z)
    return DriftResult(
        method=METHOD,
        n=int(now.counts.sum()),
        m=int(before.counts.sum()),
        psi=effect.psi,
        psi_floor=effect.psi_floor,
        psi_corrected=effect.psi_corrected,
        psi_lower=effect.psi_lower,
        kl_reference_current=effect.kl_reference_current,
        kl_current_reference=effect.kl_current_reference,
        js_distance=effect.js_distance,
        statistic=statistic,
        degrees_of_freedom=len(z),
        p_value=chi_square_p(statistic, len(z)),
        contributions=parts,
        components=dict(zip(COMPONENTS, z.tolist(), strict=False)),
    )


def smooth_components(reference: IntArray, current: IntArray) -> FloatArray:
    """The z-values of the smooth test for counts of the same ordered bins, shape (<= 4,)."""
    groups = adjacent_groups(reference, current)
    starts = [group.start for group in groups]
    r = np.add.reduceat(reference, starts).astype(np.float64)
    c = np.add.reduceat(current, starts).astype(np.float64)
    m, n = float(r.sum()), float(c.sum())
    mid_rank = (np.cumsum(r) - r / 2) / m
    # neighbours that are empty in the reference have one rank: fewer points, a lower degree
    degree = min(len(COMPONENTS), len(np.unique(mid_rank)) - 1)
    if degree == 0:
        return np.zeros(0)
    # sqrt(weight) times a triangular change of the monomials has orthonormal columns: a QR.
    root = np.sqrt((r + c) / (m + n))
    monomials = np.vander(2 * mid_rank - 1, degree + 1, increasing=True)
    orthonormal, upper = np.linalg.qr(root[:, None] * monomials)
    polynomials = orthonormal * np.sign(np.diag(upper)) / root[:, None]
    difference = c @ polynomials / n - r @ polynomials / m
    z: FloatArray = difference[1:] / math.sqrt(1 / n + 1 / m)
    return z


def _effect(
    reference: Sample, current: Sample, bins: NumericBins
) -> tuple[Distance, tuple[Contribution, ...]]:
    """The distance on merged bins, and each merged bin's part of it."""
    r, c = count_in(reference, bins), count_in(current, bins)
    groups = adjacent_groups(r, c)
    starts = [group.start for group in groups]
    result = distance(np.add.reduceat(r, starts), np.add.reduceat(c, starts))
    edges = tuple(bins.edges[group.stop - 1] for group in groups[:-1])
    return result, contributions(result, NumericBins(edges).labels())
