"""Betting intervals for the mean of values in [0, 1], such as sessions' shares of failures.

For a hypothetical mean m, a gambler who stakes a fixed part c of the largest safe bet on "values
exceed m" has the wealth prod(1 + c (v/m - 1)). At the true mean its expectation never exceeds 1,
whatever the distribution and however values depend on the past through anything but their mean, and
so does an average over several c. By Ville's inequality the wealth reaches 1/alpha with probability
at most alpha at any time: means under which it did are excluded, however often one looks
(Waudby-Smith and Ramdas 2024, with a fixed mixture in place of predictable bets). The order of the
values does not matter, so their counts are enough.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from retraind.model import Counts

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
MILLIONTHS = 1_000_000
STAKES: FloatArray = np.geomspace(1e-4, 0.99, 24)
"""Parts of the largest safe bet: small ones for many sessions, large ones for few."""

_BISECTIONS = 24
_MOST_VALUES = 256


def interval(counts: Counts, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided bounds for the mean of a rate's values, equal-tailed; (0, 1) when empty."""
    alpha = (1 - confidence) / 2
    values, weights = shares(counts)
    return _lower(values, weights, alpha), 1 - _lower(1 - values, weights, alpha)


def upper_bound(counts: Counts, confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound for the mean of a rate's values; 1 when empty."""
    values, weights = shares(counts)
    return 1 - _lower(1 - values, weights, 1 - confidence)


def shares(counts: Counts) -> tuple[FloatArray, FloatArray]:
    """Values of a rate as fractions of one, and their counts; both of shape (values,)."""
    values = np.asarray(counts.values, dtype=np.float64) / MILLIONTHS
    return values, np.asarray(counts.counts, dtype=np.float64)


def _lower(values: FloatArray, weights: FloatArray, alpha: float) -> float:
    """The largest m that is excluded from below at level `alpha`, or 0."""
    total = float(weights.sum())
    if total == 0 or not values.any():
        return 0.0
    if len(values) > _MOST_VALUES:  # rounding down only lowers the wealth, so the bound stays valid
        rows = np.floor(values * _MOST_VALUES).astype(np.int64)
        weights = np.bincount(rows, weights, minlength=_MOST_VALUES + 1).astype(np.float64)
        values = np.linspace(0.0, 1.0, _MOST_VALUES + 1)
    limit = math.log(1 / alpha)
    low, high = 0.0, float(values @ weights) / total
    for _ in range(_BISECTIONS):  # the wealth falls as m grows
        middle = (low + high) / 2
        if middle <= 0.0:
            break
        if _log_wealth(values, weights, middle) >= limit:
            low = middle
        else:
            high = middle
    return low


def _log_wealth(values: FloatArray, weights: FloatArray, mean: float) -> float:
    """Log of the average wealth over the stakes, for the hypothesis `mean`."""
    logs = np.log1p(STAKES[:, None] * (values / mean - 1)) @ weights
    return float(np.logaddexp.reduce(logs) - math.log(len(STAKES)))
