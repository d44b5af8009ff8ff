"""Series in short notation: what each hour of a test is made of. Nothing in it is random.

    line    := part (space part)*
    part    := value [x count] | ( line ) x count
    value   := number | number (+|-) number | name(number, …) | {word: weight, …} | _
    count   := digits [h | d | w]

A count is a number of hours; `3+0.5x4` is 3, 3.5, 4, 4.5. `_` is an hour without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

LONGEST_HOURS = 24 * 366
_HOURS = {"": 1, "h": 1, "d": 24, "w": 168}
_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+"
_COUNT = re.compile(r"x(\d+)([hdw]?)(?![\w.])")
_STEPS = re.compile(rf"(-?(?:{_NUMBER}))([+-](?:{_NUMBER}))?")
_CALL = re.compile(r"([a-z]+)\(([^()]*)\)")
_WEIGHTS = re.compile(r"\{([^{}]*)\}")
_WEIGHT = re.compile(rf"\s*(\"[^\"]*\"|'[^']*'|[^:,]+?)\s*:\s*({_NUMBER})\s*")
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Distribution:
    """A named distribution, see DISTRIBUTIONS."""

    name: str
    parameters: tuple[float, ...]

    def sample(self, n: int, hour: int) -> NDArray[np.float64]:
        """`n` values at evenly spaced quantiles: what a typical sample looks like, shape (n,).

        Each hour takes other quantiles between the same ones, by the golden ratio, so that hours
        together fill the distribution ever more evenly.
        """
        shift = (hour * _GOLDEN + 0.5) % 1
        return _QUANTILES[self.name]((np.arange(n) + shift) / n, *self.parameters)


@dataclass(frozen=True, slots=True)
class Shares:
    """Categories and their weights."""

    weights: Mapping[str, float]


Value = float | Distribution | Shares | None
"""What one hour holds; None: nothing."""

DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "normal": ("mean", "sd"),
    "lognormal": ("median", "sigma"),
    "uniform": ("low", "high"),
    "exponential": ("mean",),
}
_QUANTILES: Mapping[str, Callable[..., NDArray[np.float64]]] = {
    "normal": lambda p, mean, sd: mean + sd * ndtri(p),
    "lognormal": lambda p, median, sigma: median * np.exp(sigma * ndtri(p)),
    "uniform": lambda p, low, high: low + (high - low) * p,
    "exponential": lambda p, mean: -mean * np.log1p(-p),
}


def parse(text: str) -> list[Value]:
    """The value of each hour. Raises ValueError with what to write instead."""
    reader = _Reader(text)
    hours = reader.line()
    if reader.at < len(text):
        raise ValueError(f"{text[reader.at :]!r} is not expected here; separate values by spaces")
    return hours


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def line(self) -> list[Value]:
        hours: list[Value] = []
        self._space()
        while self.at < len(self.text) and self.text[self.at] != ")":
            hours += self._part()
            if len(hours) > LONGEST_HOURS:
                raise ValueError(f"is longer than {LONGEST_HOURS} hours (366d)")
            if not self._space():
                break
        if not hours:
            raise ValueError("is empty; write e.g. 300x14d, normal(900, 200)x14d or {stop: 1}x14d")
        return hours

    def _space(self) -> bool:
        start = self.at
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at > start

    def _part(self) -> list[Value]:
        if self.text[self.at] == "(":
            self.at += 1
            inner = self.line()
            if not self.text.startswith(")", self.at):
                raise ValueError("'(' without ')'")
            self.at += 1
            times = self._count()
            if len(inner) * times > LONGEST_HOURS:
                raise ValueError(f"is longer than {LONGEST_HOURS} hours (366d)")
            return inner * times
        first, step = self._value()
        count = min(self._count(), LONGEST_HOURS + 1)
        if step is None:
            return [first] * count
        assert isinstance(first, float)
        return [first + step * i for i in range(count)]

    def _count(self) -> int:
        match = _COUNT.match(self.text, self.at)
        if match is None:
            return 1
        self.at = match.end()
        return int(match[1]) * _HOURS[match[2]]

    def _value(self) -> tuple[Value, float | None]:
        """A value, and what is added to it every hour."""
        if self.text.startswith("_", self.at):
            self.at += 1
            return None, None
        for pattern, read in ((_CALL, _distribution), (_WEIGHTS, _shares)):
            match = pattern.match(self.text, self.at)
            if match is not None:
                self.at = match.end()
                return read(match), None
        match = _STEPS.match(self.text, self.at)
        if match is None:
            known = ", ".join(f"{name}({', '.join(of)})" for name, of in DISTRIBUTIONS.items())
            raise ValueError(
                f"{self.text[self.at :]!r} does not begin with a value; write a number, "
                f"{{word: weight, …}}, _ or one of {known}"
            )
        self.at = match.end()
        return float(match[1]), None if match[2] is None else float(match[2])


def _distribution(match: re.Match[str]) -> Distribution:
    name, inside = match[1], match[2]
    names = DISTRIBUTIONS.get(name)
    if names is None:
        raise ValueError(f"{name!r} is not known; write one of {', '.join(DISTRIBUTIONS)}")
    try:
        parameters = tuple(float(part) for part in inside.split(","))
    except ValueError:
        parameters = ()
    if len(parameters) != len(names) or not np.isfinite(parameters).all():
        raise ValueError(f"{match[0]!r} is not complete; write {name}({', '.join(names)})")
    return Distribution(name, parameters)


def _shares(match: re.Match[str]) -> Shares:
    weights: dict[str, float] = {}
    for part in match[1].split(","):
        found = _WEIGHT.fullmatch(part)
        if found is None:
            raise ValueError(f"{part.strip()!r} is not a weight; write {{stop: 95, length: 5}}")
        weights[found[1].strip("\"'")] = float(found[2])
    if sum(weights.values()) <= 0:
        raise ValueError(f"{match[0]!r} has no weight above 0")
    return Shares(weights)


class Apportion:
    """Whole numbers that follow shares over many hours: what is rounded off is made up later."""

    def __init__(self) -> None:
        self._owed: dict[str, float] = {}

    def hour(self, shares: Mapping[str, float], n: int) -> dict[str, int]:
        """How many of `n` fall to each name, by largest remainder."""
        total = sum(shares.values())
        exact = {
            name: self._owed.get(name, 0.0) + n * weight / total for name, weight in shares.items()
        }
        given = {name: max(0, int(np.floor(value + 1e-9))) for name, value in exact.items()}
        ranked = sorted(exact, key=lambda name: (given[name] - exact[name], name))
        left = n - sum(given.values())
        while left != 0:
            for name in ranked if left > 0 else reversed(ranked):
                step = 1 if left > 0 else -1
                if left != 0 and given[name] + step >= 0:
                    given[name] += step
                    left -= step
        self._owed = {name: exact[name] - given[name] for name in exact}
        return given
