"""A mixture Shiryaev-Roberts e-detector for rises of a mean over closed windows.

Each window multiplies the evidence against "the mean of [0, 1] values is at most p0" by
prod(1 + lambda_j (v - p0)), whose expectation is at most 1 while that holds; the detector is
R_j <- (1 + R_j) times it, averaged over the rises j it looks for. An alarm at average R >= A comes
on average no sooner than every A windows, however often one looks (Shin, Ramdas and Rinaldo,
"E-detectors"). With stakes lambda_j = (p1_j - p0)/(p0 (1 - p0)) and values 0 or 1, it is the
likelihood ratio of p1_j against p0.
"""

from __future__ import annotations

import math

import numpy as np

from retraind.rates.interval import FloatArray

RISES = (1.3, 1.6, 2.0, 3.0, 5.0)
_LARGEST_RISE = 0.9
"""p1 goes at most this part of the way from p0 to 1, so that no single value ends the evidence."""

Memory = tuple[float, ...]


def log_threshold(false_pages_per_year: float, series: int, windows_per_year: float) -> float:
    """ln A that allows `false_pages_per_year` over all series together; at least 0.

    Raises ValueError unless all three are positive.
    """
    if false_pages_per_year <= 0 or series <= 0 or windows_per_year <= 0:
        raise ValueError("pages, series and windows a year must be positive")
    return max(0.0, math.log(windows_per_year * series / false_pages_per_year))


def update(
    memory: Memory | None, values: FloatArray, weights: FloatArray, null: float, log_limit: float
) -> Memory:
    """The ln R_j after a window with these values in [0, 1]; finite floats. None starts at R = 0.

    Each R_j is capped at twice what raises the alarm by itself: that only lowers R, so the
    guarantee holds, and a long outage is forgotten within a few good windows. Raises ValueError
    when the memory has another length or `null` is not strictly between 0 and 1.
    """
    if not 0 < null < 1:
        raise ValueError("the null rate must lie strictly between 0 and 1")
    if memory is not None and len(memory) != len(RISES):
        raise ValueError("the memory is of another detector")
    raised = np.minimum(np.asarray(RISES) * null, null + _LARGEST_RISE * (1 - null))
    stakes = (raised - null) / (null * (1 - null))
    evidence = np.log1p(stakes[:, None] * (values - null)) @ weights
    before = np.zeros(len(RISES)) if memory is None else np.logaddexp(0.0, np.asarray(memory))
    after: list[float] = np.minimum(
        before + evidence, log_limit + math.log(2 * len(RISES))
    ).tolist()
    return tuple(after)


def log_evidence(memory: Memory) -> float:
    """ln of the average R_j."""
    return float(np.logaddexp.reduce(np.asarray(memory)) - math.log(len(memory)))
