"""Text changes on whole Arrow columns: RE2 chooses the rows, Python changes those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BytesChange = Callable[[bytes], bytes]


def changed_where(array: pa.Array, hint: str | None, change: BytesChange) -> pa.Array:
    """Binary or string values, changed where they match `hint` (None: everywhere).

    Each distinct value is changed once. The same array when nothing changed.
    """
    if len(array) == array.null_count:
        return array
    hit = array.is_valid() if hint is None else pc.match_substring_regex(array, hint)
    rows = np.flatnonzero(pc.fill_null(hit, False).to_numpy(zero_copy_only=False))
    if len(rows) == 0:
        return array
    encoded = array.take(pa.array(rows)).dictionary_encode()
    before = [_raw(value) for value in encoded.dictionary.to_pylist()]
    after = [change(value) for value in before]
    different = np.array([a != b for a, b in zip(before, after, strict=True)])
    if not different.any():
        return array
    codes = encoded.indices.to_numpy()
    mask = np.zeros(len(array), dtype=bool)
    mask[rows[different[codes]]] = True
    values = pa.array(after, pa.binary()).cast(array.type).take(pa.array(codes[different[codes]]))
    return pc.replace_with_mask(array, pa.array(mask), values)


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def rebuilt_list(lists: pa.ListArray, values: pa.Array, kept: Any = None) -> pa.ListArray:
    """Lists over other `values`, given for `lists.flatten()`; only those that are `kept`."""
    counts = np.diff(lists.offsets.to_numpy())
    valid = lists.is_valid().to_numpy(zero_copy_only=False)
    counts = np.where(valid, counts, 0)
    if kept is not None:
        owner = np.repeat(np.arange(len(lists)), counts)
        counts = np.bincount(owner[kept], minlength=len(lists))
        values = values.filter(pa.array(kept))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    mask = None if valid.all() else pa.array(~valid)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)


def rebuilt_struct(structs: pa.StructArray, children: list[pa.Array]) -> pa.StructArray:
    """Structs with other children, NULL where they were."""
    mask = structs.is_null() if structs.null_count else None
    fields = [
        each.with_type(child.type) for each, child in zip(structs.type, children, strict=True)
    ]
    return pa.StructArray.from_arrays(children, fields=fields, mask=mask)
