"""Line charts as plain SVG.

Three pictures do not justify a plotting library, and text that is the same for the same numbers can
be compared by a diff.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 800, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 250, 46, 48
COLOURS = (
    "#0b6e4f", "#c8553d", "#3d5a80", "#e09f3e", "#7b2d8e", "#6c757d", "#1f9ed1", "#8d6e63",
    "#000000", "#d81b60", "#9ccc65",
)  # fmt: skip
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `ticks[0]` to `ticks[-1]`, logarithmic or not."""

    title: str
    ticks: Sequence[float]
    log: bool = False

    def place(self, value: float) -> float:
        """0 at the first tick, 1 at the last."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return min(1.0, max(0.0, (value - low) / (high - low)))


def chart(title: str, x: Axis, y: Axis, lines: dict[str, Points], *, joined: bool = True) -> str:
    """One line (or, if not `joined`, one set of dots) for each name; the first is drawn thicker."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#222">'
    )
    paper = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    parts = [head, paper, _text(LEFT, 22, title, size=14), *_grid(x, y)]
    for number, (name, points) in enumerate(lines.items()):
        parts += _line(number, name, [(_x(x, a), _y(y, b)) for a, b in points], joined=joined)
    return "\n".join([*parts, "</svg>", ""])


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _grid(x: Axis, y: Axis) -> list[str]:
    parts = []
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in x.ticks:
        at = _x(x, tick)
        parts += [_rule(at, TOP, at, bottom), _text(at, bottom + 16, f"{tick:,g}", anchor="middle")]
    for tick in y.ticks:
        at = _y(y, tick)
        parts += [_rule(LEFT, at, right, at), _text(LEFT - 6, at + 4, f"{tick:,g}", anchor="end")]
    middle = (LEFT + right) / 2
    parts += [_text(middle, HEIGHT - 10, x.title, anchor="middle"), _text(8, TOP - 8, y.title)]
    return parts


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _line(number: int, name: str, points: Points, *, joined: bool) -> list[str]:
    colour, wide = COLOURS[number % len(COLOURS)], 3 if number == 0 else 1.6
    dots = [
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{wide + 1.5}" fill="{colour}"/>' for a, b in points
    ]
    legend = TOP + 8 + 20 * number
    parts = [
        *dots,
        f'<circle cx="{WIDTH - RIGHT + 18}" cy="{legend}" r="5" fill="{colour}"/>',
        _text(WIDTH - RIGHT + 30, legend + 4, name),
    ]
    if joined:
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"/>'
        parts.insert(0, line)
    return parts
