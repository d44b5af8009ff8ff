"""Area under the ROC curve from counts of scores, with DeLong's interval.

It is the chance that a positive has a higher score than a negative, ties counting half (Mann and
Whitney). DeLong, DeLong and Clarke-Pearson (1988): its variance is that of the positives' chances
to lie above a negative, over their number, plus the like for negatives. Scores in one bucket are
ties, so counts are enough, and they add up over panes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from retraind.model import Counts
from retraind.rates.interval import CONFIDENCE

IntArray = npt.NDArray[np.int64]

METHOD = "auc-delong-logit/v1"
LEAST_OF_A_CLASS = 30
"""With fewer positives or negatives the interval is too short. Simulated at 30 of one class and 300
of the other, it still covers an AUC of 0.91 in 92 to 93 % of windows, and one of 0.97 in 90 %."""


@dataclass(frozen=True, slots=True)
class AucResult:
    """The AUC of one window with a 95 % interval; None, with the reason, where there is none.

    `discretisation` bounds the difference to the AUC of unrounded scores: half of the share of
    pairs whose two scores are in one bucket (some of these may be ties by themselves).
    """

    method: str
    positives: int
    negatives: int
    auc: float | None
    lower: float | None
    upper: float | None
    discretisation: float
    reason: str


def roc_auc(positives: Counts, negatives: Counts, *, confidence: float = CONFIDENCE) -> AucResult:
    """AUC of scores by log bucket, of sessions whose ground truth is positive and negative.

    One prediction a session. Kinds are `score` or `number`. Cost: the number of buckets.
    """
    p, q = _side_by_side(positives, negatives)
    m, n = positives.n, negatives.n
    reason = _degenerate(m, n, len(p))
    if reason:
        return AucResult(METHOD, m, n, None, None, None, 0.0, reason)
    # twice the number of negatives below each bucket, those in it counting half; exact integers
    below = 2 * np.cumsum(q) - q
    above = 2 * (m - np.cumsum(p)) + p
    auc = int(p @ below) / (2 * m * n)
    variance = float(p @ (below / (2 * n) - auc) ** 2) / (m * (m - 1))
    variance += float(q @ (above / (2 * m) - auc) ** 2) / (n * (n - 1))
    lower, upper = _bounds(auc, variance, min(m, n), confidence)
    return AucResult(METHOD, m, n, auc, lower, upper, float(p @ q) / (2 * m * n), "")


def _side_by_side(positives: Counts, negatives: Counts) -> tuple[IntArray, IntArray]:
    """Counts of both in each bucket that either has, in order of the score."""
    values = np.union1d(positives.values, negatives.values)
    p, q = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    p[np.searchsorted(values, positives.values)] = positives.counts
    q[np.searchsorted(values, negatives.values)] = negatives.counts
    return p, q


def _degenerate(m: int, n: int, buckets: int) -> str:
    for count, name in ((m, "positive"), (n, "negative")):
        if count < LEAST_OF_A_CLASS:
            return f"{count} {name} sessions, {LEAST_OF_A_CLASS} needed"
    return "all scores are equal" if buckets == 1 else ""


def _bounds(auc: float, variance: float, pairs: int, confidence: float) -> tuple[float, float]:
    """On the logit scale, which keeps them in (0, 1).

    Classes that do not overlap have no variance. Their bound is that of `pairs` disjoint pairs, all
    of which came out right: by chance no more often than auc ** pairs.
    """
    alpha = 1 - confidence
    if auc in (0.0, 1.0):
        bound = (alpha / 2) ** (1 / pairs)
        return (bound, 1.0) if auc == 1 else (0.0, 1 - bound)
    half = float(special.ndtri(1 - alpha / 2)) * math.sqrt(variance) / (auc * (1 - auc))
    centre = float(special.logit(auc))
    return float(special.expit(centre - half)), float(special.expit(centre + half))
