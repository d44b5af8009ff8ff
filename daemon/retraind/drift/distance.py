"""Distances between two binned samples, and what chance alone would give.

Shares are smoothed by half a session a bin, so an empty bin has a finite contribution. With n
current and m reference sessions and B bins, T = PSI / (1/n + 1/m) is asymptotically chi-square with
B - 1 degrees of freedom when nothing has changed (Yurdakul 2018, two-sample form), hence the noise
floor (B - 1)(1/n + 1/m); after a change it is noncentral, with PSI_population / (1/n + 1/m) as
noncentrality, hence the lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from retraind.drift.bins import FloatArray, IntArray
from retraind.model import Contribution, DriftResult

SMOOTHING = 0.5
LOWER_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the current sample is from the reference. PSI and KL in nats, JS distance in [0, 1].

    `n` current and `m` reference sessions, `statistic` is T, `bins` counts the bins compared,
    `parts` are the terms of PSI, shape (bins,).
    """

    n: int
    m: int
    psi: float
    psi_floor: float
    psi_corrected: float
    psi_lower: float
    kl_reference_current: float
    kl_current_reference: float
    js_distance: float
    statistic: float
    bins: int
    reference_shares: FloatArray
    current_shares: FloatArray
    parts: FloatArray


def smoothed_shares(counts: IntArray) -> FloatArray:
    """(c + 1/2) / (N + B/2), shape (bins,)."""
    shares: FloatArray = (counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts))
    return shares


def distance(reference: IntArray, current: IntArray) -> Distance:
    """Compare counts of the same bins, shape (bins,). Raises ValueError when a side is empty."""
    m, n = int(reference.sum()), int(current.sum())
    if n == 0 or m == 0:
        raise ValueError("a side has no sessions to compare")
    p, q = smoothed_shares(reference), smoothed_shares(current)
    ratio = np.log(q / p)
    parts = (q - p) * ratio
    middle = (p + q) / 2
    divergence = (p @ np.log2(p / middle) + q @ np.log2(q / middle)) / 2
    psi, scale, bins = float(parts.sum()), 1 / n + 1 / m, len(p)
    statistic = psi / scale
    floor = (bins - 1) * scale
    return Distance(
        n=n,
        m=m,
        psi=psi,
        psi_floor=floor,
        psi_corrected=max(0.0, psi - floor),
        psi_lower=noncentrality_lower(statistic, bins - 1) * scale,
        kl_reference_current=max(0.0, float(-(p @ ratio))),
        kl_current_reference=max(0.0, float(q @ ratio)),
        js_distance=math.sqrt(max(0.0, float(divergence))),
        statistic=statistic,
        bins=bins,
        reference_shares=p,
        current_shares=q,
        parts=parts,
    )


def drift_result(
    method: str,
    effect: Distance,
    labels: Iterable[str],
    *,
    statistic: float,
    degrees_of_freedom: int,
    components: Mapping[str, float] | None = None,
) -> DriftResult:
    """The distance with the labels of its bins, and the p-value of a chi-square statistic."""
    return DriftResult(
        method=method,
        n=effect.n,
        m=effect.m,
        psi=effect.psi,
        psi_floor=effect.psi_floor,
        psi_corrected=effect.psi_corrected,
        psi_lower=effect.psi_lower,
        kl_reference_current=effect.kl_reference_current,
        kl_current_reference=effect.kl_current_reference,
        js_distance=effect.js_distance,
        statistic=statistic,
        degrees_of_freedom=degrees_of_freedom,
        p_value=chi_square_p(statistic, degrees_of_freedom),
        contributions=contributions(effect, labels),
        components=components or {},
    )


def contributions(result: Distance, labels: Iterable[str]) -> tuple[Contribution, ...]:
    """The terms of PSI with the labels of their bins, largest first."""
    rows = zip(
        labels,
        result.reference_shares.tolist(),
        result.current_shares.tolist(),
        result.parts.tolist(),
        strict=True,
    )
    parts = [Contribution(*row) for row in rows]
    return tuple(sorted(parts, key=lambda part: (-part.contribution, part.label)))


def noncentrality_lower(statistic: float, degrees_of_freedom: int) -> float:
    """The largest noncentrality that a chi-square `statistic` rejects from below at 95 %.

    It solves P(chi2'(df, x) <= statistic) = 0.95 for x, and is 0 when the statistic is not above
    the 95 % point of the central distribution.
    """
    if degrees_of_freedom < 1:
        return 0.0
    if special.chdtr(degrees_of_freedom, statistic) <= LOWER_CONFIDENCE:
        return 0.0
    return max(0.0, float(special.chndtrinc(statistic, degrees_of_freedom, LOWER_CONFIDENCE)))


def chi_square_p(statistic: float, degrees_of_freedom: int) -> float:
    """Upper tail of the chi-square distribution; 1 with no degrees of freedom."""
    if degrees_of_freedom < 1:
        return 1.0
    return float(special.chdtrc(degrees_of_freedom, max(0.0, statistic)))
