"""Counts of many panes as flat arrays: summed at once, without a loop over panes or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.model import Counts
from retraind.window.columns import Ints, group, one_array, pack, starts_of_runs, sum_by, to_ints
from retraind.window.tally import HIGH_CARDINALITY

FeatureKey = tuple[str, str, str]
"""feature, version, kind."""

SUMS = ("missing", "total", "total_squares", "results", "failures")


def merge_rows(rows: pa.Table, by: Sequence[str]) -> dict[tuple[Any, ...], Counts]:
    """Sum rows of `panes` or `reference_counts` that are alike in the columns `by`.

    `by` must include `kind`; keys are tuples in its order. Cost: the number of rows and of distinct
    values in them, never of spans.
    """
    if rows.num_rows == 0:
        return {}
    group_of, keys = _group_rows(rows, by)
    columns = [sum_by(group_of, to_ints(rows[name], 0), len(keys)).tolist() for name in SUMS]
    lists = one_array(rows["counts"])
    lengths = to_ints(lists.value_lengths(), 0)
    value, texts = _flat_values(rows, lengths)
    low = int(value.min(initial=0))
    bits = (int(value.max(initial=0)) - low).bit_length()
    code = (np.repeat(group_of, lengths) << bits) | (value - low)
    code, counts = _sum_alike(code, to_ints(lists.flatten(), 0))
    values = (code & ((1 << bits) - 1)) + low
    ends = np.searchsorted(code >> bits, np.arange(len(keys)), side="right").tolist()
    merged, start = {}, 0
    for key, end, sums in zip(keys, ends, zip(*columns, strict=True), strict=True):
        kind = key[list(by).index("kind")]
        part = texts[values[start:end]] if kind == "category" else values[start:end]
        merged[key] = Counts(kind, part, counts[start:end], *sums)
        start = end
    return merged


def _group_rows(rows: pa.Table, by: Sequence[str]) -> tuple[Ints, list[tuple[Any, ...]]]:
    """Group number of each row, and the key of each group, in the order in which they come."""
    columns = [one_array(rows[name]).dictionary_encode() for name in by]
    group_of, _ = group(pack(*(to_ints(column.indices, -1) for column in columns)))
    first = pa.array(np.unique(group_of, return_index=True)[1])
    return group_of, list(zip(*(column.take(first).to_pylist() for column in columns), strict=True))


def _flat_values(rows: pa.Table, lengths: Ints) -> tuple[Ints, NDArray[Any]]:
    """The values of all rows one after the other, categories as indices into the sorted texts."""
    buckets = one_array(rows["buckets"])
    categories = one_array(rows["categories"]).flatten().dictionary_encode()
    order = to_ints(pc.sort_indices(categories.dictionary), 0)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    numeric = np.repeat(to_ints(buckets.is_valid(), 0) == 1, lengths)
    value = np.empty(len(numeric), np.int64)
    value[numeric] = to_ints(buckets.flatten(), 0)
    value[~numeric] = rank[to_ints(categories.indices, 0)]
    return value, np.array(categories.dictionary.to_pylist(), object)[order]


def _sum_alike(value: NDArray[Any], amount: Ints) -> tuple[NDArray[Any], Ints]:
    """The distinct values in order, and the sum of the amounts of each."""
    if (value[1:] > value[:-1]).all():  # one pane, or one of each group
        return value, amount
    # Stable sorting is a merge of what is sorted already, which every pane is.
    order = np.argsort(value, kind="stable")
    value = value[order]
    starts = starts_of_runs(value)
    return value[starts], np.add.reduceat(amount[order], starts)


def add_all(items: Sequence[Counts]) -> Counts:
    """The sum of counts of one kind. Raises ValueError for none, or for different kinds."""
    kinds = {item.kind for item in items}
    if len(kinds) != 1:
        raise ValueError(f"cannot add counts of kinds {sorted(kinds)}")
    values, counts = _sum_alike(
        np.concatenate([item.values for item in items]),
        np.concatenate([item.counts for item in items]),
    )
    sums = {name: sum(getattr(item, name) for item in items) for name in SUMS}
    return Counts(kinds.pop(), values, counts, **sums)


def is_high_cardinality(counts: Counts, limit: int) -> bool:
    """A category feature with more values than are kept; it is shown as such and never tested."""
    return counts.kind == "category" and (
        len(counts.values) > limit or HIGH_CARDINALITY in counts.values
    )


def to_columns(items: Sequence[Counts]) -> Mapping[str, pa.Array]:
    """Columns of `panes` and `reference_counts` that hold the counts, one row an item."""
    categories = [item.values if item.kind == "category" else None for item in items]
    buckets = [None if item.kind == "category" else item.values for item in items]
    return {
        "kind": pa.array([item.kind for item in items], pa.string()),
        "buckets": _lists(buckets, pa.int32()),
        "categories": _lists(categories, pa.string()),
        "counts": _lists([item.counts for item in items], pa.int64()),
        **{name: pa.array([getattr(item, name) for item in items], pa.int64()) for name in SUMS},
    }


def _lists(arrays: Sequence[NDArray[Any] | None], element: pa.DataType) -> pa.Array:
    """A list column of these arrays, NULL for None."""
    there = [array for array in arrays if array is not None]
    offsets = np.cumsum([0, *(0 if array is None else len(array) for array in arrays)])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(np.concatenate(there) if there else [], element),
        mask=pa.array([array is None for array in arrays]),
    )
