"""Content policy on decoded requests, before anything is derived from them.

Every text of spans and log records is looked at: names, states, messages, keys, and values of every
kind. Ids stay, or traces would fall apart, unless they are no ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import DecodedItems
from retraind.redact.columns import changed_where, rebuilt_list, rebuilt_struct
from retraind.redact.values import TextChange, changed_values

Items = TypeVar("Items", bound=DecodedItems)
_IDS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}

KeyChange = TextChange | Literal["keep", "drop"]


@dataclass(frozen=True, slots=True)
class Changes:
    """What happens to texts: to all of them, and to the values of certain attributes instead."""

    everywhere: TextChange | None
    attributes: Mapping[str, KeyChange] = field(default_factory=dict)
    resource: Mapping[str, KeyChange] = field(default_factory=dict)


def apply(decoded: Items, changes: Changes) -> Items:
    """The decoded items with their texts changed."""
    walk = _Walk(changes.everywhere, changes.attributes)
    resources = _Walk(changes.everywhere, changes.resource)
    return replace(
        decoded,
        items=walk.array(decoded.items, ""),
        resources=resources.array(decoded.resources, ""),
        scopes=walk.array(decoded.scopes, ""),
    )


@dataclass(frozen=True, slots=True)
class _Walk:
    everywhere: TextChange | None
    by_key: Mapping[str, KeyChange]

    def array(self, array: pa.Array, name: str) -> pa.Array:
        kind = array.type
        if pa.types.is_list(kind) and name == "attributes":
            return self._attributes(array)
        if pa.types.is_list(kind):
            return rebuilt_list(array, self.array(array.flatten(), name))
        if pa.types.is_struct(kind) and kind.get_field_index("string_value") >= 0:
            return self._values(array)
        if pa.types.is_struct(kind):
            children = [self.array(array.field(i), each.name) for i, each in enumerate(kind)]
            return rebuilt_struct(array, children)
        return self._text(array, name) if pa.types.is_binary(kind) else array

    def _text(self, array: pa.Array, name: str) -> pa.Array:
        if self.everywhere is None:
            return array
        if name in _IDS:
            return _without_texts(array, _IDS[name], self.everywhere)
        return changed_where(array, self.everywhere.hint, self.everywhere.raw)

    def _values(self, values: pa.StructArray) -> pa.StructArray:
        return values if self.everywhere is None else changed_values(values, self.everywhere)

    def _attributes(self, lists: pa.ListArray) -> pa.ListArray:
        pairs = lists.flatten()
        if len(pairs) == 0:
            return lists
        encoded = pairs.field("key").dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        names = [key.decode("utf-8", "replace") for key in encoded.dictionary.to_pylist()]
        values, kept = self._by_key(pairs.field("value"), names, codes)
        keys = encoded.dictionary
        if self.everywhere is not None:
            keys = changed_where(keys, self.everywhere.hint, self.everywhere.raw)
        pairs = rebuilt_struct(pairs, [keys.take(encoded.indices), values])
        return rebuilt_list(lists, pairs, kept)

    def _by_key(
        self, values: pa.StructArray, names: list[str], codes: Any
    ) -> tuple[pa.StructArray, Any]:
        """The values, changed by their keys, and a mask of the attributes that stay (None: all)."""
        chosen: dict[int, KeyChange] = {
            code: self.by_key[name] for code, name in enumerate(names) if name in self.by_key
        }
        if not chosen:
            return self._values(values), None
        kept = np.ones(len(codes), dtype=bool)
        place = np.arange(len(codes), dtype=np.int64)
        pool, size = [values], len(values)
        others = np.flatnonzero(~np.isin(codes, list(chosen)))
        groups: list[tuple[Any, TextChange | None]] = [(others, self.everywhere)]
        for code, change in chosen.items():
            rows = np.flatnonzero(codes == code)
            if change == "drop":
                kept[rows] = False
            elif change != "keep":
                groups.append((rows, change))
        for rows, text_change in groups:
            if text_change is not None and len(rows):
                pool.append(changed_values(values.take(pa.array(rows)), text_change))
                place[rows] = np.arange(size, size + len(rows))
                size += len(rows)
        return pa.concat_arrays(pool).take(pa.array(place)), None if kept.all() else kept


def _without_texts(ids: pa.Array, size: int, change: TextChange) -> pa.Array:
    """Ids; one of the wrong length that holds a text to change becomes empty."""
    lengths = pc.fill_null(pc.binary_length(ids), 0).to_numpy()
    if ((lengths == size) | (lengths == 0)).all():
        return ids

    def emptied(raw: bytes) -> bytes:
        return raw if len(raw) == size or change.raw(raw) == raw else b""

    return changed_where(ids, change.hint, emptied)
