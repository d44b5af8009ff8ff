"""Bins of Counts, for tests that start from those and not from arrays."""

from __future__ import annotations

from retraind.drift.bins import IntArray, NumericBins, Sample, count_in, quantile_bins
from retraind.model import Counts


def numeric_bins(reference: Counts, bins: int) -> NumericBins:
    return quantile_bins(Sample.of(reference), bins)


def bin_counts(counts: Counts, bins: NumericBins) -> IntArray:
    return count_in(Sample.of(counts), bins)
