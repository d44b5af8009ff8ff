"""Drift of a category: PSI as effect size; p-values of two tests, of known and of new categories.

Known categories: T = PSI/(1/n + 1/m) is chi-square distributed, with what is new in `__other__`.
New ones are not a cell of that table: how much a reference has never seen differs from reference to
reference. Its share is taken as beta distributed, with Good and Turing's mean (f1 + 1)/(m + 2) and
the variance (f1 + 2 f2 + 1)/m^2 (after Esty 1983), f1 and f2 being the categories seen once and
twice; the new sessions of a window are then beta-binomial.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import special

from retraind.drift.bins import SMALLEST_EXPECTED, pooled_expectation
from retraind.drift.distance import Distance, distance, drift_result
from retraind.model import Counts, DriftResult

METHOD = "psi-chi2+new/½/v2"
NAMED_CATEGORIES = 24
OTHER = "__other__"
NEW = "__new__"
MISSING = "__missing__"
SMALLEST_EXPECTED_REST = 1.0
"""OTHER, NEW and MISSING stay apart from here on: half a session of smoothing keeps the test at its
level for such small cells."""

Table = dict[str, tuple[int, int]]


def compare_categories(reference: Counts, current: Counts) -> DriftResult:
    """Compare category shares; where a side has missing values, they are a category too.

    Named are the (at most 24) most frequent categories of the reference, the other ones it has are
    `__other__`, those it has not are `__new__`. A category that the reference has seen once counts,
    on the reference's side, as new: leaving out that one session it would be (Good and Turing's
    estimate of unseen mass). Otherwise every long tail would show new categories in each window.
    Raises ValueError when a side has no sessions.
    """
    unmerged = _table(reference, current)
    table = _merged(unmerged)
    r = np.asarray([row[0] for row in table.values()], dtype=np.int64)
    c = np.asarray([row[1] for row in table.values()], dtype=np.int64)
    effect = distance(r, c)
    known = _of_known(unmerged)
    result = drift_result(
        METHOD, effect, table, statistic=known.statistic, degrees_of_freedom=known.bins - 1
    )
    p_new = new_category_p(reference, current)
    # Where nothing is new there is one test, else two.
    return (
        result if p_new == 1 else replace(result, p_value=min(1.0, 2 * min(result.p_value, p_new)))
    )


def new_category_p(reference: Counts, current: Counts) -> float:
    """P-value of the sessions whose category the reference has never seen; 1 when there is none."""
    seen = _by_text(reference)
    new = sum(count for text, count in _by_text(current).items() if text not in seen)
    m, n = reference.n, current.n
    if new == 0 or m == 0:
        return 1.0
    once, twice = (sum(count == times for count in seen.values()) for times in (1, 2))
    mean, variance = (once + 1) / (m + 2), (once + 2 * twice + 1) / m**2
    size = max(1.0, mean * (1 - mean) / variance - 1)
    a, b = mean * size, (1 - mean) * size
    j = np.arange(new, n + 1)
    log_choose = -np.log(n + 1.0) - special.betaln(n - j + 1.0, j + 1.0)
    tail = np.exp(log_choose + special.betaln(j + a, n - j + b) - special.betaln(a, b)).sum()
    return float(min(1.0, tail))


def _of_known(table: Table) -> Distance:
    """The distance with new categories in OTHER."""
    if NEW in table:
        table = {label: row for label, row in table.items() if label != NEW} | {
            OTHER: _sum(table, [label for label in (OTHER, NEW) if label in table])
        }
    rows = np.asarray(list(_merged(table).values()), dtype=np.int64)
    return distance(rows[:, 0], rows[:, 1])


def cells(reference: Counts, current: Counts) -> Table:
    """What is compared: label -> (reference, current) sessions, rare categories folded."""
    return _merged(_table(reference, current))


def _table(reference: Counts, current: Counts) -> Table:
    """Label -> (reference, current) sessions: named ones, then OTHER, NEW and MISSING if any."""
    seen, now = _by_text(reference), _by_text(current)
    repeated = sorted((-count, text) for text, count in seen.items() if count > 1)
    named = [text for _, text in repeated[:NAMED_CATEGORIES]]
    table: Table = {text: (seen[text], now.get(text, 0)) for text in named}
    once = sum(1 for count in seen.values() if count == 1)
    unseen = sum(count for text, count in now.items() if text not in seen)
    rest = (
        reference.n - once - sum(row[0] for row in table.values()),
        current.n - unseen - sum(row[1] for row in table.values()),
    )
    missing = (reference.missing, current.missing)
    for label, row in ((OTHER, rest), (NEW, (once, unseen)), (MISSING, missing)):
        if any(row):
            same = table.get(label, (0, 0))  # a category of the user's that has this very name
            table[label] = (same[0] + row[0], same[1] + row[1])
    return table


def _by_text(counts: Counts) -> dict[str, int]:
    return dict(zip(counts.values.tolist(), counts.counts.tolist(), strict=True))


def _merged(table: Table) -> Table:
    """Fold rare cells into OTHER, and OTHER, if that is still too small, with the next smallest."""
    if len(table) < 2:
        return table
    pooled = pooled_expectation(*np.asarray(list(table.values()), dtype=np.int64).T)
    expected = dict(zip(table, pooled.tolist(), strict=True))
    least = {NEW: SMALLEST_EXPECTED_REST, MISSING: SMALLEST_EXPECTED_REST}
    folded = [
        label
        for label, value in expected.items()
        if label == OTHER or value < least.get(label, SMALLEST_EXPECTED)
    ]
    kept = [label for label in table if label not in folded]
    if not folded:
        return table
    if kept and sum(expected[label] for label in folded) < SMALLEST_EXPECTED_REST:
        smallest = min(kept, key=lambda label: (expected[label], label))
        kept.remove(smallest)
        folded.append(smallest)
    return {label: table[label] for label in kept} | {OTHER: _sum(table, folded)}


def _sum(table: Table, labels: list[str]) -> tuple[int, int]:
    return sum(table[label][0] for label in labels), sum(table[label][1] for label in labels)
