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
    adjacent_groups,
    count_in,
    quantile_bins,
)
from retraind.drift.distance import Distance, distance, drift_result
from retraind.model import Counts, DriftResult

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
    effect, labels = _effect(reference, current, psi_bins or quantile_bins(reference, PSI_BINS))
    bins = test_bins or quantile_bins(reference, TEST_BINS)
    z = smooth_components(count_in(reference, bins), count_in(current, bins))
    return drift_result(
        METHOD, effect, labels, statistic=float(z @ z), degrees_of_freedom=len(z),
        components=dict(zip(COMPONENTS, z.tolist(), strict=False)),
    )  # fmt: skip


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


def _effect(reference: Counts, current: Counts, bins: NumericBins) -> tuple[Distance, list[str]]:
    """The distance on merged bins, and the labels of those."""
    merged, r, c = merged_counts(reference, current, bins)
    return distance(r, c), merged.labels()


def merged_counts(
    reference: Counts, current: Counts, bins: NumericBins
) -> tuple[NumericBins, IntArray, IntArray]:
    """The bins that are compared, small ones joined, and what each side has in them."""
    r, c = count_in(reference, bins), count_in(current, bins)
    groups = adjacent_groups(r, c)
    starts = [group.start for group in groups]
    edges = tuple(bins.edges[group.stop - 1] for group in groups[:-1])
    return NumericBins(edges), np.add.reduceat(r, starts), np.add.reduceat(c, starts)
