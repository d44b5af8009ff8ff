"""What one part of the benchmark found: a table, its gates, and a digest of every result."""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from .gates import Gate

Size = Literal["full", "quick", "test"]
"""full: the published figures; quick: under three minutes; test: a part of the test suite."""

T = TypeVar("T")


@dataclass(slots=True)
class Section:
    """`rows` have the cells of `header`; `data` is what pictures and the JSON file are made of."""

    title: str
    header: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def text(self) -> str:
        lines = [self.title, *_aligned([self.header, *self.rows])]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


class Digest:
    """One hash of every result, in order: two runs agree to the last bit or they do not."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, result: object) -> None:
        # repr gives every field, and floats by digits that read back to the same double
        self._hash.update(repr(result).encode())

    def text(self) -> str:
        return self._hash.hexdigest()


def generator(seed: int, *cell: object) -> np.random.Generator:
    """The random numbers of one cell: adding or reordering cells does not change the others."""
    return np.random.default_rng([seed, zlib.crc32(repr(cell).encode())])


def progress(items: Sequence[T], title: str) -> Iterable[T]:
    """The items, with a bar on a terminal and nothing elsewhere."""
    console = Console(stderr=True)
    return track(items, title, console=console, transient=True, disable=not sys.stderr.isatty())


def per_thousand(hits: int, trials: int) -> str:
    return f"{1000 * hits / trials:.2f}" if trials else "-"


def percent(share: float) -> str:
    """Three digits are more than most runs can tell apart."""
    return f"{100 * share:.1f}" if share < 0.0995 or 0.9 < share < 1 else f"{100 * share:.0f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    rows = [row for row in rows if row]
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  " + "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]  # fmt: skip
