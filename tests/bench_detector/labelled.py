"""Series in which people marked change points, from river: what a rule finds, and makes up.

Precision: the share of a rule's alarms within `margin` rows after or before some person's mark.
Recall: of each person's marks, the share with an alarm within `margin`, averaged over persons
(van den Burg and Williams 2020). Series without unchanged stretches reward noise, hence the rows of
two rules that do not look at the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .generate import Values, counts_of
from .install import run_tool
from .ours import SETTINGS, held_against
from .power import classical_p
from .rules import naive_psi
from .section import Digest, Section, Size

MARGINS = (15, 50)
WINDOWS = (100, 30)
MISALIGNED = ("Apple", "BrentSpotPrice")
"""Their marks belong to other rows than those that river has."""


def run(seed: int, size: Size) -> Section:  # noqa: ARG001
    section = Section("Series with change points marked by people: precision and recall, %")
    section.header = [
        "rule", *(f"{what} ±{margin}" for margin in MARGINS for what in ("precision", "recall")),
        "alarms", *(f"all 7: {what} ±{MARGINS[-1]}" for what in ("precision", "recall")),
    ]  # fmt: skip
    series = run_tool("river", "river_labelled.py")
    used = {name: own for name, own in series.items() if name not in MISALIGNED}
    digest = Digest()
    for rule, alarms in _rules().items():
        found = {name: alarms(own) for name, own in series.items()}
        digest.add(found)
        scores = [score for margin in MARGINS for score in _scores(used, found, margin)]
        total = sum(len(found[name]) for name in used)
        section.rows.append([rule, *scores, str(total), *_scores(series, found, MARGINS[-1])])
    rows = {name: _rows(own) for name, own in series.items()}
    section.notes += [
        "series: " + ", ".join(f"{name} ({n} rows)" for name, n in rows.items()),
        f"{' and '.join(MISALIGNED)} count only in the last columns: their marks end at row 535 of",
        "1867 and 483 of 8195, as if made on thinned series",
        "window rules hold each window against the one before it; values of neighbouring rows are",
        "correlated, which no rule here allows for. By default the daemon tests nothing here: it",
        "asks for windows of 100 sessions and a reference ten times as large.",
    ]
    section.digest = digest.text()
    return section


Alarms = Callable[[dict[str, Any]], list[int]]


def _rules() -> dict[str, Alarms]:
    """Rule -> (series -> rows seen at each alarm)."""
    rules: dict[str, Alarms] = {
        "never fires": lambda own: [],  # noqa: ARG005
        "always fires, each row": lambda own: list(range(1, _rows(own) + 1)),
        "always fires, every 30 rows": lambda own: list(range(30, _rows(own) + 1, 30)),
        "retraind, defaults": lambda own: [],  # noqa: ARG005
    }
    for window in WINDOWS:
        rules[f"test at p < .001, windows of {window}"] = _by_window(_found, window)
        rules[f"PSI > .1, windows of {window}"] = _by_window(_psi, window)
        rules[f"KS p < .05, windows of {window}"] = _by_window(_classical, window)
    for name in ("river ADWIN", "river PageHinkley", "river KSWIN"):
        rules[name] = lambda own, name=name: own["alarms"][name]
    return rules


def _rows(own: dict[str, Any]) -> int:
    return len(next(iter(own["columns"].values())))


def _by_window(tells: Callable[[Values, Values], bool], window: int) -> Alarms:
    """A window of any column differs from the window before it."""

    def alarms(own: dict[str, Any]) -> list[int]:
        found = []
        columns = [np.asarray(values) for values in own["columns"].values()]
        for end in range(2 * window, _rows(own) + 1, window):
            before, now = slice(end - 2 * window, end - window), slice(end - window, end)
            if any(tells(values[before], values[now]) for values in columns):
                found.append(end)
        return found

    return alarms


def _found(reference: Values, window: Values) -> bool:
    result = held_against(counts_of("number", reference), counts_of("number", window))
    return result.p_value < SETTINGS.alpha


def _psi(reference: Values, window: Values) -> bool:
    return naive_psi("number", reference, window) > 0.1


def _classical(reference: Values, window: Values) -> bool:
    return classical_p("number", reference, window) < 0.05


def _scores(series: dict[str, Any], found: dict[str, list[int]], margin: int) -> list[str]:
    """Precision and recall over all series, per cent."""
    right = [
        any(abs(at - mark) <= margin for marks in own["labels"] for mark in marks)
        for name, own in series.items()
        for at in found[name]
    ]
    recalled = [
        np.mean([any(abs(at - mark) <= margin for at in found[name]) for mark in marks])
        for name, own in series.items()
        for marks in own["labels"]
        if marks
    ]
    precision = f"{100 * sum(right) / len(right):.0f}" if right else "-"
    return [precision, f"{100 * float(np.mean(recalled)):.0f}"]
