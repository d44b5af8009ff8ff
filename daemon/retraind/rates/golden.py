"""The golden-set rule: has a fixed set of items been answered worse than when it was accepted?

Items are compared with themselves, so what differs between items cancels out. A run shows a drop
when the mean drop is at least 0.05 and significant (one-sided paired t, p < 0.01); two consecutive
runs that show one make an alarm. At a true drop of just 0.05 half of all runs lie below the limit
by chance, whatever their size: what the needed size gives with power 0.9 is significance. Accept a
run for being typical: against the best of several, the next one seems to drop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from retraind.rates.paired import Paired, needed_items, paired

METHOD = "paired-t/v1"
DROP = 0.05
ALPHA = 0.01
LEAST_ITEMS = 30
"""Fewer items are never judged: their measured spread says too little about the real one."""
NOTICED_SHIFT = 0.01
"""A judge that moved by less than this, a fifth of DROP, is still the same judge."""

GoldenOutcome = Literal["ok", "drop", "too_small", "judge_changed", "set_changed"]
JudgeOutcome = Literal["same", "moved", "too_small"]


@dataclass(frozen=True, slots=True)
class GoldenRun:
    """One run over a golden set: item id -> score in [0, 1], 1 is best.

    `dataset` is the name or, better, the content hash of the set. An item without a score is left
    out. Raises ValueError for a score outside [0, 1].
    """

    dataset: str
    judge_version: str
    scores: Mapping[str, float]

    def __post_init__(self) -> None:
        for item, score in self.scores.items():
            if not 0 <= score <= 1:
                raise ValueError(f"the score of item {item} is {score}, not between 0 and 1")


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """One run against the accepted one; numbers are NaN where runs cannot be compared.

    `n` items of the accepted run, of which `missing` have no score now (they count as 0), `added`
    items are new and not looked at. `needed` items would show a drop of 0.05 with power 0.9 at the
    measured standard deviation `sigma` of the differences. `refusal` is empty unless refused.
    """

    method: str
    outcome: GoldenOutcome
    n: int
    missing: int
    added: int
    drop: float
    sigma: float
    p_value: float
    needed: int
    refusal: str


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """How much more (or less) a new judge gives for the same answers, with a 99 % interval."""

    method: str
    outcome: JudgeOutcome
    n: int
    shift: float
    lower: float
    upper: float
    p_value: float
    needed: int


def compare_run(
    accepted: GoldenRun, run: GoldenRun, *, drop: float = DROP, alpha: float = ALPHA
) -> GoldenResult:
    """Judge a run against the accepted one, or say why that cannot be done.

    A set that is too small is refused when it shows no drop: its silence would mean nothing. A drop
    that it does show stands, since significance takes the size into account; answers that broke
    outright have so large a spread that few sets would be large enough for it. Raises ValueError
    when the accepted run has fewer than two items.
    """
    missing = len(accepted.scores.keys() - run.scores.keys())
    added = len(run.scores.keys() - accepted.scores.keys())
    n = len(accepted.scores)
    different = _not_comparable(accepted, run)
    if different is not None:
        outcome, refusal = different
        nan = math.nan
        return GoldenResult(METHOD, outcome, n, missing, added, nan, nan, nan, 0, refusal)
    change = paired(score - run.scores.get(item, 0.0) for item, score in accepted.scores.items())
    needed = max(LEAST_ITEMS, needed_items(change.sd, drop, alpha))
    outcome, refusal = _judged(change, needed, drop, alpha)
    p_value = change.upper_p()
    return GoldenResult(
        METHOD, outcome, n, missing, added, change.mean, change.sd, p_value, needed, refusal
    )


def _not_comparable(accepted: GoldenRun, run: GoldenRun) -> tuple[GoldenOutcome, str] | None:
    if accepted.dataset != run.dataset:
        return "set_changed", f"golden set changed: {accepted.dataset} accepted, {run.dataset} run"
    if accepted.judge_version != run.judge_version:
        versions = f"{accepted.judge_version} accepted, {run.judge_version} run"
        return "judge_changed", f"judge version changed: {versions}"
    return None


def _judged(change: Paired, needed: int, drop: float, alpha: float) -> tuple[GoldenOutcome, str]:
    if change.n >= LEAST_ITEMS and change.mean >= drop and change.upper_p() < alpha:
        return "drop", ""
    if change.n < needed:
        spread = f"a drop of {drop:g} with a standard deviation of {change.sd:.2g}"
        return "too_small", f"golden set too small: {change.n} items, {needed} needed for {spread}"
    return "ok", ""


def alarms(results: Sequence[GoldenResult]) -> list[bool]:
    """For each scheduled run, in order: do it and the one before it both show a drop?

    Leave out runs by hand, or repeating one would make the alarm. A refused run shows nothing and
    starts the count again. Begin a new sequence when another run is accepted.
    """
    drops = [result.outcome == "drop" for result in results]
    return [first and second for first, second in pairwise([False, *drops])]


def judge_drift(
    old: Mapping[str, float], new: Mapping[str, float], *, margin: float = DROP
) -> JudgeResult:
    """Scores that two versions of a judge gave the same answers, on the items that both scored.

    moved: the mean shift is at least 0.01 and significant (two-sided paired t, p < 0.01). same: not
    so, and the 99 % interval lies within +-`margin`. too_small: the overlap cannot tell; `needed`
    items would. Raises ValueError for an overlap of fewer than two items.
    """
    common = sorted(old.keys() & new.keys())
    change = paired(new[item] - old[item] for item in common)
    tail = change.upper_p()
    p_value = 2 * min(tail, 1 - tail)
    lower, upper = change.interval(1 - ALPHA)
    outcome: JudgeOutcome = "too_small"
    if change.n >= LEAST_ITEMS and p_value < ALPHA and abs(change.mean) >= NOTICED_SHIFT:
        outcome = "moved"
    elif change.n >= LEAST_ITEMS and -margin < lower and upper < margin:
        outcome = "same"
    needed = max(LEAST_ITEMS, needed_items(change.sd, margin, ALPHA / 2))
    return JudgeResult(METHOD, outcome, change.n, change.mean, lower, upper, p_value, needed)
