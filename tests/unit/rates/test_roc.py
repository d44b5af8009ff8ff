"""AUC against Mann and Whitney's U, its variance by hand, its coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from retraind.model import Counts
from retraind.rates.roc import roc_auc
from retraind.window.buckets import bucket
from retraind.window.counts import add_all


def scores(sample: object) -> Counts:
    values, counts = np.unique(bucket(np.asarray(sample, float)), return_counts=True)
    return Counts("score", values, counts)


def whole_auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    u = stats.mannwhitneyu(positives, negatives).statistic
    return float(u) / (len(positives) * len(negatives))


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.5, 2.0])
def test_auc_is_the_share_of_pairs_in_order(shift: float) -> None:
    rng = np.random.default_rng(11)
    # few distinct scores: many ties, and none within a bucket but true ones
    x = np.round(stats.norm.cdf(rng.normal(shift, 1, 150)), 1)
    y = np.round(stats.norm.cdf(rng.normal(0, 1, 260)), 1)
    result = roc_auc(scores(x), scores(y))
    assert result.auc == pytest.approx(whole_auc(x, y), rel=1e-12)
    assert (result.positives, result.negatives, result.reason) == (150, 260, "")


@pytest.mark.parametrize("shift", [0.0, 1.1, 2.5])
def test_buckets_change_the_auc_by_no_more_than_is_said(shift: float) -> None:
    rng = np.random.default_rng(12)
    x = stats.norm.cdf(rng.normal(shift, 1, 400))
    y = stats.norm.cdf(rng.normal(0, 1, 300))
    result = roc_auc(scores(x), scores(y))
    assert result.auc is not None
    assert 0 < abs(result.auc - whole_auc(x, y)) <= result.discretisation < 0.01


def test_interval_by_hand() -> None:
    """Positives 3, 9, 18 and negatives 15, 12, 3 at low, middle and high scores.

    Pairs in order: 3 * 7.5 + 9 * 21 + 18 * 28.5 = 724.5 of 900, so A = .805. Positives lie above
    .25, .7 and .95 of the negatives, squares 3 (.555)^2 + 9 (.105)^2 + 18 (.145)^2 = 1.40175.
    Negatives below .95, .75 and .3 of the positives, squares 15 (.145)^2 + 12 (.055)^2 +
    3 (.505)^2 = 1.11675. Variance (1.40175 + 1.11675) / (29 * 30) = .00289483, its root .0538036.
    """
    levels = [0.1, 0.5, 0.9]
    result = roc_auc(scores(np.repeat(levels, [3, 9, 18])), scores(np.repeat(levels, [15, 12, 3])))
    assert result.auc == pytest.approx(0.805)
    half = 1.959964 * 0.0538036 / (0.805 * 0.195)
    centre = math.log(0.805 / 0.195)
    assert result.lower == pytest.approx(1 / (1 + math.exp(half - centre)), rel=1e-5)
    assert result.upper == pytest.approx(1 / (1 + math.exp(-half - centre)), rel=1e-5)
    assert result.discretisation == pytest.approx((3 * 15 + 9 * 12 + 18 * 3) / 1800)


@pytest.mark.parametrize(
    ("positives", "negatives", "reason"),
    [
        ([], [0.5] * 50, "0 positive sessions, 30 needed"),
        ([0.5, 0.6] * 30, [0.2] * 29, "29 negative sessions, 30 needed"),
        ([0.7] * 40, [0.7] * 40, "all scores are equal"),
    ],
)
def test_degenerate_classes_have_no_auc_and_a_reason(
    positives: list[float], negatives: list[float], reason: str
) -> None:
    result = roc_auc(scores(positives), scores(negatives))
    assert (result.auc, result.lower, result.upper, result.reason) == (None, None, None, reason)


def test_classes_that_do_not_overlap_are_not_certain() -> None:
    apart = roc_auc(scores([0.9] * 40), scores([0.1] * 90))
    # 40 of 40 pairs in order: the exact lower limit of 97.5 %
    exact = stats.binomtest(40, 40).proportion_ci(0.95).low
    assert (apart.auc, apart.upper) == (1.0, 1.0)
    assert apart.lower == pytest.approx(exact)
    inverted = roc_auc(scores([0.1] * 40), scores([0.9] * 90))
    assert (inverted.auc, inverted.lower) == (0.0, 0.0)
    assert inverted.upper == pytest.approx(1 - exact)


@pytest.mark.parametrize("auc", [0.78, 0.91])
def test_the_interval_covers_the_truth(auc: float) -> None:
    rng = np.random.default_rng(13)
    shift, runs, covered = stats.norm.ppf(auc) * math.sqrt(2), 400, 0
    for _ in range(runs):
        x = stats.norm.cdf(rng.normal(shift, 1, 80))
        y = stats.norm.cdf(rng.normal(0, 1, 200))
        result = roc_auc(scores(x), scores(y))
        assert result.lower is not None
        assert result.upper is not None
        covered += result.lower <= auc <= result.upper
    assert stats.binomtest(covered, runs, 0.95).pvalue > 1e-3


def test_windows_are_the_sum_of_their_panes() -> None:
    rng = np.random.default_rng(14)
    x, y = rng.beta(4, 2, 120), rng.beta(2, 4, 150)
    positives = add_all([scores(x[:50]), scores(x[50:])])
    negatives = add_all([scores(y[100:]), scores(y[:100])])
    assert roc_auc(positives, negatives) == roc_auc(scores(x), scores(y))
