"""One source of a column: which owners it can fill, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise.attributes import Mask, Rows
from retraind.normalise.coerce import coerced, joined, nanoseconds
from retraind.normalise.conventions import Column, ColumnType, Source
from retraind.normalise.holders import Holders
from retraind.normalise.paths import Path, follow
from retraind.normalise.typed import ARROW_TYPES


@dataclass(slots=True)
class Choice:
    """The owners, ascending, that have a value of a source, and the place of each one's.

    Places are among the attributes, or in `values` when the source is no plain attribute. Most
    sources are of few owners, so nothing here is as long as there are owners.
    """

    source: Source
    owners: Rows
    places: Rows
    values: pa.Array | None = None

    def keep(self, kept: Mask) -> None:
        """Drop the owners that are not `kept`."""
        if not kept.all():
            self.owners, self.places = self.owners[kept], self.places[kept]


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
    if not isinstance(allowed, bool):
        option.keep(allowed[option.owners])
    if column.minimum is not None:
        _keep_from(holders, column, option)
    if source.value is not None:
        option.places = np.zeros(len(option.owners), dtype=np.int32)
        option.values = pa.array([source.value])
    return option


def _keep_from(holders: Holders, column: Column, option: Choice) -> None:
    """Drop the owners whose number is below the column's minimum (or no number at all)."""
    if option.values is None:
        numbers = holders.typed.take(column.type, option.places)  # type: ignore[arg-type]
    else:
        numbers = option.values.take(pa.array(option.places))
    enough = pc.greater_equal(numbers, column.minimum)
    option.keep(enough.to_numpy(zero_copy_only=False))


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
            held = holders.typed.usable(source.path.holder, column.type)  # type: ignore[arg-type]
            return None if held is None else Choice(source, *held)
        if source.path.form in ("span", "scope"):
            return _structure(holders, source, allowed)
        if source.path.form in ("resource", "event"):
            found = holders.carried(source.path, "text" if mapped else column.type)
            return None if found is None else Choice(source, *found[0], found[1])
    return _pointed(holders, "text" if mapped else column.type, source, missing & allowed)


def _since_start(holders: Holders, source: Source) -> Choice | None:
    """Seconds from the start of the span to a point in time: an event, or a time as text."""
    if holders.around is None:
        return None
    if source.path.form == "moment":
        found = holders.moment(source.path.event)
        if found is None:
            return None
        (owners, places), times = found
        stamps = times.to_numpy()
    else:
        texts = _pointed(holders, "text", source, np.ones(holders.attributes.owners, dtype=bool))
        if texts is None or texts.values is None:
            return None
        owners, places = texts.owners, texts.places
        stamps = np.array([nanoseconds(t) for t in texts.values.to_pylist()], dtype=np.int64)
    started = holders.around.started[owners]
    seconds = (stamps[places] - started) / 1e9
    good = (started > 0) & (seconds >= 0)
    place = np.arange(np.count_nonzero(good), dtype=np.int32)
    return Choice(source, owners[good], place, pa.array(seconds[good])) if good.any() else None


def _structure(holders: Holders, source: Source, allowed: Mask | bool) -> Choice | None:
    texts = holders.texts(source.path)
    if texts is None:
        return None
    usable = texts.is_valid().to_numpy(zero_copy_only=False) & allowed
    owners = np.flatnonzero(usable).astype(np.int32)
    return Choice(source, owners, owners, texts) if len(owners) else None


def _pointed(
    holders: Holders, column_type: ColumnType, source: Source, wanted: Mask
) -> Choice | None:
    """Values inside JSON, as the column's type; texts that will be mapped stay texts."""
    decoded = holders.decoded(source.path)
    if decoded is None:
        return None
    asked = wanted[decoded.owners]
    codes, pointer = decoded.code[asked], source.path.pointer
    taken: list[int] = []
    values: list[Any] = []
    if pointer:
        opened = decoded.may_lead(codes, pointer[0])
    else:
        opened = [(code, decoded.value(code)) for code in np.unique(codes).tolist()]
    for code, held in opened:
        value = follow(held, pointer) if pointer else held
        if value is None:
            continue
        if source.join:
            value = joined(value)
        elif column_type == "text" and pointer == () and not isinstance(value, str):
            value = decoded.distinct[code]
        found = coerced(value, column_type)
        if found is not None:
            taken.append(code)
            values.append(found)
    if not values:
        return None
    place = np.full(int(codes.max()) + 1, -1, dtype=np.int32)
    place[taken] = np.arange(len(taken), dtype=np.int32)
    places = place[codes]
    option = Choice(
        source, decoded.owners[asked], places, pa.array(values, ARROW_TYPES[column_type])
    )
    option.keep(places >= 0)
    return option


def inside(value: Any, path: Path) -> Any:
    """What the path's pointer finds in a decoded holder."""
    return value if not path.pointer else follow(value, path.pointer)
