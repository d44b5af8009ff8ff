"""What the detector promises, and whether a run speaks against it.

A gate asks: if the detector only just kept its promise, how probable is a result this bad or worse?
It fails when that is less than its share of ERROR_BUDGET. The shares of all gates of a run add up
to the budget, so a detector that keeps its promises fails a whole run in less than one of a hundred
seeds (Bonferroni; much more seldom in practice, because it does better than it promises).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ERROR_BUDGET = 0.01


@dataclass(frozen=True, slots=True)
class Gate:
    """`p_value` of the promise being kept; `by_chance` is false where chance plays no part.

    `is_cell`: one of many cells of which a larger gate is made.
    """

    name: str
    promise: str
    found: str
    p_value: float
    by_chance: bool = True
    is_cell: bool = False


def at_most(name: str, hits: int, trials: int, rate: float, *, is_cell: bool = False) -> Gate:
    """At most `rate` of the trials; exact binomial."""
    p = float(stats.binom.sf(hits - 1, trials, rate))
    promise = f"<= {1000 * rate:g} per 1000"
    return Gate(name, promise, _found(hits, trials), p, is_cell=is_cell)


def at_least(name: str, hits: int, trials: int, rate: float) -> Gate:
    """At least `rate` of the trials; exact binomial."""
    p = float(stats.binom.cdf(hits, trials, rate))
    return Gate(name, f">= {100 * rate:g} %", _found(hits, trials), p)


def mean_at_least(name: str, values: Sequence[float], bound: float) -> Gate:
    """The mean of independent values is at least `bound`; normal approximation of their mean."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    p = float(stats.norm.cdf((mean - bound) / error))
    return Gate(name, f"mean >= {bound:g}", f"{mean:.1f} ± {error:.1f}", p)


def certain(name: str, promise: str, found: str, *, kept: bool) -> Gate:
    """A promise that is kept or not, without sampling error."""
    return Gate(name, promise, found, 1.0 if kept else 0.0, by_chance=False)


def share_of(gates: Sequence[Gate]) -> float:
    """The error that one gate of this run may make."""
    return ERROR_BUDGET / max(1, sum(gate.by_chance for gate in gates))


def failed(gates: Sequence[Gate]) -> list[Gate]:
    share = share_of(gates)
    return [gate for gate in gates if gate.p_value < share]


def _found(hits: int, trials: int) -> str:
    low, high = stats.binomtest(hits, trials).proportion_ci(method="exact")
    if hits > trials / 2:
        return (
            f"{hits} of {trials} = {100 * hits / trials:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        )
    thousand = 1000 * hits / trials
    return f"{hits} of {trials} = {thousand:.2f} per 1000 [{1000 * low:.2f}, {1000 * high:.2f}]"
