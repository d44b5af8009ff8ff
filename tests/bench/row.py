"""One row of the benchmark: figures side by side, and whether they reach what is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Row:
    """`goals`: what is asked for, and whether this run reached it."""

    title: str
    figures: dict[str, float | str] = field(default_factory=dict)
    goals: dict[str, bool] = field(default_factory=dict)

    def text(self) -> str:
        lines = [self.title]
        lines += [f"  {name:44} {_shown(value)}" for name, value in self.figures.items()]
        lines += [f"  {goal:44} {'yes' if met else 'NO'}" for goal, met in self.goals.items()]
        return "\n".join(lines)


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
