"""What moved: bins, features, cohorts, and the sessions that show it best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from scipy import special

from retraind.drift.bins import FloatArray, IntArray
from retraind.drift.distance import SMOOTHING
from retraind.model import Counts, DriftResult
from retraind.window.evaluations import MILLION

TELLING = 5
Cause = Literal["mix", "within", "both"]


@dataclass(frozen=True, slots=True)
class Movement:
    """One bin or category. `part` is its share of the PSI, in [0, 1].

    `residual` is the adjusted standardised residual of the window's count: about standard normal if
    nothing has changed, positive where the window has more sessions than the reference promised.
    """

    label: str
    reference_share: float
    current_share: float
    contribution: float
    part: float
    residual: float


def movements(result: DriftResult) -> tuple[Movement, ...]:
    """The bins of a result, largest contribution first. Shares are smoothed, residuals are not."""
    bins = len(result.contributions)
    rows = []
    for piece in result.contributions:
        reference = _count(piece.reference_share, result.m, bins)
        current = _count(piece.current_share, result.n, bins)
        rows.append(
            Movement(
                label=piece.label,
                reference_share=piece.reference_share,
                current_share=piece.current_share,
                contribution=piece.contribution,
                part=piece.contribution / result.psi if result.psi > 0 else 0.0,
                residual=_residual(reference, result.m, current, result.n),
            )
        )
    return tuple(rows)


def _count(share: float, n: int, bins: int) -> int:
    """The sessions behind a smoothed share."""
    return round(share * (n + SMOOTHING * bins) - SMOOTHING)


def _residual(reference: int, m: int, current: int, n: int) -> float:
    """(c - e) / sqrt(e (1 - n/N) (1 - pooled share)): Haberman's adjusted residual."""
    pooled = (reference + current) / (m + n)
    expected = n * pooled
    variance = expected * (1 - n / (m + n)) * (1 - pooled)
    return (current - expected) / math.sqrt(variance) if variance > 0 else 0.0


_SHAPES = {
    "location": ("lower", "higher"),
    "spread": ("narrower", "wider"),
    "skew": ("stretched downwards", "stretched upwards"),
    "tail": ("lighter tails", "heavier tails"),
}
CLEAR = 2.5758293035489004
"""A component counts as one that moved from here on: a z-value beyond 99 % of chance."""


def shape_words(components: Mapping[str, float]) -> str:
    """How a number changed, clearest first: `wider, higher`; empty when no component is clear.

    `components`: z-values of the smooth test by name (drift/numbers.py). They are taken over the
    ranks of the reference, where a large shift fills one end and so moves all of them: what is less
    clear than the location is not told beside it.
    """
    clear = [name for _, name in sorted((-abs(z), name) for name, z in components.items())]
    clear = [name for name in clear if abs(components[name]) >= CLEAR]
    if "location" in clear:
        clear = clear[: clear.index("location") + 1]
    return ", ".join(_SHAPES[name][components[name] > 0] for name in clear)


class Scored(Protocol):
    """A result of a drift test."""

    @property
    def psi_corrected(self) -> float: ...
    @property
    def p_value(self) -> float: ...


Name = TypeVar("Name", str, tuple[str, str, str, str])


def rank_features(results: Mapping[Name, Scored]) -> list[Name]:
    """Names of features, the most drifted first: by corrected PSI, then p-value, then name."""
    return sorted(
        results, key=lambda name: (-results[name].psi_corrected, results[name].p_value, name)
    )


@dataclass(frozen=True, slots=True)
class CohortShift:
    """One cohort's shares of sessions and means, and its parts of the whole change.

    A side on which it has no sessions has the mean of the other one.
    """

    cohort: str
    reference_share: float
    current_share: float
    reference_mean: float
    current_mean: float
    mix: float
    within: float


@dataclass(frozen=True, slots=True)
class MeanShift:
    """`change` = `mix` + `within`, and the standard error and two-sided p of `within`.

    `cohorts`: the largest |mix| + |within| first.
    """

    change: float
    mix: float
    within: float
    within_error: float
    within_p: float
    cohorts: tuple[CohortShift, ...]

    @property
    def cause(self) -> Cause:
        """What explains at least two thirds of it; both where neither does."""
        mix, within = abs(self.mix), abs(self.within)
        if mix >= 2 * within:
            return "mix"
        return "within" if within >= 2 * mix else "both"


