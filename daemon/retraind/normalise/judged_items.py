"""Evaluation results that are items of a list or a map on a span; see evaluations.toml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.decode.columnar import Indices
from retraind.normalise import schema
from retraind.normalise.attributes import Attributes, Mask, Rows
from retraind.normalise.carriers import ITEMS, KINDS, NO_LABEL, Items
from retraind.normalise.coerce import coerced
from retraind.normalise.events import Links
from retraind.normalise.holders import Holders
from retraind.normalise.paths import Path
from retraind.normalise.sources import inside
from retraind.normalise.text import hex_text
from retraind.normalise.verdicts import verdict

Row = dict[str, Any]
_TEXTS = ("name", "label", "explanation", "evaluator", "evaluator_version", "kind")
_OF_SPAN = ("trace_id", "span_id", "parent_span_id", "session_id", "run_id", "variant")


def collect(
    spans: pa.Table, ends: pa.Array, holders: Holders, links: Links
) -> tuple[pa.Table, Indices] | None:
    """Rows of `evaluations`, and for each the row of its span; None when there are none."""
    present = [entry for entry in ITEMS if _occurs(entry, holders.attributes)]
    rows: list[Row] = []
    owners: list[int] = []
    for entry in present:
        for owner, found in _items(entry, holders):
            rows.append(found)
            owners.append(owner)
    if not rows:
        return None
    span = np.array(owners, dtype=np.int32)
    context = spans.select(_OF_SPAN).take(pa.array(span)).to_pylist()
    linked = _linked(links)
    times = ends.take(pa.array(span)).to_pylist()
    for row, owner, own, time in zip(rows, owners, context, times, strict=True):
        _say_what_is_judged(row, own, linked.get(owner))
        row["time"] = time if 0 < time < 2**63 else None
    return pa.Table.from_pylist(rows, schema=schema.EVALUATIONS), span


def _occurs(entry: Items, attributes: Attributes) -> bool:
    if entry.when is not None and entry.when not in attributes.codes:
        return False
    if entry.path.form == "attribute":
        return entry.path.holder in attributes.codes
    return bool(attributes.below(entry.path.holder + "."))


def _items(entry: Items, holders: Holders) -> Iterator[tuple[int, Row]]:
    """Each result with its owner."""
    wanted = _wanted(entry, holders)
    if not wanted.any():
        return
    decoded = holders.decoded(entry.path)
    if decoded is None:
        return
    shared = {name: _values(holders, path) for name, path in entry.shared.items()}
    for index in np.flatnonzero(wanted[decoded.owners]).tolist():
        owner = int(decoded.owners[index])
        value = inside(decoded.value(int(decoded.code[index])), entry.path)
        for key, item in _members(entry, value):
            row = _row(entry, key, item, value)
            if row is not None:
                row |= {name: values[owner] for name, values in shared.items() if owner in values}
                yield owner, row


def _wanted(entry: Items, holders: Holders) -> Mask:
    attributes = holders.attributes
    if entry.when is None:
        return np.ones(attributes.owners, dtype=bool)
    if entry.equals is not None:
        return holders.says(entry.when, entry.equals)
    rows = attributes.rows(entry.when)
    return np.zeros(attributes.owners, dtype=bool) if rows is None else rows >= 0


def _values(holders: Holders, path: Path) -> dict[int, str]:
    """A text of each owner that has it."""
    decoded = holders.decoded(path)
    if decoded is None:
        return {}
    found = {}
    for index, owner in enumerate(decoded.owners.tolist()):
        value = coerced(inside(decoded.value(int(decoded.code[index])), path), "text")
        if value is not None:
            found[owner] = value
    return found


def _members(entry: Items, value: object) -> Iterator[tuple[str, Any]]:
    if entry.is_map and isinstance(value, dict):
        for key, item in value.items():
            if key not in entry.skip and not key.endswith(entry.skip_ends):
                yield key, item
    elif isinstance(value, list) and not entry.is_map:
        for item in value:
            if isinstance(item, dict):
                yield "", item


def _row(entry: Items, key: str, item: Any, whole: Any) -> Row | None:
    """One result; None for an item that is none."""
    if entry.numbers and not isinstance(item, int | float):
        return None
    row: Row = {}
    for name, pointer in entry.columns.items():
        value = key if pointer is None else _follow(item, pointer)
        row[name] = _typed(name, value)
    for name, ending in entry.aside.items():
        row[name] = _typed(name, whole.get(key + ending))
    if not row.get("name") or all(row.get(name) is None for name in ("score", "label", "passed")):
        return None
    kind = row.get("kind")
    row["kind"] = entry.kind or (KINDS.get(kind.strip().lower()) if kind else None) or "automated"
    if row.get("passed") is None and row.get("label") is not None:
        row["passed"] = verdict(row["name"], row["label"])
    carrier = "span" if entry.judged == "parent" else "attribute"
    return row | {"source": f"{carrier}:{entry.convention}", "_entry": entry}


def _follow(item: Any, pointer: tuple[str, ...]) -> Any:
    for step in pointer:
        item = item.get(step) if isinstance(item, dict) else None
    return item


def _typed(name: str, value: Any) -> Any:
    """A value as its column has it: numbers from flags, labels from texts alone."""
    if name == "score":
        number = float(value) if isinstance(value, bool) else coerced(value, "number")
        return number if number is None or np.isfinite(number) else None
    if name == "passed":
        return value if isinstance(value, bool) else None
    if name == "label" and (not isinstance(value, str) or value.lower() in NO_LABEL):
        return None
    return coerced(value, "text")


def _say_what_is_judged(row: Row, own: Row, link: tuple[str, str] | None) -> None:
    """Ids of the judged span; results about a trace or session name no span."""
    entry: Items = row.pop("_entry")
    trace_id, span_id = link if entry.linked and link is not None else _ids(own)
    if entry.judged == "parent":
        span_id = own["parent_span_id"] or span_id
    row["trace_id"] = trace_id
    row["span_id"] = span_id if entry.judged in ("own", "parent") else None
    if entry.judged == "session":
        row["session_id"] = own["session_id"]
    row["run_id"] = own["run_id"] or (own["trace_id"] if entry.offline else None)
    row["variant"] = own["variant"]


def _ids(own: Row) -> tuple[str, str]:
    return own["trace_id"], own["span_id"]


def _linked(links: Links) -> dict[int, tuple[str, str]]:
    """What the only link of each span leads to."""
    counts = np.diff(links.offsets)
    single: Rows = np.flatnonzero(counts == 1).astype(np.int32)
    if len(single) == 0:
        return {}
    places = pa.array(links.offsets[single])
    traces = hex_text(links.items.field("trace_id").take(places), null_if_zero=True).to_pylist()
    spans = hex_text(links.items.field("span_id").take(places), null_if_zero=True).to_pylist()
    ids = zip(single.tolist(), traces, spans, strict=True)
    return {span: (trace, target) for span, trace, target in ids if trace and target}
