"""Drift of a category: PSI, with the chi-square distribution of T = PSI/(1/n + 1/m) as the test."""

from __future__ import annotations

import numpy as np

from retraind.drift.bins import SMALLEST_EXPECTED, pooled_expectation
from retraind.drift.distance import distance, drift_result
from retraind.model import Counts, DriftResult

METHOD = "psi-chi2/½/v1"
NAMED_CATEGORIES = 24
OTHER = "__other__"
NEW = "__new__"
MISSING = "__missing__"
SMALLEST_EXPECTED_REST = 1.0
"""OTHER, NEW and MISSING stay apart from here on. The half-session smoothing keeps the test at its
level for such small cells, and a new category would otherwise need 18 % of a window to be seen."""

Table = dict[str, tuple[int, int]]


def compare_categories(reference: Counts, current: Counts) -> DriftResult:
    """Compare category shares; where a side has missing values, they are a category too.

    Named are the (at most 24) most frequent categories of the reference, the other ones it has are
    `__other__`, those it has not are `__new__`. A category that the reference has seen once counts,
    on the reference's side, as new: leaving out that one session it would be (Good and Turing's
    estimate of unseen mass). Otherwise every long tail would show new categories in each window.
    Raises ValueError when a side has no sessions.
    """
    table = cells(reference, current)
    r = np.asarray([row[0] for row in table.values()], dtype=np.int64)
    c = np.asarray([row[1] for row in table.values()], dtype=np.int64)
    effect = distance(r, c)
    return drift_result(
        METHOD, effect, table, statistic=effect.statistic, degrees_of_freedom=effect.bins - 1
    )


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
