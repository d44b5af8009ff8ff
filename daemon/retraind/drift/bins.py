"""Bins of a number, frozen with its reference.

Edges are bucket indices at quantiles of the reference, so a window never moves them and two
windows have comparable scores. The outer bins are open: what lies beyond the reference is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retraind.model import Counts
from retraind.window.buckets import bucket_bounds, bucket_label

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SMALLEST_EXPECTED = 5.0
"""Bins whose pooled expectation is smaller are merged; chi-square tests need about this many."""


@dataclass(frozen=True, slots=True)
class NumericBins:
    """Strictly increasing inclusive upper bounds, as bucket indices, of all bins but the last.

    Bin 0 holds indices <= edges[0], bin i those in (edges[i-1], edges[i]], the last bin the rest.
    """

    edges: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.edges) + 1

    def labels(self) -> list[str]:
        """A text for each bin, in the value's unit: `up to 96.3`, `96.3 to 150`, `over 150`."""
        if not self.edges:
            return ["all"]
        ends = [_end(edge) for edge in self.edges]
        inner = [
            bucket_label(self.edges[i])
            if self.edges[i] == self.edges[i - 1] + 1
            else f"{ends[i - 1]} to {ends[i]}"
            for i in range(1, len(ends))
        ]
        first = "below 0" if self.edges[0] == -1 else f"up to {ends[0]}"
        return [first, *inner, f"over {ends[-1]}"]


def _end(index: int) -> str:
    """The upper end of a bucket; the one below zero ends, for a reader, at zero."""
    return "0" if index == -1 else f"{bucket_bounds(index)[1]:.4g}"


def quantile_bins(reference: Counts, bins: int) -> NumericBins:
    """At most `bins` bins with about equal shares of the reference.

    An edge is the smallest index at which the cumulative count reaches j/bins, in integer
    arithmetic. An index that takes several of these quantiles (a constant, a default) becomes a bin
    of its own, bounded on both sides, so that values above it are not mixed with those below.
    Raises ValueError when the reference is empty or `bins` < 2.
    """
    if bins < 2:
        raise ValueError("at least two bins are needed")
    cumulative = np.cumsum(reference.counts)
    if not len(cumulative):
        raise ValueError("the reference has no values")
    targets = np.arange(1, bins, dtype=np.int64) * cumulative[-1]
    quantiles = reference.values[np.searchsorted(cumulative * bins, targets, side="left")]
    distinct, times = np.unique(quantiles, return_counts=True)
    edges: list[int] = np.union1d(distinct, distinct[times > 1] - 1).tolist()
    return NumericBins(tuple(edges))


def count_in(sample: Counts, bins: NumericBins) -> IntArray:
    """Sessions of the sample in each bin, shape (len(bins),)."""
    ends = np.searchsorted(sample.values, np.asarray(bins.edges, dtype=np.int64), side="right")
    below = np.concatenate(([0], np.cumsum(sample.counts)))
    result: IntArray = np.diff(below[np.concatenate(([0], ends, [len(sample.values)]))])
    return result


def pooled_expectation(reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> FloatArray:
    """Expected counts of the smaller sample if both came from one distribution, shape (bins,).

    They depend on the pooled counts only, so merging by them does not favour either side.
    """
    n, m = float(current.sum()), float(reference.sum())
    expectation: FloatArray = (reference + current) * (min(n, m) / (n + m))
    return expectation


def adjacent_groups(reference: IntArray, current: IntArray) -> list[slice]:
    """Neighbouring bins joined, from the left, until each group is expected to hold five.

    What is left over at the right joins the last group.
    """
    groups: list[slice] = []
    start, expected = 0, 0.0
    pooled = pooled_expectation(reference, current).tolist()
    for index, share in enumerate(pooled):
        expected += share
        if expected >= SMALLEST_EXPECTED:
            groups.append(slice(start, index + 1))
            start, expected = index + 1, 0.0
    if not groups:
        return [slice(0, len(pooled))]
    groups[-1] = slice(groups[-1].start, len(pooled)) if start < len(pooled) else groups[-1]
    return groups
