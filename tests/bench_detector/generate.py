"""Generated traffic: values of sessions whose distribution is known, and their counts.

Everything is drawn by numpy from distributions that are written down here; the daemon takes part
only in counting (its log buckets) and in choosing the span that speaks for a session.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from retraind.model import Counts
from retraind.window.buckets import bucket
from retraind.window.tally import choose

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Values]

FIVE = np.array([0.40, 0.25, 0.20, 0.10, 0.05])
FIVE_MOVED = np.array([0.30, 0.25, 0.20, 0.20, 0.05])
ZIPF = 1 / np.arange(1, 41) / (1 / np.arange(1, 41)).sum()
NAMES = np.array([f"c{i:02d}" for i in range(64)], dtype=object)
MEAN_SPANS = 4.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A distribution, as a function of a standard normal: so sessions can be given correlation."""

    name: str
    kind: Literal["number", "category"]
    of_normal: Callable[[Values], Values]

    def draw(self, rng: np.random.Generator, n: int) -> Values:
        return self.of_normal(rng.standard_normal(n))


def _category(shares: Values) -> Callable[[Values], Values]:
    ends = special.ndtri(np.cumsum(shares)[:-1])
    return lambda z: np.searchsorted(ends, z).astype(np.float64)


NORMAL = Shape("normal", "number", lambda z: z)
CATEGORIES = Shape("5 categories", "category", _category(FIVE))
LOGNORMAL = Shape("lognormal", "number", lambda z: np.exp(1.2 * z))
LONG_TAIL = Shape("40 Zipf categories", "category", _category(ZIPF))
SHAPES = (NORMAL, CATEGORIES, LOGNORMAL, LONG_TAIL)


@dataclass(frozen=True, slots=True)
class Shift:
    """A change from `base` to `draw`."""

    name: str
    base: Shape
    draw: Draw


def _mixed(rng: np.random.Generator, n: int) -> Values:
    extreme = rng.random(n) < 0.05
    return np.where(extreme, rng.normal(3, 0.5, n), rng.standard_normal(n))


def _bimodal(rng: np.random.Generator, n: int) -> Values:
    side = np.where(rng.random(n) < 0.5, 0.6, -0.6)
    return side + rng.normal(0, math.sqrt(1 - 0.36), n)


def _with_new(rng: np.random.Generator, n: int) -> Values:
    old = CATEGORIES.draw(rng, n)
    return np.where(rng.random(n) < 0.05, 5.0, old)


_moved = _category(FIVE_MOVED)

SHIFTS = (
    Shift("mean +0.2 sd", NORMAL, lambda rng, n: rng.normal(0.2, 1, n)),
    Shift("mean +0.5 sd", NORMAL, lambda rng, n: rng.normal(0.5, 1, n)),
    Shift("spread x1.25", NORMAL, lambda rng, n: rng.normal(0, 1.25, n)),
    Shift("5 % of mass at +3 sd", NORMAL, _mixed),
    Shift("two humps, same mean and sd", NORMAL, _bimodal),
    Shift("10 points from one category to another", CATEGORIES,
          lambda rng, n: _moved(rng.standard_normal(n))),
    Shift("new category in 5 %", CATEGORIES, _with_new),
)  # fmt: skip


def counts_of(kind: str, values: Values) -> Counts:
    """Exact counts of one value a session, as a pane holds them."""
    if kind == "number":
        index, counts = np.unique(bucket(values), return_counts=True)
        return Counts("number", index, counts)
    counts = np.bincount(values.astype(np.int64))
    seen = np.flatnonzero(counts)
    return Counts("category", NAMES[seen], counts[seen])


def sessions(rng: np.random.Generator, shape: Shape, n: int, icc: float) -> tuple[Values, Values]:
    """Values of n sessions, one each, as the daemon chooses them; and of all their spans.

    A session has a geometric number of spans (mean 4). Their latent normal values have the
    intra-session correlation `icc`; the value of a session is that of the span with the smallest
    hash (design: the unit is the session).
    """
    sizes = rng.geometric(1 / MEAN_SPANS, n)
    session = np.repeat(np.arange(n), sizes)
    own, common = rng.standard_normal(len(session)), rng.standard_normal(n)
    spans = shape.of_normal(math.sqrt(icc) * common[session] + math.sqrt(1 - icc) * own)
    hashes = rng.integers(0, 2**64, len(session), dtype=np.uint64)
    return spans[choose(session, hashes, np.arange(len(session)))], spans
