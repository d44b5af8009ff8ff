"""The carriers of evaluation results, read from evaluations.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from retraind.normalise.conventions import EVALUATIONS, RESULT_VALUES, RESULTS
from retraind.normalise.paths import Path, parse

Judged = Literal["own", "parent", "trace", "session"]


@dataclass(frozen=True, slots=True)
class Mark:
    """How the convention of a set of attributes shows, and what all of its results have."""

    convention: str
    keys: frozenset[str]
    scopes: tuple[str, ...]
    judged: Judged
    offline: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list or map whose items are results; `columns` are pointers into an item."""

    convention: str
    key: str
    path: Path
    columns: Mapping[str, tuple[str, ...] | None]  # None: the item's key in the map
    aside: Mapping[str, str]
    shared: Mapping[str, Path]
    is_map: bool
    when: str | None
    equals: str | None
    judged: Judged
    linked: bool
    offline: bool
    numbers: bool
    kind: str | None
    skip: frozenset[str]
    skip_ends: tuple[str, ...]


def _mark(entry: Mapping[str, Any]) -> Mark:
    return Mark(
        entry["convention"],
        frozenset(entry.get("keys", ())),
        tuple(entry.get("scopes", ())),
        entry.get("span", "own"),
        entry.get("offline", False),
    )


def _items(entry: Mapping[str, Any]) -> Items:
    columns = {name: _pointer(entry[name]) for name in _ITEM_COLUMNS & entry.keys()}
    return Items(
        entry["convention"],
        entry["in"],
        parse(entry["in"]),
        columns,
        entry.get("aside", {}),
        {name: parse(key) for name, key in entry.get("shared", {}).items()},
        entry.get("map", False),
        entry.get("when"),
        entry.get("equals"),
        entry.get("span", "own"),
        entry.get("linked", False),
        entry.get("offline", False),
        entry.get("numbers", False),
        entry.get("judge"),
        frozenset(entry.get("skip", ())),
        tuple(entry.get("skip_ends", ())),
    )


def _pointer(text: str) -> tuple[str, ...] | None:
    return None if text == "key" else tuple(text.split("/")[1:])


_ITEM_COLUMNS = {
    "name", "score", "label", "passed", "explanation", "evaluator", "evaluator_version", "kind",
}  # fmt: skip

KINDS = RESULT_VALUES["evaluation_kind"]
LOG_NAMES = frozenset(RESULTS["carriers"]["logs"])
EVENT_NAMES = frozenset(RESULTS["carriers"]["events"])
MARKS = tuple(_mark(entry) for entry in RESULTS["marks"])
ITEMS = tuple(_items(entry) for entry in RESULTS["items"])
FINDINGS = frozenset(RESULTS["labels"]["findings"])
DEFECTS = frozenset(RESULTS["labels"]["defects"])
NO_LABEL = frozenset(RESULTS["labels"]["nothing"])
FEEDBACK_NAMES = frozenset(RESULTS["feedback"]["names"])
NAME_KEYS = frozenset(
    source.path.holder
    for column in EVALUATIONS
    if column.name == "name"
    for source in column.sources
)
