"""Common rules, written down again from their definitions: no tool has to be installed for them."""

from __future__ import annotations

import numpy as np
from scipy import stats

from .generate import Values, counts_of
from .ours import SMALLEST_WINDOW, band, flagged, held_against
from .power import classical_p

OURS = "retraind"
BANDED = "and in a band"


def by_rule(kind: str, reference: Values, window: Values) -> dict[str, bool | None]:
    """What each rule says about one window."""
    naive = naive_psi(kind, reference, window)
    return {
        **_ours(kind, reference, window),
        "PSI > .1": naive > 0.1,
        "PSI > .25": naive > 0.25,
        "scouter": _scouter(*_binned(kind, reference, window)),
        "KS, chi2 .05": classical_p(kind, reference, window) < 0.05,
    }


def _ours(kind: str, reference: Values, window: Values) -> dict[str, bool | None]:
    if len(window) < SMALLEST_WINDOW:
        return {OURS: None, BANDED: None}
    result = held_against(counts_of(kind, reference), counts_of(kind, window))
    flag = flagged([result])[0]
    return {OURS: flag, BANDED: band(result, in_family=flag) in ("investigate", "retrain")}


def _binned(kind: str, reference: Values, window: Values) -> tuple[Values, Values]:
    """Shares of the reference's deciles, or of each category of either side."""
    if kind == "number":
        edges = np.unique(np.quantile(reference, np.arange(1, 10) / 10))
        sides = [np.searchsorted(edges, side, side="right") for side in (reference, window)]
        bins = len(edges) + 1
    else:
        sides = [side.astype(np.int64) for side in (reference, window)]
        bins = int(max(side.max() for side in sides)) + 1
    r, c = (np.bincount(side, minlength=bins).astype(np.float64) for side in sides)
    there = (r + c) > 0
    return r[there], c[there]


def naive_psi(kind: str, reference: Values, window: Values) -> float:
    """PSI as scorecards have it: deciles of the reference, empty bins get a share of 0.0001."""
    r, c = _binned(kind, reference, window)
    p, q = (np.maximum(side / side.sum(), 1e-4) for side in (r, c))
    return float(((q - p) * np.log(q / p)).sum())


def _scouter(r: Values, c: Values) -> bool:
    """PSI above the 95 % point of chi-square over n, the reference taken as exact.

    Categories are those of the reference, as there.
    """
    known = r > 0
    p, q = r[known] / r.sum() + 1e-10, c[known] / c.sum() + 1e-10
    psi = float(((q - p) * np.log(q / p)).sum())
    return psi > float(stats.chi2.isf(0.05, max(1, known.sum() - 1)) / c.sum())
