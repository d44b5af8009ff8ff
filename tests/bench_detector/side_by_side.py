"""Every rule and tool on the same windows: what they flag when nothing changed, and when it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .generate import SHAPES, SHIFTS, Shift, Values
from .null import references
from .power import loses
from .rules import BANDED, OURS, by_rule
from .section import Digest, Section, Size, generator, percent, progress

SIZES = {"full": (50, 100, 500, 1000, 5000), "quick": (50, 100, 500), "test": (100,)}
EXTENT = {"full": (20, 3), "quick": (20, 3), "test": (5, 2)}
"""References of a cell, and windows held against each."""
KINDS = (
    *(Shift(f"{shape.name}, unchanged", shape, shape.draw) for shape in SHAPES),
    *(shift for shift in SHIFTS if shift.name.startswith(("mean", "spread", "10 points"))),
)
TITLES = {"10k": "10,000 sessions", "10n": "ten windows", "n": "one window"}


@dataclass(frozen=True, slots=True)
class Cell:
    """`references`: shape (references, m); `windows`: shape (references, windows, n)."""

    name: str
    kind: str
    references: Values
    windows: Values


Rates = dict[str, dict[str, tuple[int, int] | None]]
"""rule -> cell -> (flagged, windows); None where the rule refuses."""
Tools = Callable[[list[Cell]], Rates]


def run(seed: int, size: Size, tools: Tools | None = None) -> list[Section]:
    """One table for each size of reference."""
    cells = list(_cells(seed, size))
    digest, rates = Digest(), rule_rates(cells, "side by side")
    digest.add(rates)
    if tools is not None:
        rates |= tools(cells)
    sections = [_section(size, reference, rates) for reference in TITLES]
    sections[0].digest = digest.text()
    return sections


def name_of(kind: str, reference: str, n: int) -> str:
    return f"{kind} | {reference} | {n}"


def _cells(seed: int, size: Size) -> Iterator[Cell]:
    for shift in KINDS:
        for n in SIZES[size]:
            for reference, m in references(n).items():
                rng = generator(seed, "side by side", shift.name, n, m)
                many, windows = EXTENT[size] if n < 5000 else (8, 3)
                yield Cell(
                    name_of(shift.name, reference, n), shift.base.kind,
                    np.stack([shift.base.draw(rng, m) for _ in range(many)]),
                    np.stack([[shift.draw(rng, n) for _ in range(windows)] for _ in range(many)]),
                )  # fmt: skip


def rule_rates(cells: list[Cell], title: str) -> Rates:
    """Our detector and the naive rules."""
    rates: Rates = {}
    for cell in progress(cells, title):
        for rule, flags in _flags(cell).items():
            rates.setdefault(rule, {})[cell.name] = tally(flags)
    return rates


def _flags(cell: Cell) -> dict[str, list[bool | None]]:
    flags: dict[str, list[bool | None]] = {}
    for reference, windows in zip(cell.references, cell.windows, strict=True):
        for window in windows:
            for rule, flag in by_rule(cell.kind, reference, window).items():
                flags.setdefault(rule, []).append(flag)
    return flags


def tally(flags: list[bool | None]) -> tuple[int, int] | None:
    known = [flag for flag in flags if flag is not None]
    return (sum(known), len(known)) if known else None


def _section(size: Size, reference: str, rates: Rates) -> Section:
    title = f"% of windows flagged, same windows for all, reference of {TITLES[reference]}"
    section = Section(title, ["what changed, n", *rates])
    lost: list[str] = []
    for shift in KINDS:
        for n in SIZES[size]:
            cell = _name(shift.name, reference, n)
            shown = {rule: _shown(own.get(cell)) for rule, own in rates.items()}
            if worse := losses(rates, cell, shift):
                shown[OURS] += "*"
                lost.append(f"{shift.name}, n {n}: {worse}")
            section.rows.append([f"{shift.name}, {n}", *shown.values()])
    section.notes.append("- the rule refuses so small a window, or cannot be computed")
    section.notes += [f"* lost: {line}" for line in lost]
    section.data["flagged_at_rest"] = null_rates(rates, reference)
    return section


def _name(kind: str, reference: str, n: int) -> str:
    # ten windows of 1000 are 10,000 sessions
    return name_of(kind, "10n" if (reference, n) == ("10k", 1000) else reference, n)


def _shown(found: tuple[int, int] | None) -> str:
    return "-" if found is None else percent(found[0] / found[1])


def losses(rates: Rates, cell: str, shift: Shift) -> str:
    """Who does better in this cell than the daemon's p < .001, with what they flag at rest."""
    unchanged = shift.name == _unchanged(shift)
    own = rates[OURS].get(cell)
    if own is None and unchanged:
        return ""  # what is not tested raises no false alarm
    better = []
    for rule, found in rates.items():
        theirs = found.get(cell)
        if rule in (OURS, BANDED) or theirs is None:
            continue
        pair = (0 if own is None else own[0], theirs[0])
        if loses(*(reversed(pair) if unchanged else pair), theirs[1]):
            calm = found.get(cell.replace(shift.name, _unchanged(shift)))
            rest = "" if unchanged else f" ({_shown(calm)} % at rest)"
            better.append(f"{rule} {_shown(theirs)} %{rest}")
    return f"{_shown(own)} % against {', '.join(better)}" if better else ""


def _unchanged(shift: Shift) -> str:
    return f"{shift.base.name}, unchanged"


def null_rates(rates: Rates, reference: str) -> dict[str, dict[int, float]]:
    """rule -> n -> share of unchanged windows flagged, over all shapes."""
    found: dict[str, dict[int, float]] = {}
    for rule, own in rates.items():
        for n in SIZES["full"]:
            cells = [own.get(_name(f"{shape.name}, unchanged", reference, n)) for shape in SHAPES]
            known = [cell for cell in cells if cell]
            if known:
                hits = sum(hit for hit, _ in known)
                found.setdefault(rule, {})[n] = hits / sum(many for _, many in known)
    return found
