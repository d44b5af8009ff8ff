"""Has the mean of a vector moved? One test for hashed text, embeddings and their random features.

Each session has a vector. With n current and m reference sessions, T = |difference of means|^2 /
(1/n + 1/m). When nothing has changed T is, for large n and m, a sum of chi-squares weighted by the
eigenvalues of the covariance C (Gretton et al. 2012), so its first three cumulants are tr C,
2 tr C^2 and 8 tr C^3. The usual gamma with the first two of them (Welch and Satterthwaite) gives 2
to 4 alarms per 1000 windows at p < .001, since a few directions carry much of the variance of text;
a shifted gamma (Pearson's type III) with all three (Imhof 1961) gives one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from retraind.drift.frozen import NotTested

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

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
    """Traces of the covariance of the reference's vectors, of its square and of its cube."""

    trace: float
    trace2: float
    trace3: float


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
    """Moments of vectors in random order, shape (sessions, d), at least 6 of them.

    Products of the covariances of three groups of rows: the groups are independent, so the products
    are unbiased, where the square of one estimate is too large by about trace^2 / sessions.
    """
    a, b, c = (_covariance(np.asarray(rows[start::3], np.float64)) for start in range(3))
    return Moments(
        trace=float(np.trace(a + b + c)) / 3,
        trace2=float((a * b).sum() + (b * c).sum() + (a * c).sum()) / 3,
        trace3=float(((a @ b) * c).sum()),
    )


def _covariance(rows: FloatArray) -> FloatArray:
    """Shape (d, d)."""
    centred = rows - rows.mean(axis=0)
    result: FloatArray = centred.T @ centred / (len(rows) - 1)
    return result


def upper_tail(statistic: float, each: Moments) -> float:
    """P(T >= statistic) when nothing has changed."""
    variance, third = 2 * each.trace2, 8 * each.trace3
    shape = 4 * variance**3 / third**2
    scale = third / (2 * variance)
    return float(special.gammaincc(shape, max(0.0, shape + (statistic - each.trace) / scale)))


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
