"""Attribute values as the type that a column asks for.

A value of the column's own kind is used where it lies; values of other kinds are coerced, whole
columns at a time, and those that cannot be are passed over.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise import conventions
from retraind.normalise.attributes import BOOL, DOUBLE, INT, NONE, STRING, Attributes, Mask, Rows
from retraind.normalise.conventions import ColumnType
from retraind.normalise.text import parts

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "texts": pa.list_(pa.string()),
    "numbers": pa.list_(pa.float32()),
    "messages": pa.string(),
    "parts": pa.string(),
    "object": pa.string(),
    "tools": pa.string(),
    "documents": pa.string(),
}
# What plain values can be taken as; the other column types are read from JSON (content.py).
PlainType = Literal["text", "integer", "number", "flag", "texts", "any"]
NATIVE: dict[str, int] = {"text": STRING, "integer": INT, "number": DOUBLE, "flag": BOOL}
INTEGER = r"^-?[0-9]{1,18}$"
NUMBER = r"^-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?$"
EXACT_DOUBLE = float(2**53)


# Owners, ascending, and for each the place of a value.
Held = tuple[Rows, Rows]


class TypedValues:
    """Values of one set of attributes by column type."""

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self._blank = _placeholders(attributes)
        self._blank_keys = np.zeros(len(attributes.keys), dtype=bool)
        if self._blank is not None:
            self._blank_keys[attributes.code[self._blank]] = True
        self._everyone = np.arange(attributes.owners, dtype=np.int32)
        self._usable: dict[tuple[str, PlainType], Held] = {}
        self._coerced: dict[PlainType, tuple[Rows, list[pa.Array]]] = {}

    def usable(self, key: str, column_type: PlainType) -> Held | None:
        """The attributes with this key that give a value of the type; None when nobody has it."""
        found = self._usable.get((key, column_type))
        if found is None:
            places = self.attributes.with_key(key)
            if places is None:
                return None
            places = self._clean(key, column_type, places)
            everyone = len(places) == self.attributes.owners
            owners = self._everyone if everyone else self.attributes.owner[places]
            found = self._usable[key, column_type] = (owners, places)
        return found

    def _clean(self, key: str, column_type: PlainType, places: Rows) -> Rows:
        kinds = self.attributes.kinds_of_key[self.attributes.codes[key]]
        if self._blank is not None and self._blank_keys[self.attributes.codes[key]]:
            places = places[~self._blank[places]]
        if column_type in ("any", "texts"):
            return places if not kinds[NONE] else places[self.attributes.kind[places] != NONE]
        native = NATIVE.get(column_type)
        if native is None or kinds.sum() == kinds[native]:
            return places
        good = self.attributes.kind[places] == native
        others = places[~good]
        values = _coerce(self.attributes, column_type, others)
        good[~good] = values.is_valid().to_numpy(zero_copy_only=False)
        position, arrays = self._coerced.setdefault(
            column_type, (np.full(self.attributes.count, -1, dtype=np.int32), [])
        )
        position[others] = np.arange(len(others), dtype=np.int32) + sum(map(len, arrays))
        arrays.append(values)
        kept: Rows = places[good]
        return kept

    def take(self, column_type: PlainType, places: Rows) -> pa.Array:
        """The values of usable attributes."""
        values = self.attributes.values(NATIVE[column_type]).take(pa.array(places))
        if column_type not in self._coerced:
            return values
        position, arrays = self._coerced[column_type]
        coerced = position[places]
        if not (coerced >= 0).any():
            return values
        extra = pa.concat_arrays(arrays).take(pa.array(coerced, mask=coerced < 0))
        return pc.coalesce(values, extra)


def _placeholders(attributes: Attributes) -> Mask | None:
    """True for texts that stand for "nothing", among the attributes that can fill a column."""
    wanted = np.array([conventions.is_mapped(key) for key in attributes.keys], dtype=bool)
    if not wanted.any():
        return None
    exact = sorted(conventions.PLACEHOLDERS)
    longest = max(len(value) for value in exact)
    prefix = conventions.PLACEHOLDER_PREFIX
    offsets, data = parts(attributes.strings)
    asked = np.flatnonzero(wanted[attributes.code] & (attributes.kind == STRING))
    if len(asked) == 0:
        return None
    begin = offsets[asked]
    size = offsets[asked + 1] - begin
    starts = np.zeros(256, dtype=bool)
    starts[[value.encode()[0] for value in (*exact, prefix) if value]] = True
    final = max(int(offsets[-1]) - 1, 0)
    first = data[np.minimum(begin, final)] if len(data) else np.zeros(len(asked), dtype=np.uint8)
    # Message lists start like the prefix, so its second byte is looked at too.
    second = data[np.minimum(begin + 1, final)] if len(data) else first
    possible = (size == 0) | (starts[first] & ((size <= longest) | (second == ord(prefix[1]))))
    places = asked[possible]
    if len(places) == 0:
        return None
    texts = attributes.strings.take(pa.array(places))
    hit = pc.or_(pc.is_in(texts, pa.array(exact)), pc.starts_with(texts, prefix))
    blank = np.zeros(attributes.count, dtype=bool)
    blank[places[hit.to_numpy(zero_copy_only=False)]] = True
    return blank if blank.any() else None


def without_placeholders(texts: pa.StringArray) -> pa.StringArray:
    """NULL instead of texts that stand for "nothing"."""
    known = pc.is_in(texts, pa.array(sorted(conventions.PLACEHOLDERS)))
    blank = pc.or_(known, pc.starts_with(texts, conventions.PLACEHOLDER_PREFIX))
    return pc.if_else(pc.fill_null(blank, False), None, texts)


def _coerce(attributes: Attributes, column_type: PlainType, places: Rows) -> pa.Array:
    """Values of attributes of another kind than the column's; NULL where none makes sense."""
    index = pa.array(places)
    if column_type == "text":
        texts = attributes.json_values(places)
        empty = attributes.kind[places] == NONE
        return pc.if_else(pa.array(~empty), texts, pa.scalar(None, pa.string()))
    texts = attributes.strings.take(index)
    if column_type == "flag":
        lower = pc.utf8_lower(texts)
        return pc.if_else(
            pc.is_in(lower, pa.array(["true", "false"])), pc.equal(lower, "true"), None
        )
    if column_type == "integer":
        doubles = attributes.values(DOUBLE).take(index)
        integral = pc.and_(
            pc.equal(pc.floor(doubles), doubles), pc.less_equal(pc.abs(doubles), EXACT_DOUBLE)
        )
        from_double = pc.if_else(integral, doubles, None).cast(pa.int64())
        return pc.coalesce(from_double, _matching(texts, INTEGER).cast(pa.int64()))
    from_int = attributes.values(INT).take(index).cast(pa.float64(), safe=False)
    return pc.coalesce(from_int, _matching(texts, NUMBER).cast(pa.float64()))


def _matching(texts: pa.StringArray, pattern: str) -> pa.StringArray:
    """The texts that match, NULL for the others."""
    return pc.if_else(pc.match_substring_regex(texts, pattern), texts, None)
