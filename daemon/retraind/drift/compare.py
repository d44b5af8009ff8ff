"""The test for each kind of feature."""

from __future__ import annotations

from dataclasses import dataclass

from retraind.drift.bins import NumericBins, quantile_bins
from retraind.drift.categories import compare_categories
from retraind.drift.numbers import PSI_BINS, TEST_BINS, compare_numbers
from retraind.model import Counts, DriftResult


@dataclass(frozen=True, slots=True)
class FrozenBins:
    """The edges of a reference's bins: for the effect size, and for the test."""

    psi: NumericBins
    test: NumericBins


def freeze_bins(whole: Counts) -> FrozenBins | None:
    """Edges of a whole reference, so that all hours share them; None for categories."""
    if whole.kind not in ("number", "score") or whole.n == 0:
        return None
    return FrozenBins(quantile_bins(whole, PSI_BINS), quantile_bins(whole, TEST_BINS))


def compare(reference: Counts, current: Counts, bins: FrozenBins | None = None) -> DriftResult:
    """Compare a window with its reference by the test of their kind.

    `bins` are those of the whole reference when `reference` is a part of it (the same hours).
    Raises ValueError when the kinds differ, when the kind is `rate` (see retraind.rates), or when a
    side has no sessions.
    """
    if reference.kind != current.kind:
        raise ValueError(f"a {current.kind} cannot be compared with a {reference.kind}")
    if current.kind == "category":
        return compare_categories(reference, current)
    if current.kind == "rate":
        raise ValueError("a rate has no drift test")
    if bins is None:
        return compare_numbers(reference, current)
    return compare_numbers(reference, current, psi_bins=bins.psi, test_bins=bins.test)
