"""Families against scipy, bands by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from retraind.drift.bands import verdict
from retraind.drift.family import select
from retraind.model import Contribution, DriftResult

RESULT = DriftResult("m", 300, 3000, 0.2, 0.03, 0.17, 0.1, 0.1, 0.1, 0.2, 50.0, 9, 1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_selection_is_the_benjamini_hochberg_set_below_alpha(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.concatenate([rng.random(30), rng.random(int(rng.integers(0, 30))) ** 8])
    adjusted = stats.false_discovery_control(p, method="bh")
    assert select(p.tolist(), q=0.05, alpha=1.0) == (adjusted <= 0.05).tolist()
    assert select(p.tolist(), q=0.05, alpha=0.001) == ((adjusted <= 0.05) & (p < 0.001)).tolist()


def test_families_of_none_and_one() -> None:
    assert select([], q=0.05, alpha=0.001) == []
    assert select([0.01], q=0.05, alpha=0.001) == [False]
    assert select([0.0005], q=0.05, alpha=0.001) == [True]


def test_a_small_p_among_many_null_ones_is_not_enough() -> None:
    assert not any(select([0.0009] + [0.5] * 999, q=0.05, alpha=0.001))


@pytest.mark.parametrize(
    ("corrected", "lower", "in_family", "expected"),
    [
        (0.5, 0.4, False, "ok"),
        (0.0999, 0.01, True, "notice"),
        (0.1, 0.01, True, "investigate"),
        (0.2499, 0.2, True, "investigate"),
        (0.25, 0.1, True, "investigate"),  # the lower bound must lie above 0.1
        (0.25, 0.1001, True, "retrain"),
    ],
)
def test_bands(corrected: float, lower: float, in_family: bool, expected: str) -> None:
    result = replace(RESULT, psi_corrected=corrected, psi_lower=lower)
    assert verdict(result, in_family=in_family, investigate=0.1, retrain=0.25) == expected


@pytest.mark.parametrize(("now", "expected"), [(0.10, "investigate"), (0.09, "notice")])
def test_a_single_share_that_moves_five_points_is_worth_a_look(now: float, expected: str) -> None:
    parts = (
        Contribution("yes", 0.0499, now, 0.02),
        Contribution("no", 0.9501, 1 - now, 0.01),
    )
    result = replace(RESULT, psi_corrected=0.03, psi_lower=0.01, contributions=parts)
    assert verdict(result, in_family=True, investigate=0.1, retrain=0.25) == expected
    three = replace(result, contributions=(*parts, Contribution("maybe", 0.0, 0.0, 0.0)))
    assert verdict(three, in_family=True, investigate=0.1, retrain=0.25) == "notice"
