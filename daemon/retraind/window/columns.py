"""Arrow columns as numpy arrays of codes, identifiers and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

LABEL_CHARACTERS = 128
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
_NIBBLES[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16, dtype=np.uint8)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Codes:
    """Texts as indices into `values`; -1 where absent or empty."""

    index: Ints
    values: list[str]

    def text(self, code: int) -> str:
        """The text of a code; empty for -1."""
        return self.values[code] if code >= 0 else ""


def one_array(column: Any) -> Any:
    """The column as a single array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def text_codes(column: Any) -> Codes:
    """Dictionary codes of a column as text, each text cut at 128 characters."""
    array = one_array(column)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    raw = pc.cast(array.dictionary, pa.string())
    texts = pc.utf8_slice_codeunits(raw, 0, LABEL_CHARACTERS).dictionary_encode()
    values = texts.dictionary.to_pylist()
    remap = np.append(to_ints(texts.indices, -1), -1)
    if "" in values:
        remap[remap == values.index("")] = -1
    return Codes(remap[to_ints(array.indices, -1)], values)


def to_ints(array: Any, null: int) -> Ints:
    """An integer, boolean or timestamp array as int64, nulls replaced."""
    array = one_array(array)
    if pa.types.is_timestamp(array.type):
        array = pc.cast(array, pa.timestamp("ns")).cast(pa.int64())
    if array.null_count:
        array = pc.fill_null(array, null if not pa.types.is_boolean(array.type) else bool(null))
    return np.asarray(array.to_numpy(zero_copy_only=False)).astype(np.int64, copy=False)


def to_floats(column: Any) -> NDArray[np.float64]:
    """A column as float64, NaN where null or not a number; texts that read as a number count."""
    array = one_array(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        numeric = pc.match_substring_regex(array, _NUMBER)
        array = pc.if_else(numeric, pc.utf8_trim_whitespace(array), None)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    floats = array.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(floats, float("nan")).to_numpy(zero_copy_only=False))


def hex_ids(column: Any) -> tuple[NDArray[np.uint64], Bools]:
    """16-digit hex ids as uint64, and where they are valid."""
    array = one_array(column).cast(pa.large_binary())
    valid = np.asarray(
        pc.fill_null(pc.equal(pc.binary_length(array), 16), False).to_numpy(zero_copy_only=False)
    )
    ids = np.zeros(len(array), np.uint64)
    usable = array if valid.all() else array.filter(pa.array(valid))
    if len(usable) == 0:
        return ids, valid
    first = np.frombuffer(usable.buffers()[1], np.int64)[usable.offset]
    data = np.frombuffer(usable.buffers()[2], np.uint8)[first : first + 16 * len(usable)]
    digits = _NIBBLES[data].reshape(-1, 16)
    pairs = (digits[:, 0::2] << 4) | (digits[:, 1::2] & 15)
    ids[valid] = np.ascontiguousarray(pairs).view(">u8").reshape(-1).astype(np.uint64)
    bad = (digits == 255).any(axis=1)
    if bad.any():
        valid[np.flatnonzero(valid)[bad]] = False
    return ids, valid


def splitmix64(ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit integers."""
    z = ids + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def pack(*codes: Ints) -> Ints:
    """One int64 per row that is equal exactly where all codes (each >= -1) are equal."""
    packed, size = np.zeros(len(codes[0]), np.int64), 1
    for code in codes:
        width = int(code.max(initial=-1)) + 2
        if size * width >= 2**62:
            packed, unique = group(packed)
            size = len(unique)
        packed = packed * width + (code + 1)
        size *= width
    return packed


def group(key: Ints) -> tuple[Ints, Ints]:
    """Dense code of each key, and the keys in the order of the codes (first occurrence first)."""
    encoded = pa.array(key).dictionary_encode()
    return to_ints(encoded.indices, -1), encoded.dictionary.to_numpy(zero_copy_only=False)


def look_up(keys: Ints, among: Ints) -> Ints:
    """Position of each key in `among` (unique), -1 where it is not there."""
    return to_ints(pc.index_in(pa.array(keys), value_set=pa.array(among)), -1)


def sum_by(group: Ints, values: Ints, groups: int) -> Ints:
    """Exact sum of the values of each group, shape (groups,)."""
    sums = np.zeros(groups, np.int64)
    np.add.at(sums, group, values)
    return sums


def starts_of_runs(key: NDArray[Any]) -> Ints:
    """Positions at which a sorted key changes, the first included."""
    if len(key) == 0:
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))


def least_around(values: Ints, group: Ints, place: Ints, reach: int) -> Ints:
    """For each row the least value among those of its group that lie within `reach` of its place.

    Rows come sorted by group and place, groups numbered in that order. Doubles the width of known
    minima, and answers each row from the two widest that cover what it reaches.
    """
    if len(values) == 0:
        return values
    first = _rows_before(group, place, place - reach, below=True)
    last = _rows_before(group, place, place + reach, below=False) - 1
    size, found, table, width = last - first + 1, values.copy(), values, 1
    while True:
        mine = (size >= width) & (size < 2 * width)
        left, right = table[first[mine]], table[last[mine] - width + 1]
        found[mine] = np.minimum(left, right)
        if not (size >= 2 * width).any():
            return found
        table = np.minimum(table[:-width], table[width:])
        width *= 2


def _rows_before(group: Ints, place: Ints, asked: Ints, *, below: bool) -> Ints:
    """For each row how many rows lie before the place it asks for (`below`), or up to it."""
    rows = len(group)
    after = np.repeat([1, 0] if below else [0, 1], rows)
    order = np.lexsort((after, np.concatenate((place, asked)), np.concatenate((group, group))))
    asks = order >= rows
    found = np.empty(rows, np.int64)
    found[order[asks] - rows] = np.cumsum(~asks)[asks]
    return found
