"""Feedback that comes late: how much of a window's has arrived, and what the whole will be.

F(lag), the share of all feedback that has come within `lag` of its call, is the distribution of
lags among calls so old that theirs is all there. Lags are counted in the log buckets of numbers, so
F of several panes or cohorts is the F of the sum of their counts, off by 0.5 % of a lag at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retraind.model import Counts
from retraind.rates.interval import CONFIDENCE, MILLIONTHS, FloatArray, interval
from retraind.window.buckets import bucket

MATURE = 0.9
LEAST_LAGS = 30
"""With fewer known lags the shape of F is a guess, and no window is mature."""

_EACH = (1 + CONFIDENCE) / 2
"""Confidence of each of two intervals that hold together at CONFIDENCE (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The share of a window's feedback that has arrived, with a 97.5 % interval, from `lags` lags.

    NaN, 0 and 1 when no lag is known.
    """

    lags: int
    share: float
    lower: float
    upper: float

    @property
    def mature(self) -> bool:
        """May the window enter tests?"""
        return self.lags >= LEAST_LAGS and self.share >= MATURE


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A rate corrected for what has not been reported yet, with a 95 % interval in [0, 1]."""

    rate: float
    lower: float
    upper: float


def lag_counts(lags_s: FloatArray, ages_s: FloatArray, horizon_s: float) -> Counts:
    """Lags of the feedback to calls that are at least `horizon_s` old; additive (`add_all`).

    `lags_s` from call to feedback and `ages_s` of the call now, both in seconds and of shape
    (feedback,). Younger calls would show their short lags only. Lags beyond the horizon are not
    counted: feedback that comes later than that is never waited for.
    """
    lags, ages = np.asarray(lags_s, np.float64), np.asarray(ages_s, np.float64)
    values, counts = np.unique(
        bucket(lags[(ages >= horizon_s) & (lags <= horizon_s)]), return_counts=True
    )
    return Counts("number", values, counts)


def reported(lags: Counts, ages_s: Sequence[float], sessions: Sequence[int]) -> Reported:
    """The mean of F(age) over a window's sessions, given by pane: their age in seconds, and number.

    Seen from a lag, it is the share of the window's sessions that are older than it: a value in
    [0, 1] for each known lag, whose mean has a betting interval. Raises ValueError when there are
    no sessions.
    """
    weights = np.asarray(sessions, np.int64)
    total = int(weights.sum())
    if total == 0:
        raise ValueError("no sessions to wait for")
    if lags.n == 0:
        return Reported(0, math.nan, 0.0, 1.0)
    ages = bucket(np.asarray(ages_s, np.float64))
    order = np.argsort(ages, kind="stable")
    younger = np.concatenate(([0], np.cumsum(weights[order])))
    older = total - younger[np.searchsorted(ages[order], lags.values, side="left")]
    share = float(older @ lags.counts) / (total * lags.n)
    # rounding both ways keeps the interval on the safe side
    floor, ceiling = older * MILLIONTHS // total, -(-older * MILLIONTHS // total)
    lower, _ = interval(Counts("rate", floor, lags.counts), _EACH)
    _, upper = interval(Counts("rate", ceiling, lags.counts), _EACH)
    return Reported(lags.n, share, lower, upper)


def adjusted(window: Counts, arrived: Reported) -> Adjusted:
    """The rate that a window will have when all its feedback is there: rate / F.

    `window` is a rate over all sessions, 0 for those that have not reported (such as
    `labels.any_feedback`). The interval joins that of the rate and that of F. NaN, 0 and 1 while
    nothing is known to have arrived.
    """
    if window.n == 0 or not arrived.share > 0:
        return Adjusted(math.nan, 0.0, 1.0)
    rate = float(window.values @ window.counts) / (window.n * MILLIONTHS)
    lower, upper = interval(window, _EACH)
    return Adjusted(
        min(1.0, rate / arrived.share),
        min(1.0, lower / arrived.upper),
        min(1.0, upper / arrived.lower) if arrived.lower > 0 else 1.0,
    )
