"""Log buckets 0.5 % wide: the one home of how a number becomes a bin.

Bucket 0 is zero; bucket k >= 1 holds 1e-9 * 1.005**(k-1) <= x < 1e-9 * 1.005**k, bucket -k its
mirror image. Magnitudes below 1e-9 fall into bucket 1, above 1e18 into the last. NaN and infinities
have no bucket. The edges never depend on a reference, so a reference can be pinned later, moved or
back-tested. They are a running product of IEEE doubles, and so the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATIO = 1.005
SMALLEST = 1e-9
LARGEST = 1e18
NO_BUCKET = -(2**31)


def _edges() -> NDArray[np.float64]:
    steps = int(np.ceil(np.log(LARGEST / SMALLEST) / np.log(RATIO))) + 1
    factors = np.full(steps + 1, RATIO)
    factors[0] = SMALLEST
    return np.multiply.accumulate(factors)


_EDGES = _edges()
_LAST = int(np.searchsorted(_EDGES, LARGEST, side="right"))


def bucket(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Bucket index of each value, monotone in the value; NO_BUCKET for NaN and infinities."""
    values = np.asarray(values, np.float64)
    usable = np.isfinite(values)
    size = np.clip(np.abs(np.where(usable, values, 1.0)), SMALLEST, LARGEST)
    # The logarithm may be off by one bucket at an edge: the table of edges decides.
    guess = np.floor(np.log(size / SMALLEST) / np.log(RATIO)).astype(np.int64)
    guess = np.clip(guess, 0, _LAST - 1)
    guess += size >= _EDGES[guess + 1]
    guess -= size < _EDGES[guess]
    index = np.where(values < 0, -1, 1) * np.minimum(guess + 1, _LAST)
    index[values == 0] = 0
    index[~usable] = NO_BUCKET
    return np.asarray(index, np.int32)


def bucket_bounds(index: int) -> tuple[float, float]:
    """Lower and upper edge of a bucket; (0, 0) for zero."""
    if index == 0:
        return 0.0, 0.0
    size = min(abs(index), _LAST)
    low, high = float(_EDGES[size - 1]), float(_EDGES[size])
    return (low, high) if index > 0 else (-high, -low)


def bucket_label(index: int) -> str:
    """A bucket as a reader would write it: `0` or `96.3 to 96.8`."""
    if index == 0:
        return "0"
    low, high = bucket_bounds(index)
    return f"{low:.4g} to {high:.4g}"
