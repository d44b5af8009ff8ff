"""Has the mean of a vector moved? One test for hashed text, embeddings and their random features.

Each session has a vector. With n current and m reference sessions, T = |difference of means|^2 /
(1/n + 1/m). When nothing has changed T is, for large n and m, a sum of chi-squares weighted by the
eigenvalues of the covariance C (Gretton et al. 2012), so its first cumulants are tr C, 2 tr C^2,
8 tr C^3 and 48 tr C^4. The usual gamma with two of them (Welch and Satterthwaite) is too light
where alarms are decided: at p < .001 it alarms in 2 to 5 of 1000 windows, since a few directions
carry much of the variance; one with three (Pearson's type III) in 1.1 to 1.5. So two chi-squares
with four cumulants stand for all of them, and their tail is a saddlepoint approximation: 1 in 1000,
and within a quarter of the level at p < .00001.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from retraind.drift.bins import FloatArray, IntArray
from retraind.drift.frozen import NotTested

LOWER_QUANTILE = 1.6448536269514722  # of the normal distribution at 95 %


@dataclass(frozen=True, slots=True, eq=False)
class VectorSums:
    """Sum of the vectors of n sessions in fixed point, shape (d,): exact, and in any order.

    `parts` is the id of the frozen parts that made the vectors: sums of others are never added or
    compared.
    """

    parts: str
    n: int
    total: IntArray

    def __add__(self, other: VectorSums) -> VectorSums:
        if self.parts != other.parts:
            raise ValueError("these are sums of vectors of different references")
        return VectorSums(self.parts, self.n + other.n, self.total + other.total)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VectorSums):
            return NotImplemented
        same = (self.parts, self.n) == (other.parts, other.n)
        return same and np.array_equal(self.total, other.total)

    __hash__ = None  # type: ignore[assignment]  # as arrays have none


@dataclass(frozen=True, slots=True)
class Moments:
    """Traces of the covariance C of the reference's vectors, and of its powers."""

    trace: float
    trace2: float
    trace3: float
    trace4: float


@dataclass(frozen=True, slots=True)
class MeanResult:
    """The mean vector of one window against that of its reference.

    `n` current and `m` reference sessions; `method` names the test and its parameters. `distance`
    is the squared distance of the means without what chance adds, `distance_lower` its lower bound
    (95 %). `moved_share` says how much that is: as if this share of the sessions had been replaced
    by copies of one session at the usual distance from the mean.
    """

    method: str
    n: int
    m: int
    statistic: float
    p_value: float
    distance: float
    distance_lower: float
    moved_share: float


def moments(rows: npt.NDArray[Any]) -> Moments:
    """Moments of vectors in random order, shape (sessions, d), at least 8 of them.

    Products of the covariances of four groups of rows: the groups are independent, so the products
    are unbiased, where the square of one estimate is too large by about trace^2 / sessions.
    """
    a, b, c, d = (_covariance(np.asarray(rows[start::4], np.float64)) for start in range(4))
    ab, cd, ac, bd = a @ b, c @ d, a @ c, b @ d
    return Moments(
        trace=float(np.trace(a + b + c + d)) / 4,
        trace2=float(np.trace(ab + cd + ac + bd) + (a * d).sum() + (b * c).sum()) / 6,
        trace3=float((ab * (c + d)).sum() + (cd * (a + b)).sum()) / 4,
        trace4=float((ab * (cd + cd.T)).sum() + (ac * bd.T).sum()) / 3,
    )


def _covariance(rows: FloatArray) -> FloatArray:
    """Shape (d, d)."""
    centred = rows - rows.mean(axis=0)
    result: FloatArray = centred.T @ centred / (len(rows) - 1)
    return result


def upper_tail(statistic: float, each: Moments) -> float:
    """P(T >= statistic) when nothing has changed."""
    two = _two_weights(each)
    if two is None:  # all weights alike: one chi-square
        weight = each.trace2 / each.trace
        return float(special.gammaincc(each.trace / weight / 2, max(0.0, statistic) / weight / 2))
    if statistic <= 0:
        return 1.0
    (w1, mass1), (w2, mass2) = two
    # K(t) = -sum mass / (2 w) ln(1 - 2 w t); K'(t) = statistic is a quadratic equation in 2 t
    p, q = w1 * w2 * statistic, w1 * mass2 + w2 * mass1 - (w1 + w2) * statistic
    root = math.sqrt(q * q - 4 * p * (statistic - each.trace))
    t = -(q + root) / (4 * p) if q > 0 else (statistic - each.trace) / (root - q)
    k = -sum(mass / (2 * w) * math.log1p(-2 * w * t) for w, mass in two)
    k2 = sum(2 * mass * w / (1 - 2 * w * t) ** 2 for w, mass in two)
    r = math.copysign(math.sqrt(max(0.0, 2 * (t * statistic - k))), t)
    if abs(r) < 1e-3:  # the limit at the mean
        return float(special.ndtr(-r - 8 * each.trace3 / (2 * each.trace2) ** 1.5 / 6))
    return float(special.ndtr(-r - math.log(t * math.sqrt(k2) / r) / r))


def _two_weights(each: Moments) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Two weights, and how much of the trace each has, with the four traces; None for one weight.

    The nodes of a Gauss quadrature (Golub and Welsch 1969) for the eigenvalues, each with itself as
    mass: they have the mean, variance and third moment computed here. Where noise in the estimated
    trace of C^4 would make the smaller weight negative it is zero, which leaves three cumulants.
    """
    mean = each.trace2 / each.trace
    variance = each.trace3 / each.trace - mean**2
    if variance <= 1e-9 * mean**2:
        return None
    third = each.trace4 / each.trace - 3 * mean * variance - mean**3
    lean = max(third / variance, variance / mean - mean)
    root = math.sqrt(lean**2 + 4 * variance)
    large, small = mean + (lean + root) / 2, mean + (lean - root) / 2
    small = max(small, 1e-9 * large)
    part = (mean - small) / (large - small)
    return (large, part * each.trace), (small, (1 - part) * each.trace)


def compare_means(
    method: str, reference: VectorSums, current: VectorSums, each: Moments, unit: float
) -> MeanResult | NotTested:
    """Test the distance of two means; a coordinate of 1 is `unit` in the sums."""
    if reference.parts != current.parts:
        return NotTested("not_comparable", "the window was not projected with this reference")
    n, m = current.n, reference.n
    if min(n, m) < 2:
        return NotTested("too_few_sessions", f"{n} current and {m} reference sessions")
    if min(each.trace, each.trace2, each.trace3) <= 0:
        return NotTested("constant", "the sessions of the reference are all alike")
    noise = 1 / n + 1 / m
    difference = (current.total / n - reference.total / m) / unit
    statistic = float(difference @ difference) / noise
    distance = max(0.0, (statistic - each.trace) * noise)
    return MeanResult(
        method=method,
        n=n,
        m=m,
        statistic=statistic,
        p_value=upper_tail(statistic, each),
        distance=distance,
        distance_lower=max(0.0, distance - LOWER_QUANTILE * _deviation(distance, noise, each)),
        moved_share=min(1.0, math.sqrt(distance / each.trace)),
    )


def _deviation(distance: float, noise: float, each: Moments) -> float:
    """Standard deviation of the squared distance, at most.

    It is noise^2 2 tr C^2 + 4 noise d'Cd for a difference d, and d'Cd <= |d|^2 (tr C^3)^(1/3).
    """
    largest = each.trace3 ** (1 / 3)
    return math.sqrt(2 * noise**2 * each.trace2 + 4 * noise * largest * distance)
