"""Shifts that are there: the share of windows that find them, at p < .001.

Beside the daemon's test stand the classical ones on the same data at the same level (scipy), so
that a lower share here is a weaker test and not a stricter limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

from .gates import at_least
from .generate import SHIFTS, Shift, Values, counts_of
from .null import references
from .ours import SETTINGS, band, held_against
from .section import Digest, Section, Size, generator, percent, progress

Found = dict[tuple[str, str, int], tuple[Counter[str], int]]
"""(shift, reference, n) -> hits by kind, and windows."""

PROMISE = 0.95
PROMISED = ("mean +0.5 sd", 200, ("10n", "10k"))
SIZES = (100, 200, 500, 1000)
WINDOWS = {"full": 400, "quick": 40, "test": 10}
GATED_WINDOWS = {"full": 2000, "quick": 400, "test": 100}


def run(seed: int, size: Size) -> Section:
    section = Section("Shifts found, % of windows: p < .001 | classical test at .001 | in a band")
    section.header = ["shift, reference", *(f"n = {n}" for n in SIZES)]
    digest = Digest()
    found: Found = {}
    for shift, n, reference, m in progress(list(_cells()), "shifts"):
        many = (GATED_WINDOWS if (shift.name, n) == PROMISED[:2] else WINDOWS)[size]
        hits = _count(seed, shift, n, m, many, digest)
        found[shift.name, reference, n] = hits, many
    for shift in SHIFTS:
        for reference in ("n", "10n", "10k"):
            section.rows.append(_row(section, found, shift.name, reference))
    name, n, gated = PROMISED
    for reference in gated:
        hits, many = found[name, reference, n]
        gate = at_least(f"power: {name}, n {n}, reference {reference}", hits["here"], many, PROMISE)
        section.gates.append(gate)
    section.notes += [
        f"{WINDOWS[size]} windows a cell, each with a reference of its own",
        "classical: Kolmogorov-Smirnov for numbers, chi-square of the contingency table otherwise",
        "in a band: corrected PSI of 0.10 or more besides, as the daemon asks before it pages",
        "* the classical test finds more, beyond the noise of this run",
    ]
    section.digest = digest.text()
    return section


def _cells() -> Iterator[tuple[Shift, int, str, int]]:
    for shift in SHIFTS:
        for n in SIZES:
            for reference, m in references(n).items():
                yield shift, n, reference, m


def _count(seed: int, shift: Shift, n: int, m: int, many: int, digest: Digest) -> Counter[str]:
    rng, hits = generator(seed, "power", shift.name, n, m), Counter[str]()
    for _ in range(many):
        reference, window = shift.base.draw(rng, m), shift.draw(rng, n)
        kind = shift.base.kind
        result = held_against(counts_of(kind, reference), counts_of(kind, window))
        digest.add(result)
        flag = result.p_value < SETTINGS.alpha
        hits["here"] += flag
        hits["band"] += band(result, in_family=flag) in ("investigate", "retrain")
        hits["classical"] += classical_p(kind, reference, window) < SETTINGS.alpha
    return hits


def classical_p(kind: str, reference: Values, window: Values) -> float:
    """The p-value of the test that most tools take for this kind."""
    if kind == "number":
        return float(stats.ks_2samp(reference, window, method="asymp").pvalue)
    codes = int(max(reference.max(), window.max())) + 1
    rows = [np.bincount(side.astype(np.int64), minlength=codes) for side in (reference, window)]
    table = np.array(rows)
    return float(stats.chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False)[1])


def _row(section: Section, found: Found, shift: str, reference: str) -> list[str]:
    row, data = [f"{shift}, {reference}"], dict[int, Any]()
    for n in SIZES:
        if (shift, reference, n) not in found:
            row.append("= 10n")
            continue
        hits, many = found[shift, reference, n]
        data[n] = {kind: hits[kind] / many for kind in ("here", "classical", "band")}
        here, classical, banded = (percent(share) for share in data[n].values())
        mark = "*" if loses(hits["here"], hits["classical"], many) else ""
        row.append(f"{here}{mark} | {classical} | {banded}")
    section.data.setdefault(shift, {})[reference] = data
    return row


def loses(own: float, other: float, trials: int) -> bool:
    """Whether `other` has more hits, by over two standard errors of the difference."""
    p, q = own / trials, other / trials
    return q - p > 2 * float(np.sqrt((p * (1 - p) + q * (1 - q)) / trials)) + 1e-9
