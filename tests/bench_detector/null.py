"""False alarms of single windows when nothing has changed.

Every window has a reference of its own, so the windows of a cell are independent and the gates'
binomial tests exact. With correlated spans, a session has several and one speaks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from retraind.model import Counts

from .gates import at_most
from .generate import NORMAL, SHAPES, Shape, counts_of, sessions
from .ours import SETTINGS, held_against
from .section import Digest, Section, Size, generator, per_thousand, percent, progress

PROMISE = 0.002
SIZES = (100, 200, 500, 1000, 5000)
CORRELATIONS = (0.0, 0.3, 0.6)
WINDOWS = {"full": (2000, 240), "quick": (300, 30), "test": (60, 8)}
"""Windows of a cell: without and with correlated spans (which cost ten times as much)."""
SPAN_WINDOWS = {"full": 2000, "quick": 200, "test": 20}


class Cell(NamedTuple):
    n: int
    reference: str
    m: int
    shape: Shape
    icc: float


def run(seed: int, size: Size) -> Section:
    section = Section("False alarms of unchanged windows, per 1000, p < .001 (and % at p < .05)")
    digest, hits, trials, loose = Digest(), Counter[Cell](), Counter[Cell](), Counter[Cell]()
    for cell in progress(list(_cells()), "null windows"):
        rng = generator(seed, "null", cell.n, cell.reference, cell.shape.name, cell.icc)
        for _ in range(_windows(cell, size)):
            result = held_against(_counts(rng, cell, cell.m), _counts(rng, cell, cell.n))
            digest.add(result)
            hits[cell] += result.p_value < SETTINGS.alpha
            loose[cell] += result.p_value < 0.05
            trials[cell] += 1
    _tabulate(section, hits, trials, loose)
    _promise(section, hits, trials)
    section.digest = digest.text()
    return section


def _cells() -> Iterator[Cell]:
    for icc in CORRELATIONS:
        for shape in SHAPES:
            for n in SIZES:
                for reference, m in references(n).items():
                    yield Cell(n, reference, m, shape, icc)


def references(n: int) -> dict[str, int]:
    """Sessions of the references that windows of n are held against."""
    return {"n": n, "10n": 10 * n} | ({"10k": 10_000} if n != 1000 else {})


def _windows(cell: Cell, size: Size) -> int:
    """More where a window costs little: there the tests have the fewest sessions to go by."""
    plain, correlated = WINDOWS[size]
    share = 4.0 if cell.n <= 200 and cell.m <= 2000 else 0.25 if cell.m > 10_000 else 1.0
    return max(1, int(share * (correlated if cell.icc else plain)))


def _counts(rng: np.random.Generator, cell: Cell, n: int) -> Counts:
    values = sessions(rng, cell.shape, n, cell.icc)[0] if cell.icc else cell.shape.draw(rng, n)
    return counts_of(cell.shape.kind, values)


def _tabulate(
    section: Section, hits: Counter[Cell], trials: Counter[Cell], loose: Counter[Cell]
) -> None:
    section.header = ["shape, reference, ICC", *(f"n = {n}" for n in SIZES), "windows", "p<.05 %"]
    for icc in CORRELATIONS:
        for shape in SHAPES:
            for reference in ("n", "10n", "10k"):
                cells = [
                    c for c in hits if (c.shape, c.reference, c.icc) == (shape, reference, icc)
                ]
                by_n = {cell.n: per_thousand(hits[cell], trials[cell]) for cell in cells}
                total = sum(trials[cell] for cell in cells)
                section.rows.append([
                    f"{shape.name}, {reference}, {icc:g}", *(by_n.get(n, "=10n") for n in SIZES),
                    str(total), percent(sum(loose[cell] for cell in cells) / total),
                ])  # fmt: skip


def _promise(section: Section, hits: Counter[Cell], trials: Counter[Cell]) -> None:
    """One gate a cell, and one for each n, shape, reference and correlation, and for all."""
    groups: dict[str, list[Cell]] = {}
    for cell in hits:
        own = f"{cell.shape.name}, n {cell.n}, reference {cell.reference}, ICC {cell.icc:g}"
        for name in (
            own, f"n {cell.n}", cell.shape.name, f"reference {cell.reference}",
            f"ICC {cell.icc:g}", "all cells",
        ):  # fmt: skip
            groups.setdefault(name, []).append(cell)
    for name, cells in groups.items():
        count = sum(hits[cell] for cell in cells), sum(trials[cell] for cell in cells)
        gate = at_most(f"null: {name}", *count, PROMISE, is_cell="," in name)
        section.gates.append(gate)
    by_n = {n: [c for c in hits if c.n == n] for n in SIZES}
    section.data["per_1000_by_n"] = {
        n: 1000 * sum(hits[c] for c in cells) / sum(trials[c] for c in cells)
        for n, cells in by_n.items()
    }


def run_spans(seed: int, size: Size) -> Section:
    """The same test, if spans were counted in place of sessions: why the unit is the session."""
    section = Section("The unit: % of unchanged windows with p < .05, counting sessions or spans")
    section.header = ["sessions in the window", *(f"ICC {icc:g}" for icc in CORRELATIONS)]
    digest = Digest()
    found: dict[tuple[str, int], list[str]] = {}
    for n in (100, 1000):
        for icc in CORRELATIONS:
            rng, hits = generator(seed, "spans", n, icc), Counter[str]()
            for _ in range(SPAN_WINDOWS[size]):
                pairs = zip(
                    sessions(rng, NORMAL, 5000, icc), sessions(rng, NORMAL, n, icc), strict=True
                )
                for unit, (reference, window) in zip(("sessions", "spans"), pairs, strict=True):
                    result = held_against(
                        counts_of("number", reference), counts_of("number", window)
                    )
                    digest.add(result)
                    hits[unit] += result.p_value < 0.05
            for unit in ("sessions", "spans"):
                found.setdefault((unit, n), []).append(percent(hits[unit] / SPAN_WINDOWS[size]))
    section.rows = [[f"{n}, counting {unit}", *cells] for (unit, n), cells in sorted(found.items())]
    section.notes.append(f"{SPAN_WINDOWS[size]} windows a cell, 5000 sessions in each reference")
    section.digest = digest.text()
    return section
