"""The test for each kind of feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from retraind.drift.categories import compare_categories
from retraind.drift.numbers import compare_numbers
from retraind.model import Counts, DriftResult, FeatureKind

_COMPARE: Mapping[FeatureKind, Callable[[Counts, Counts], DriftResult]] = {
    "number": compare_numbers,
    "score": compare_numbers,
    "category": compare_categories,
}


def compare(reference: Counts, current: Counts) -> DriftResult:
    """Compare a window with its reference by the test of their kind.

    Raises ValueError when the kinds differ, when the kind is `rate` (see retraind.rates), or when a
    side has no sessions.
    """
    if reference.kind != current.kind:
        raise ValueError(f"a {current.kind} cannot be compared with a {reference.kind}")
    if current.kind not in _COMPARE:
        raise ValueError(f"a {current.kind} has no drift test")
    return _COMPARE[current.kind](reference, current)
