"""One source of a column: which owners it can fill, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.normalise.attributes import Mask, Rows
from retraind.normalise.coerce import coerced, joined, nanoseconds
from retraind.normalise.conventions import Column, ColumnType, Source
from retraind.normalise.holders import Holders
from retraind.normalise.paths import Path, follow
from retraind.normalise.typed import ARROW_TYPES


@dataclass(slots=True)
class Choice:
    """For each owner the value it would take from a source, or -1.

    `rows` are places among the attributes, or in `values` when the source is no plain attribute.
    """

    source: Source
    rows: Rows
    values: pa.Array | None = None


def choose(
    holders: Holders, operations: dict[str, Mask], column: Column, source: Source, missing: Mask
) -> Choice | None:
    """The source as it applies to these owners; None when nobody has it.

    Only owners that are `missing` a value need one that costs reading JSON.
    """
    allowed = permitted(holders, operations, source)
    if allowed is False:
        return None
    option = _open(holders, column, source, allowed, missing)
    if option is None:
        return None
    if allowed is not True:
        option.rows = np.where(allowed, option.rows, -1).astype(np.int32)
    if source.value is not None:
        option.rows = np.where(option.rows >= 0, 0, -1).astype(np.int32)
        option.values = pa.array([source.value])
    return option


def permitted(holders: Holders, operations: dict[str, Mask], source: Source) -> Mask | bool:
    """The owners to which a source applies; True for all, False for none."""
    allowed: Mask | bool = True
    if source.when is not None:
        shown = holders.shows(source.when)
        if shown is None:
            return False
        allowed = shown
    if source.operation:
        masks = [operations[name] for name in source.operation if name in operations]
        if not masks:
            return False
        if len(masks) < len(operations):
            allowed = np.logical_or.reduce(masks) & allowed
    return allowed


def operations(column: pa.StringArray) -> dict[str, Mask]:
    """For each operation that occurs, the owners that have it; those without are under ""."""
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    found = {name: codes == i for i, name in enumerate(encoded.dictionary.to_pylist())}
    return found | {"": codes == -1} if encoded.null_count else found


def _open(
    holders: Holders, column: Column, source: Source, allowed: Mask | bool, missing: Mask
) -> Choice | None:
    if source.time:
        return _since_start(holders, source)
    mapped = column.type == "texts" or source.values is not None
    if source.path.pointer is None and column.type != "numbers":
        if source.path.form == "attribute":
            rows = holders.typed.usable(source.path.holder, column.type)  # type: ignore[arg-type]
            return None if rows is None else Choice(source, rows)
        if source.path.form in ("span", "scope"):
            return _structure(holders, source, allowed)
        if source.path.form in ("resource", "event"):
            found = holders.carried(source.path, "text" if mapped else column.type)
            return None if found is None else Choice(source, *found)
    return _pointed(holders, "text" if mapped else column.type, source, missing & allowed)


def _since_start(holders: Holders, source: Source) -> Choice | None:
    """Seconds from the start of the span to a point in time: an event, or a time as text."""
    if holders.around is None:
        return None
    owners = holders.attributes.owners
    rows, stamps = np.full(owners, -1, dtype=np.int32), np.empty(0, dtype=np.int64)
    if source.path.form == "moment":
        found = holders.moment(source.path.event)
        if found is not None:
            rows, stamps = found[0], found[1].to_numpy()
    else:
        texts = _pointed(holders, "text", source, np.ones(owners, dtype=bool))
        if texts is not None and texts.values is not None:
            times = [nanoseconds(text) for text in texts.values.to_pylist()]
            rows, stamps = texts.rows, np.array(times, dtype=np.int64)
    started = holders.around.started
    rows = np.where((rows >= 0) & (started > 0), rows, -1).astype(np.int32)
    held = np.flatnonzero(rows >= 0)
    seconds = np.full(len(stamps), -1.0)
    seconds[rows[held]] = (stamps[rows[held]] - started[held]) / 1e9
    rows[held[seconds[rows[held]] < 0]] = -1
    return Choice(source, rows, pa.array(seconds)) if (rows >= 0).any() else None


def _structure(holders: Holders, source: Source, allowed: Mask | bool) -> Choice | None:
    texts = holders.texts(source.path)
    if texts is None:
        return None
    usable = texts.is_valid().to_numpy(zero_copy_only=False) & allowed
    if not usable.any():
        return None
    return Choice(source, np.where(usable, np.arange(len(texts)), -1).astype(np.int32), texts)


def _pointed(
    holders: Holders, column_type: ColumnType, source: Source, wanted: Mask
) -> Choice | None:
    """Values inside JSON, as the column's type; texts that will be mapped stay texts."""
    decoded = holders.decoded(source.path)
    if decoded is None:
        return None
    asked = np.flatnonzero(wanted[decoded.owners])
    codes = decoded.code[asked]
    place = np.full(int(codes.max(initial=-1)) + 1, -1, dtype=np.int32)
    place[codes] = 0
    values: list[Any] = []
    pointer = source.path.pointer
    for code in np.flatnonzero(place == 0).tolist():
        place[code] = -1
        value = decoded.value(code)
        if pointer:
            value = follow(value, pointer)
            if value is None:  # what most holders lack
                continue
        if source.join:
            value = joined(value)
        elif column_type == "text" and pointer == () and not isinstance(value, str):
            value = decoded.distinct[code]
        found = coerced(value, column_type)
        if found is not None:
            place[code] = len(values)
            values.append(found)
    rows = np.full(holders.attributes.owners, -1, dtype=np.int32)
    rows[decoded.owners[asked]] = place[codes]
    return Choice(source, rows, pa.array(values, ARROW_TYPES[column_type])) if values else None


def inside(value: Any, path: Path) -> Any:
    """What the path's pointer finds in a decoded holder."""
    return value if not path.pointer else follow(value, path.pointer)
