"""Text columns: UTF-8 repair, JSON escaping, number and id formats, all on whole columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise.nested import number_json

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Offsets = np.ndarray[Any, np.dtype[np.int32]]

_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)], dtype="S2").view(np.uint16)
# By how many bytes JSON's escape of a byte is longer than the byte.
_GROWTH = np.zeros(256, dtype=np.int32)
_GROWTH[:0x20] = 5
_GROWTH[[0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x22, 0x5C]] = 1


def parts(array: pa.Array) -> tuple[Offsets, Bytes]:
    """Offsets (length n + 1) and data bytes of a string or binary array, without copying."""
    _, offsets, data = array.buffers()
    if offsets is None:
        return np.zeros(len(array) + 1, dtype=np.int32), np.empty(0, dtype=np.uint8)
    first = array.offset
    view = np.frombuffer(offsets, dtype=np.int32)[first : first + len(array) + 1]
    bytes_ = np.empty(0, dtype=np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    return view, bytes_


def lengths(array: pa.Array) -> Offsets:
    """Length in bytes of each value."""
    return np.diff(parts(array)[0])


def string_array(offsets: Offsets, data: Bytes, valid: Any = None) -> pa.StringArray:
    """A string array over offsets and UTF-8 bytes; `valid` marks the rows that are not NULL."""
    buffer = None
    if valid is not None and not valid.all():
        buffer = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.StringArray.from_buffers(
        len(offsets) - 1,
        pa.py_buffer(np.ascontiguousarray(offsets, dtype=np.int32)),
        pa.py_buffer(data),
        buffer,
    )


def to_text(array: pa.Array) -> tuple[pa.StringArray, int]:
    """Binary values as text, and how many held invalid UTF-8 (replaced by U+FFFD)."""
    try:
        return array.cast(pa.string()), 0
    except pa.ArrowInvalid:
        pass
    offsets, data = parts(array)
    high = np.flatnonzero(data[: offsets[-1]] >= 0x80)
    suspects = np.unique(np.searchsorted(offsets, high, side="right") - 1)
    repaired: dict[int, str] = {}
    for index in suspects[suspects >= 0].tolist():
        raw = array[index].as_py()
        if raw is not None:
            text = raw.decode("utf-8", errors="replace")
            if text.encode() != raw:
                repaired[index] = text
    mask = np.zeros(len(array), dtype=bool)
    mask[list(repaired)] = True
    fixed = pa.array([text.encode() for text in repaired.values()], pa.binary())
    return pc.replace_with_mask(array, pa.array(mask), fixed).cast(pa.string()), len(repaired)


def hex_text(array: pa.Array, *, null_if_zero: bool = False) -> pa.StringArray:
    """Bytes as lower-case hex digits; with `null_if_zero`, empty and all-zero values are NULL."""
    offsets, data = parts(array)
    start, end = int(offsets[0]), int(offsets[-1])
    digits = _HEX[data[start:end]].view(np.uint8)
    valid = ~all_zero(array) if null_if_zero else None
    return string_array((offsets - start) * 2, digits, valid)


def all_zero(array: pa.Array) -> Any:
    """True where a value has no byte other than zero (also when it is empty)."""
    offsets, data = parts(array)
    nonzero = np.zeros(len(data) + 1, dtype=np.int32)
    np.cumsum(data != 0, out=nonzero[1:])
    return nonzero[offsets[1:]] == nonzero[offsets[:-1]]


def json_escape(array: pa.StringArray) -> pa.StringArray:
    """Texts as the inside of JSON strings: quotes, backslashes, control characters escaped.

    All texts are escaped as one, since an escape depends on nothing but its own byte.
    """
    offsets, data = parts(array)
    data = data[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    places = np.flatnonzero((data < 0x20) | (data == 0x22) | (data == 0x5C))
    if len(places) == 0:
        return array
    growth = np.append(0, np.cumsum(_GROWTH[data[places]]))
    escaped = np.frombuffer(orjson.dumps(data.tobytes().decode()), dtype=np.uint8)[1:-1]
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    return string_array(offsets + growth[np.searchsorted(places, offsets)], escaped, valid)


def json_string(value: str) -> str:
    """One text as a JSON string."""
    return orjson.dumps(value).decode()


def double_json(values: pa.DoubleArray) -> pa.StringArray:
    """Doubles as JSON: shortest text that reads back exactly, always with a point or an exponent.

    NaN and infinities, which JSON lacks, become {"doubleValue": "NaN" | "Infinity" | "-Infinity"}.
    """
    text = values.cast(pa.string())
    present = values.is_valid().to_numpy(zero_copy_only=False)
    number = values.fill_null(0.5).to_numpy(zero_copy_only=False)
    finite = np.isfinite(number)
    if not finite.all():
        number = np.where(finite, number, 0.5)
    whole = np.floor(number) == number
    if whole.any():
        # Arrow writes small whole numbers without a point; an exponent marks the larger ones.
        candidates = np.flatnonzero(whole)
        exponent = pc.match_substring(text.take(pa.array(candidates)), "e")
        whole[candidates[exponent.to_numpy(zero_copy_only=False)]] = False
        suffix = pa.array(["", ".0"]).take(pa.array(whole.astype(np.int8)))
        text = pc.binary_join_element_wise(text, suffix, "")
    if not finite.all():
        special = values.filter(pa.array(~finite & present)).to_pylist()
        texts = pa.array([number_json(value) for value in special], pa.string())
        text = pc.replace_with_mask(text, pa.array(~finite), texts)
    return text


def concatenate_rows(pieces: list[Any], row_offsets: Offsets) -> pa.StringArray:
    """Texts of rows whose consecutive elements are each the concatenation of `pieces`.

    A NULL among the pieces adds nothing.
    Row i consists of elements row_offsets[i] to row_offsets[i + 1]; a row without elements is NULL.
    Because elements lie next to each other, joining them into rows needs no copy.
    """
    elements = pc.binary_join_element_wise(*pieces, "", null_handling="replace")
    offsets, data = parts(elements)
    return string_array(offsets[row_offsets], data, np.diff(row_offsets) > 0)


def plain(array: Any) -> pa.Array:
    """One contiguous array (kernels return chunks for very large inputs)."""
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
