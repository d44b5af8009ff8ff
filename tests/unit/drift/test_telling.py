"""Sessions in the bins of the test, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retraind.drift.bins import NumericBins
from retraind.drift.categories import compare_categories
from retraind.drift.numbers import compare_numbers
from retraind.drift.telling import place_categories, place_numbers
from retraind.model import Counts
from retraind.window.buckets import NO_BUCKET


def numbers(**table: int) -> Counts:
    return Counts("number", np.array([int(k[1:]) for k in table]), np.array(list(table.values())))


def categories(missing: int = 0, **table: int) -> Counts:
    return Counts(
        "category", np.array(sorted(table), object), np.array([table[k] for k in sorted(table)]),
        missing=missing,
    )  # fmt: skip


def test_numbers_fall_into_the_bins_of_the_psi() -> None:
    before, now = numbers(_1=50, _5=50), numbers(_1=10, _5=50, _9=40)
    bins = NumericBins((1, 5))  # up to 1, 2 to 5, over 5
    index, ratios = place_numbers(before, now, bins, np.array([1, 2, 5, 6, 900, -7, NO_BUCKET]))
    assert index.tolist() == [0, 1, 1, 2, 2, 0, -1]
    smoothed = [(10.5, 50.5), (50.5, 50.5), (40.5, 0.5)]  # of 101.5 and 101.5 sessions
    assert ratios == pytest.approx([math.log(c / r) for c, r in smoothed])
    result = compare_numbers(before, now, psi_bins=bins, test_bins=bins)
    shares = {(part.reference_share, part.current_share) for part in result.contributions}
    assert sorted(math.log(c / r) for r, c in shares) == pytest.approx(sorted(ratios))


def test_categories_fall_into_named_other_new_and_missing() -> None:
    # `rare` is too rare to be tested by itself, `once` counts as new in the reference.
    before = categories(missing=20, a=200, b=100, rare=4, once=1)
    now = categories(missing=30, a=60, b=30, rare=2, new=40)
    asked = ["a", "b", "rare", "once", "new", None]
    index, ratios = place_categories(before, now, asked)
    labels = {part.label: part for part in compare_categories(before, now).contributions}
    expected = ["a", "b", "__other__", "__other__", "__new__", "__missing__"]
    for place, label in zip(index.tolist(), expected, strict=True):
        part = labels[label]
        assert ratios[place] == pytest.approx(math.log(part.current_share / part.reference_share))
    # new: 40.5 of 162 + 5/2 sessions against 1.5 of 325 + 5/2
    assert ratios[index[4]] == pytest.approx(math.log((40.5 / 164.5) / (1.5 / 327.5)))


def test_a_missing_value_says_nothing_where_none_was_ever_missing() -> None:
    index, _ = place_categories(categories(a=50, b=50), categories(a=50, b=50), ["a", None])
    assert index.tolist()[1] == -1
