"""The mapping of attributes to columns, read from conventions.toml and evaluations.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from retraind.normalise.paths import Path, parse

ColumnType = Literal[
    "text", "integer", "number", "flag", "texts", "numbers", "object", "messages", "parts", "tools",
    "documents",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Values:
    """A value map: texts in lower case to canonical values: exact ones, then by start or end."""

    exact: Mapping[str, str]
    endings: tuple[tuple[str, str], ...]
    starts: tuple[tuple[str, str], ...]

    def get(self, text: str) -> str | None:
        """The canonical value of a text in lower case, None when the map lacks it."""
        found = self.exact.get(text)
        if found is not None:
            return found
        for start, value in self.starts:
            if text.startswith(start):
                return value
        return next((value for ending, value in self.endings if text.endswith(ending)), None)


@dataclass(frozen=True, slots=True)
class Source:
    """One place that can fill a column."""

    key: str
    convention: str
    path: Path
    when: str | None = None
    operation: frozenset[str] = frozenset()
    scale: float | None = None
    values: Values | None = None
    known: bool = False
    value: str | None = None
    before: str | None = None
    split: str | None = None
    family: str = ""
    answer: str | None = None
    time: bool = False
    weak: bool = False
    join: bool = False
    json: bool | str = False

    @property
    def holder(self) -> Path:
        """Where it is read from."""
        return self.path if self.answer is None else Path("map", self.answer)

    @property
    def counts_as(self) -> str:
        """The convention it belongs to within a group of columns."""
        return self.family or self.convention


@dataclass(frozen=True, slots=True)
class Column:
    """A canonical column and its sources, best first."""

    name: str
    type: ColumnType
    sources: tuple[Source, ...]
    group: str | None = None
    vague: frozenset[str] = frozenset()
    unknown: str = "lower"
    union: bool = False
    minimum: float | None = None


@dataclass(frozen=True, slots=True)
class Convention:
    """How a convention is recognised."""

    name: str
    scopes: frozenset[str] = frozenset()
    scope_prefixes: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    resources: frozenset[str] = field(default_factory=frozenset)

    def has_key(self, key: str) -> bool:
        """Whether an attribute with this key shows the convention."""
        return (
            key in self.keys
            or key.startswith(self.prefixes)
            or any(pattern.match(key) for pattern in self.patterns)
        )

    def has_scope(self, scope: str) -> bool:
        """Whether an instrumentation scope of this name shows the convention."""
        return scope in self.scopes or scope.startswith(self.scope_prefixes)


def _values(entries: Mapping[str, list[str]]) -> Values:
    pairs = [(raw, canonical) for canonical, raws in entries.items() for raw in raws]
    return Values(
        {raw: canonical for raw, canonical in pairs if "*" not in raw},
        tuple((raw[1:], canonical) for raw, canonical in pairs if raw.startswith("*")),
        tuple((raw[:-1], canonical) for raw, canonical in pairs if raw[1:].endswith("*")),
    )


def _source(entry: Mapping[str, Any], values: Mapping[str, Values]) -> Source:
    options = {name: entry[name] for name in _OPTIONS & entry.keys()}
    (convention, key), *more = ((n, v) for n, v in entry.items() if n not in _OPTIONS)
    if more:
        raise ValueError(f"{key}: more than one convention")
    if "values" in options:
        options["values"] = values[options["values"]]
    only = options.get("operation", ())
    options["operation"] = frozenset(_TABLE["operations"][only] if isinstance(only, str) else only)
    return Source(key.removesuffix("#"), convention, parse(key), **options)


def _column(name: str, entry: Mapping[str, Any], values: Mapping[str, Values]) -> Column:
    return Column(
        name,
        entry["type"],
        tuple(_source(source, values) for source in entry["sources"]),
        entry.get("group"),
        frozenset(entry.get("vague", ())),
        entry.get("unknown", "lower"),
        entry.get("union", False),
        entry.get("minimum"),
    )


def _convention(entry: Mapping[str, Any]) -> Convention:
    return Convention(
        entry["name"],
        frozenset(entry.get("scopes", ())),
        tuple(entry.get("scope_prefixes", ())),
        frozenset(entry.get("keys", ())),
        tuple(entry.get("prefixes", ())),
        tuple(re.compile(pattern) for pattern in entry.get("patterns", ())),
        frozenset(entry.get("resources", ())),
    )


_OPTIONS = {
    "when", "operation", "scale", "values", "known", "value", "before", "split", "family",
    "answer", "time", "weak", "join",
    "json",
}  # fmt: skip


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(name).read_text("utf-8"))


_TABLE = _read("conventions.toml")
RESULTS = _read("evaluations.toml")
_VALUES = {name: _values(entries) for name, entries in _TABLE["values"].items()}
RESULT_VALUES = {name: _values(entries) for name, entries in RESULTS["values"].items()}

CONVENTIONS = tuple(_convention(entry) for entry in _TABLE["conventions"])
COLUMNS = tuple(_column(name, entry, _VALUES) for name, entry in _TABLE["columns"].items())
EVALUATIONS = tuple(
    _column(name, entry, RESULT_VALUES) for name, entry in RESULTS["columns"].items()
)
PLACEHOLDERS = frozenset(_TABLE["placeholders"]["exact"])
PLACEHOLDER_PREFIX: str = _TABLE["placeholders"]["prefix"]
PASSED = frozenset(RESULTS["labels"]["passed"])
FAILED = frozenset(RESULTS["labels"]["failed"])
_KEYS = frozenset(
    source.path.holder
    for column in (*COLUMNS, *EVALUATIONS)
    for source in column.sources
    if source.path.form in ("attribute", "resource", "event")
)


@lru_cache(maxsize=16_384)
def shown_by(key: str) -> int:
    """Bits of the conventions (by their place in CONVENTIONS) that an attribute key shows."""
    return sum(1 << place for place, found in enumerate(CONVENTIONS) if found.has_key(key))


def is_mapped(key: str) -> bool:
    """Whether an attribute with this key can fill a column."""
    return key in _KEYS
