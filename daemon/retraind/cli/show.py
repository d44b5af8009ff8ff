"""Results as text: aligned tables, with colour only on a terminal, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

_COLOURS = {
    "firing": "red", "dead": "red", "expired": "red", "alarm": "red", "retrain": "red",
    "ok": "green", "delivered": "green", "pending": "yellow", "resolving": "yellow",
    "investigate": "yellow", "notice": "yellow", "muted": "yellow", "held": "yellow",
}  # fmt: skip
_PIPE_WIDTH = 10_000  # columns are never cut when nobody looks
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print rows under their heads."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    grid = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for head in heads:
        grid.add_column(Text(head), overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_text(cell), _COLOURS.get(str(cell), "")) for cell in row))
    Console(highlight=False, width=None if terminal else _PIPE_WIDTH).print(grid)


def as_json(value: Any) -> None:
    """Print JSON, indented for a reader."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def coloured(word: str) -> str:
    """A state in its colour, on a terminal."""
    colour = _COLOURS.get(word) if sys.stdout.isatty() else None
    return click.style(word, fg=colour) if colour else word


def printable(text: str) -> str:
    """Control characters of span content must not reach a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(text)
