"""Counts of many panes as flat arrays: summed at once, without a loop over panes or values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from retraind.model import Counts, FeatureKind
from retraind.window.columns import Ints, one_array, to_ints
from retraind.window.tally import HIGH_CARDINALITY

FeatureKey = tuple[str, str, str]
"""feature, version, kind."""

SUMS = ("missing", "total", "total_squares", "results", "failures")
VALUE_COLUMNS = (*SUMS[:1], "buckets", "categories", "counts", *SUMS[1:])


def merge_rows(rows: pa.Table, by: Sequence[str]) -> dict[tuple[Any, ...], Counts]:
    """Sum rows of `panes` or `reference_counts` that are alike in the columns `by`.

    `by` must include `kind`; keys are tuples in its order. Cost: the number of rows and of distinct
    values in them, never of spans.
    """
    if rows.num_rows == 0:
        return {}
    group, keys = _group_rows(rows, by)
    sums = {name: _sum_by(group, to_ints(rows[name], 0), len(keys)) for name in SUMS}
    counts = one_array(rows["counts"])
    lengths = to_ints(counts.value_lengths(), 0)
    owner, amount = np.repeat(group, lengths), to_ints(counts.flatten(), 0)
    kinds = np.array([key[list(by).index("kind")] == "category" for key in keys])
    values: list[tuple[Any, ...]] = [()] * len(keys)
    amounts: list[tuple[int, ...]] = [()] * len(keys)
    categorical = kinds[owner]
    buckets = to_ints(one_array(rows["buckets"]).flatten(), 0)
    texts = one_array(rows["categories"]).flatten().dictionary_encode()
    names = texts.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    labels = np.array([names[i] for i in order], dtype=object)
    for mask, value in ((~categorical, buckets), (categorical, rank[to_ints(texts.indices, 0)])):
        for code, unique, total in _merge(owner[mask], value, amount[mask]):
            found = labels[unique] if kinds[code] else unique
            values[code], amounts[code] = tuple(found.tolist()), tuple(total.tolist())
    return {
        key: Counts(
            cast(FeatureKind, key[list(by).index("kind")]), values[i], amounts[i],
            **{name: int(total[i]) for name, total in sums.items()},
        )
        for i, key in enumerate(keys)
    }  # fmt: skip


def _group_rows(rows: pa.Table, by: Sequence[str]) -> tuple[Ints, list[tuple[Any, ...]]]:
    """Group number of each row, and the key of each group, sorted."""
    keyed = rows.select(list(by)).append_column("_row", pa.array(np.arange(rows.num_rows)))
    groups = keyed.group_by(list(by)).aggregate([("_row", "list")])
    columns = [groups[name].to_pylist() for name in by]
    keys = list(zip(*columns, strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    members = groups["_row_list"].combine_chunks().take(pa.array(order, pa.int64()))
    group = np.empty(rows.num_rows, np.int64)
    group[to_ints(members.flatten(), 0)] = np.repeat(
        np.arange(len(keys)), to_ints(members.value_lengths(), 0)
    )
    return group, [keys[i] for i in order]


def _sum_by(group: Ints, values: Ints, groups: int) -> Ints:
    sums = np.zeros(groups, np.int64)
    np.add.at(sums, group, values)
    return sums


def _merge(owner: Ints, value: Ints, amount: Ints) -> Iterable[tuple[int, Ints, Ints]]:
    """For each owner: its distinct values in order, and the sum of their amounts."""
    if len(owner) == 0:
        return
    low = int(value.min())
    width = int(value.max()) - low + 1
    key, inverse = np.unique(owner * width + (value - low), return_inverse=True)
    totals = _sum_by(inverse, amount, len(key))
    owners, starts = np.unique(key // width, return_index=True)
    for code, start, end in zip(owners, starts, [*starts[1:], len(key)], strict=True):
        yield int(code), key[start:end] % width + low, totals[start:end]


def add_all(items: Sequence[Counts]) -> Counts:
    """The sum of counts of one kind. Raises ValueError for none, or for different kinds."""
    kinds = {item.kind for item in items}
    if len(kinds) != 1:
        raise ValueError(f"cannot add counts of kinds {sorted(kinds)}")
    kind = items[0].kind
    sums = {name: sum(getattr(item, name) for item in items) for name in SUMS}
    values: tuple[Any, ...]
    if kind == "category":
        texts: Counter[str] = Counter()
        for item in items:
            for text, count in zip(item.values, item.counts, strict=True):
                texts[text] += count
        values = tuple(sorted(texts))
        return Counts(kind, values, tuple(texts[text] for text in values), **sums)
    each = np.array([value for item in items for value in item.values], np.int64)
    amount = np.array([value for item in items for value in item.counts], np.int64)
    unique, inverse = np.unique(each, return_inverse=True)
    totals = _sum_by(inverse, amount, len(unique))
    return Counts(kind, tuple(unique.tolist()), tuple(totals.tolist()), **sums)


def is_high_cardinality(counts: Counts, limit: int) -> bool:
    """A category feature with more values than are kept; it is shown as such and never tested."""
    return counts.kind == "category" and (
        len(counts.values) > limit or HIGH_CARDINALITY in counts.values
    )


def to_columns(items: Sequence[Counts]) -> Mapping[str, pa.Array]:
    """`kind` and VALUE_COLUMNS of `panes` and `reference_counts`, one row an item."""
    columns: dict[str, pa.Array] = {"kind": pa.array([item.kind for item in items], pa.string())}
    for name in VALUE_COLUMNS:
        if name == "buckets":
            lists = [None if item.kind == "category" else item.values for item in items]
            columns[name] = pa.array(lists, pa.list_(pa.int32()))
        elif name == "categories":
            lists = [item.values if item.kind == "category" else None for item in items]
            columns[name] = pa.array(lists, pa.list_(pa.string()))
        elif name == "counts":
            columns[name] = pa.array([item.counts for item in items], pa.list_(pa.int64()))
        else:
            columns[name] = pa.array([getattr(item, name) for item in items], pa.int64())
    return columns
