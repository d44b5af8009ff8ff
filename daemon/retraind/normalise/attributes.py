"""Key-value lists of many owners (spans, events, resources) as columns, and as JSON text.

Everything is done once per distinct key, or by one kernel call over all attributes; nothing loops
over owners or attributes in Python.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import parents
from retraind.normalise import nested, text

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.int32]]

NONE, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES = range(8)
_FIELDS = (
    "string_value", "bool_value", "int_value", "double_value",
    "array_value", "kvlist_value", "bytes_value",
)  # fmt: skip
_OPAQUE = {ARRAY: nested.array_json, KVLIST: nested.kvlist_json, BYTES: nested.bytes_json}


class Attributes:
    """The attributes of `owners` lists.

    Attribute i belongs to owner `owner[i]`, has key `keys[code[i]]` and a value of kind `kind[i]`.
    `invalid[i]` marks nested values that are not valid OTLP. Of equal keys of one owner the last
    counts: `kept` is None when no key came twice.
    """

    def __init__(self, lists: pa.ListArray) -> None:
        self.owners = len(lists)
        self.offsets = lists.offsets.to_numpy()
        self.owner = parents(lists)
        items = lists.flatten()
        self.count = len(items)
        encoded = items.field("key").dictionary_encode()
        self.code: Rows = encoded.indices.to_numpy()
        names, repaired_keys = text.to_text(encoded.dictionary)
        self.keys: list[str] = names.to_pylist()
        if repaired_keys:
            self._merge_repaired_keys()
        self.codes = {key: code for code, key in enumerate(self.keys)}
        self._values = dict(zip(_FIELDS, items.field("value").flatten(), strict=True))
        self.strings, repaired_values = text.to_text(self._values["string_value"])
        self.repaired = repaired_keys + repaired_values
        self.kind = self._kinds()
        self.kinds_of_key = np.bincount(
            self.code * 8 + self.kind, minlength=len(self.keys) * 8
        ).reshape(-1, 8)
        self._opaque, self._opaque_text, self.invalid = self._opaque_json()
        self._sort()

    def _merge_repaired_keys(self) -> None:
        """Two keys that differ only in invalid bytes are one key once they are repaired."""
        first = {key: len(self.keys) - 1 - i for i, key in enumerate(reversed(self.keys))}
        self.code = np.array([first[key] for key in self.keys], dtype=np.int32)[self.code]

    def _kinds(self) -> Any:
        """Kind of each value. When a sender set several, the lowest field number counts."""
        rank = np.zeros(self.count, dtype=np.uint8)
        for number, field in enumerate(_FIELDS, start=1):
            child = self._values[field]
            if child.null_count < self.count:
                valid = child.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
                np.maximum(rank, valid * np.uint8(8 - number), out=rank)
        return (8 - rank) & 7

    def _sort(self) -> None:
        """Put the attributes in the order of their keys, and find those that came twice."""
        # numpy sorts short integers by radix.
        code = self.code.astype(np.uint16) if len(self.keys) <= 65_536 else self.code
        order = np.argsort(code, kind="stable")
        self._order: Rows = order.astype(np.int32)
        counts = np.bincount(self.code, minlength=len(self.keys))
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        owner = self.owner[order]
        again = owner[1:] == owner[:-1]
        again[self._starts[1:-1] - 1] = False  # where one key ends and the next begins
        replaced = self._order[:-1][again]
        self.duplicates = len(replaced)
        self.kept: Mask | None = None
        if self.duplicates:
            self.kept = np.ones(self.count, dtype=bool)
            self.kept[replaced] = False

    def rows(self, key: str) -> Rows | None:
        """For each owner the attribute with this key, or -1; None when nobody has the key."""
        places = self.with_key(key)
        if places is None or len(places) == self.owners:
            return places
        found = np.full(self.owners, -1, dtype=np.int32)
        found[self.owner[places]] = places
        return found

    def with_key(self, key: str) -> Rows | None:
        """The attributes with this key, one an owner, by owner; None when nobody has the key."""
        code = self.codes.get(key)
        if code is None:
            return None
        places = self.places(code)
        return places if self.kept is None else places[self.kept[places]]

    def places(self, code: int) -> Rows:
        """The attributes with one key, in the order in which they were sent."""
        found: Rows = self._order[self._starts[code] : self._starts[code + 1]]
        return found

    def below(self, start: str) -> list[tuple[str, int]]:
        """(key, code) of the keys that begin so, in the order of the alphabet."""
        first = bisect_left(self._in_order, (start, -1))
        last = bisect_left(self._in_order, (start + "\U0010ffff", -1))
        return self._in_order[first:last]

    @cached_property
    def _in_order(self) -> list[tuple[str, int]]:
        return sorted(self.codes.items())

    def values(self, kind: int) -> pa.Array:
        """All values of one kind, NULL where an attribute is of another kind."""
        return self.strings if kind == STRING else self._values[_FIELDS[kind - 1]]

    def _opaque_json(self) -> tuple[pa.StringArray, Rows, Mask]:
        """JSON texts of nested and bytes values, the text of each attribute, and which are invalid.

        Each distinct value is parsed once.
        """
        texts: list[str | None] = []
        text_of = np.full(self.count, -1, dtype=np.int32)
        invalid = np.zeros(self.count, dtype=bool)
        for kind, convert in _OPAQUE.items():
            if not self.kinds_of_key[:, kind].any():
                continue
            places = np.flatnonzero(self.kind == kind)
            encoded = self.values(kind).take(pa.array(places)).dictionary_encode()
            text_of[places] = encoded.indices.to_numpy() + len(texts)
            for raw in encoded.dictionary.to_pylist():
                try:
                    texts.append(convert(raw))
                except nested.NestedValueError:
                    texts.append(None)
        if None in texts:
            bad = np.array([value is None for value in texts])
            invalid = (text_of >= 0) & bad[text_of]
        return pa.array(texts, pa.string()), text_of, invalid

    def json_values(self, selected: Rows) -> pa.StringArray:
        """JSON text of the selected attributes; the inside of the quotes for strings."""
        pieces = self.json_pieces(selected)
        return pieces[0] if len(pieces) == 1 else pc.coalesce(*pieces)

    def json_pieces(self, selected: Rows) -> list[pa.StringArray]:
        """The same as columns of which one has the text, to be joined: that spares a copy."""
        strings = self.kind[selected] == STRING
        if strings.all():
            return [text.json_escape(self.strings.take(pa.array(selected)))]
        others = self._other_json(selected[~strings])
        if not strings.any():
            return [others]
        place = np.cumsum(~strings, dtype=np.int32) - 1
        return [
            text.json_escape(self.strings.take(pa.array(selected, mask=~strings))),
            others.take(pa.array(place, mask=strings)),
        ]

    def _other_json(self, selected: Rows) -> pa.StringArray:
        """The same of attributes that are no strings."""
        present = np.bincount(self.kind[selected], minlength=8)
        index = pa.array(selected)
        columns: list[pa.Array] = []
        # In the order of the field numbers, as in _kinds.
        if present[BOOL]:
            columns.append(self.values(BOOL).take(index).cast(pa.string()))
        if present[INT]:
            columns.append(self.values(INT).take(index).cast(pa.string()))
        if present[DOUBLE]:
            columns.append(text.double_json(self.values(DOUBLE).take(index)))
        if present[list(_OPAQUE)].any():
            place = self._opaque_text[selected]
            columns.append(self._opaque.take(pa.array(place, mask=place < 0)))
        if present[NONE]:
            columns.append(pa.array(["null"]).take(pa.array(np.zeros(len(selected), np.int8))))
        return columns[0] if len(columns) == 1 else pc.coalesce(*columns)

    def json(self, excluded: Mask | None = None) -> pa.StringArray:
        """One JSON object an owner, without the excluded attributes; NULL when none are left."""
        chosen = self.kept
        if excluded is not None:
            chosen = ~excluded if chosen is None else chosen & ~excluded
        if chosen is None:
            selected, row_offsets = np.arange(self.count, dtype=np.int32), self.offsets
        else:
            selected = np.flatnonzero(chosen).astype(np.int32)
            counts = np.bincount(self.owner[selected], minlength=self.owners)
            row_offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        if len(selected) == 0:
            return pa.nulls(self.owners, pa.string())
        is_string = self.kind[selected] == STRING
        starts, ends = row_offsets[:-1], row_offsets[1:]
        filled = ends > starts
        first = np.zeros(len(selected), dtype=np.int32)
        first[starts[filled]] = 1
        last = np.zeros(len(selected), dtype=np.int8)
        last[ends[filled] - 1] = 1
        names = [text.json_string(key) for key in self.keys]
        heads = [
            f"{opening}{name}:{quote}"
            for name in names for opening in (",", "{") for quote in ("", '"')
        ]  # fmt: skip
        head = pa.array(heads, pa.string()).take(
            pa.array(self.code[selected] * 4 + first * 2 + is_string)
        )
        tail = pa.array(["", '"', "}", '"}']).take(pa.array(last * 2 + is_string))
        return text.concatenate_rows([head, *self.json_pieces(selected), tail], row_offsets)
