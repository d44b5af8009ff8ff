"""Single sessions in the bins of a drift test, and how much likelier each bin has become."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retraind.drift.bins import FloatArray, IntArray, NumericBins
from retraind.drift.categories import MISSING, NEW, OTHER, cells
from retraind.drift.distance import smoothed_shares
from retraind.drift.numbers import merged_counts
from retraind.model import Counts
from retraind.window.buckets import NO_BUCKET

Placed = tuple[IntArray, FloatArray]
"""Bin of each session (-1: none), and log(share now / share in the reference) of each bin."""


def place_numbers(
    reference: Counts, current: Counts, bins: NumericBins, values: IntArray
) -> Placed:
    """`values`: log buckets; bins and counts are those of the PSI."""
    merged, r, c = merged_counts(reference, current, bins)
    index = np.searchsorted(np.asarray(merged.edges, np.int64), values, side="left")
    return np.where(values == NO_BUCKET, -1, index), _log_ratios(r, c)


def place_categories(reference: Counts, current: Counts, values: Sequence[str | None]) -> Placed:
    """`values`: texts, None for a session without one."""
    table = cells(reference, current)
    place = {label: i for i, label in enumerate(table)}
    seen = set(reference.values.tolist())

    def cell(text: str | None) -> int:
        if text is not None and text in place:
            return place[text]
        label = MISSING if text is None else OTHER if text in seen else NEW
        return place.get(label, place.get(OTHER, -1) if text is not None else -1)

    counts = np.asarray(list(table.values()), np.int64).reshape(-1, 2)
    return np.array([cell(text) for text in values], np.int64), _log_ratios(*counts.T)


def _log_ratios(reference: IntArray, current: IntArray) -> FloatArray:
    ratios: FloatArray = np.log(smoothed_shares(current) / smoothed_shares(reference))
    return ratios
