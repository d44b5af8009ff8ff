"""The mapping of attributes to columns, read from conventions.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

ColumnType = Literal["text", "integer", "number", "flag", "texts"]


@dataclass(frozen=True, slots=True)
class Source:
    """One attribute that can fill a column."""

    key: str
    convention: str
    when: str | None = None
    scale: float | None = None
    values: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A canonical column and its sources, best first."""

    name: str
    type: ColumnType
    sources: tuple[Source, ...]
    group: str | None = None
    vague: frozenset[str] = frozenset()
    unknown: str = "lower"
    resource: tuple[str, ...] = ()


def _column(name: str, entry: Mapping[str, Any], values: Mapping[str, Mapping[str, str]]) -> Column:
    sources = tuple(
        Source(**{**source, "values": values[source["values"]] if "values" in source else None})
        for source in entry["sources"]
    )
    return Column(
        name,
        entry["type"],
        sources,
        entry.get("group"),
        frozenset(entry.get("vague", ())),
        entry.get("unknown", "lower"),
        tuple(entry.get("resource", ())),
    )


_TABLE = tomllib.loads(files(__package__).joinpath("conventions.toml").read_text("utf-8"))
_VALUES = {
    name: {raw: canonical for canonical, raws in mapping.items() for raw in raws}
    for name, mapping in _TABLE["values"].items()
}

COLUMNS = tuple(_column(name, entry, _VALUES) for name, entry in _TABLE["columns"].items())
EVALUATIONS = tuple(_column(name, entry, _VALUES) for name, entry in _TABLE["evaluations"].items())
PLACEHOLDERS = frozenset(_TABLE["placeholders"]["exact"])
PLACEHOLDER_PREFIX: str = _TABLE["placeholders"]["prefix"]
PASSED = frozenset(_TABLE["labels"]["passed"])
FAILED = frozenset(_TABLE["labels"]["failed"])
KEYS = frozenset(source.key for column in (*COLUMNS, *EVALUATIONS) for source in column.sources)
