"""Many tests at once: which of a tick's p-values count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def select(p_values: Sequence[float], *, q: float, alpha: float) -> list[bool]:
    """True where a p-value is in the Benjamini-Hochberg set at level `q` and below `alpha`.

    The set is the k smallest, k being the largest rank with p_(k) <= k q / N (Benjamini and
    Hochberg 1995; valid for positively dependent tests). `alpha` guards families of one or two,
    where the set alone would flag one window in twenty.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not len(p):
        return []
    ordered = np.sort(p)
    below = np.flatnonzero(ordered <= q * np.arange(1, len(p) + 1) / len(p))
    if not len(below):
        return [False] * len(p)
    chosen: list[bool] = ((p <= ordered[below[-1]]) & (p < alpha)).tolist()
    return chosen