def split_change(
    reference: Mapping[str, Counts],
    current: Mapping[str, Counts],
    *,
    traffic: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
) -> MeanShift:
    """Split the change of a rate's or score's mean over cohorts; both map cohort -> counts.

    With shares w, w' of sessions and means r, r': mix is the sum of (w' - w)(r + r')/2, within that
    of (w + w')/2 (r' - r) (Kitagawa 1955; exact). A cohort's mix is shown against the mean of all,
    which leaves the sum as it is: more sessions in a cohort of average quality change nothing. The
    error takes shares as given, and a cohort's variance from both sides together, about their
    common mean, as a test of "nothing has changed" does. `traffic`: what the shares are of instead,
    reference and current, by cohort; where sides were counted over different times, or only some
    calls are judged, numbers of judged sessions are no shares. Raises ValueError when a side has no
    sessions, or for counts that are neither rates nor scores.
    """
    names = sorted(reference.keys() | current.keys())
    before = np.array([_moments(reference.get(name)) for name in names]).reshape(-1, 3)
    after = np.array([_moments(current.get(name)) for name in names]).reshape(-1, 3)
    m, n = before[:, 0], after[:, 0]
    if not m.sum() or not n.sum():
        raise ValueError("a side has no sessions to compare")
    if traffic is not None:
        m, n = (np.array([side.get(name, 0.0) for name in names]) for side in traffic)
        if not m.sum() or not n.sum():
            raise ValueError("a side has no traffic to compare")
    w, v = m / m.sum(), n / n.sum()
    r, s = _means(before, after), _means(after, before)
    middle = float(w @ r + v @ s) / 2
    mix, within = (v - w) * ((r + s) / 2 - middle), (w + v) / 2 * (s - r)
    error = math.sqrt(float(((w + v) / 2) ** 2 @ _variances(before, after)))
    total = math.fsum(within.tolist())
    shifts = map(CohortShift, names, *(x.tolist() for x in (w, v, r, s, mix, within)))
    return MeanShift(
        change=math.fsum([*mix.tolist(), *within.tolist()]),
        mix=math.fsum(mix.tolist()),
        within=total,
        within_error=error,
        within_p=_two_sided(total, error),
        cohorts=tuple(sorted(shifts, key=lambda c: (-abs(c.mix) - abs(c.within), c.cohort))),
    )


def _moments(counts: Counts | None) -> tuple[float, float, float]:
    """Sessions, sum and sum of squares."""
    if counts is None:
        return 0.0, 0.0, 0.0
    if counts.kind == "score":
        return float(counts.n), counts.total / MILLION, counts.total_squares / MILLION
    if counts.kind == "rate":
        total, squares = counts.values @ counts.counts, counts.values**2 @ counts.counts
        return float(counts.n), int(total) / MILLION, int(squares) / MILLION**2
    raise ValueError(f"a {counts.kind} has no mean here")


def _means(side: FloatArray, other: FloatArray) -> FloatArray:
    """Means of a side, of the other side for cohorts without sessions, shape (cohorts,)."""
    chosen = np.where(side[:, :1] > 0, side, other)
    means: FloatArray = chosen[:, 1] / np.maximum(chosen[:, 0], 1)
    return means


def _variances(before: FloatArray, after: FloatArray) -> FloatArray:
    """Variance of each cohort's difference of means; 0 where only one side has sessions."""
    n, total, squares = (before + after).T
    spread = np.maximum(0.0, squares - total**2 / np.maximum(n, 1)) / np.maximum(n - 1, 1)
    both = (before[:, 0] > 0) & (after[:, 0] > 0)
    sizes = 1 / np.maximum(before[:, 0], 1) + 1 / np.maximum(after[:, 0], 1)
    variances: FloatArray = np.where(both, spread * sizes, 0.0)
    return variances


def _two_sided(value: float, error: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * special.ndtr(-abs(value) / error))


@dataclass(frozen=True, slots=True)
class TellingSession:
    """A session, its sum of log(q/p) over features, and the terms, in the order of the features."""

    session: str
    score: float
    parts: tuple[float, ...]


def telling_sessions(
    sessions: Sequence[str],
    bins: IntArray,
    log_ratios: Sequence[FloatArray],
    *,
    top: int = TELLING,
) -> tuple[TellingSession, ...]:
    """The window's sessions that are likeliest to be of what is new, best first.

    `bins`, shape (features, sessions), are bin indices, -1 where a feature has no value (it says
    nothing). `log_ratios[f]`, shape (bins of feature f,), is log(q/p) with q the smoothed share in
    the window and p that in the reference. Only sessions with a positive sum are shown. Ties go to
    the smaller id, whatever the order of the sessions.
    """
    parts = np.zeros(bins.shape)
    for row, indices, ratios in zip(parts, bins, log_ratios, strict=True):
        row[:] = np.append(ratios, 0.0)[indices]
    scores = np.add.reduce(parts, axis=0)
    positive = np.flatnonzero(scores > 0).tolist()
    best = sorted(positive, key=lambda i: (-scores[i], sessions[i]))[:top]
    return tuple(
        TellingSession(sessions[i], float(scores[i]), tuple(parts[:, i].tolist())) for i in best
    )
