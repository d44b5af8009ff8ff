"""One value a session, counted: rows of `panes` for all panes of one feature at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.window.buckets import NO_BUCKET, bucket
from retraind.window.columns import Codes, Ints, starts_of_runs, sum_by
from retraind.window.evaluations import MILLION

HIGH_CARDINALITY = "__high_cardinality__"
ROW_COLUMNS = (
    "sessions", "missing", "buckets", "categories", "counts",
    "total", "total_squares", "results", "failures",
)  # fmt: skip
_OFFSET = np.int64(2**31)


def choose(group: Ints, hashes: NDArray[np.uint64], tie: Ints) -> Ints:
    """Positions of the entry with the smallest hash of each group (then the smallest tie)."""
    order = np.lexsort((tie, hashes, group))
    return order[starts_of_runs(group[order])]


def _sparse(pane: Ints, value: Ints, panes: int) -> tuple[Ints, Ints, Ints]:
    """Offsets by pane, sorted values, and how often each occurs. Values fit 32 bits."""
    key, counts = np.unique((pane << np.int64(32)) | (value + _OFFSET), return_counts=True)
    offsets = np.searchsorted(key >> np.int64(32), np.arange(panes + 1))
    return offsets, (key & np.int64(0xFFFFFFFF)) - _OFFSET, counts


def _rows(
    sessions: Ints,
    offsets: Ints,
    counts: Ints,
    *,
    buckets: Ints | None = None,
    categories: pa.Array | None = None,
    **sums: Ints,
) -> pa.Table:
    """Rows with the columns ROW_COLUMNS, one a pane."""
    ends = pa.array(offsets, pa.int32())
    nothing = np.zeros(len(sessions), np.int64)
    columns = {name: pa.array(sums.get(name, nothing)) for name in ROW_COLUMNS}
    columns["sessions"] = pa.array(sessions)
    columns["buckets"] = pa.nulls(len(sessions), pa.list_(pa.int32()))
    columns["categories"] = pa.nulls(len(sessions), pa.list_(pa.string()))
    if buckets is not None:
        columns["buckets"] = pa.ListArray.from_arrays(ends, pa.array(buckets, pa.int32()))
    if categories is not None:
        columns["categories"] = pa.ListArray.from_arrays(ends, categories)
    columns["counts"] = pa.ListArray.from_arrays(ends, pa.array(counts, pa.int64()))
    return pa.table(columns)


def tally_numbers(pane: Ints, values: NDArray[np.float64], sessions: Ints) -> pa.Table:
    """Sessions per log bucket; sessions without a finite value are missing."""
    index = bucket(values)
    usable = index != NO_BUCKET
    pane, index = pane[usable], index[usable]
    offsets, values_, counts = _sparse(pane, index.astype(np.int64), len(sessions))
    missing = sessions - np.bincount(pane, minlength=len(sessions))
    return _rows(sessions, offsets, counts, buckets=values_, missing=missing)


def tally_categories(pane: Ints, codes: Codes, sessions: Ints, limit: int) -> pa.Table:
    """Sessions per category, sorted by text; a pane with more than `limit` has only the marker."""
    present = np.unique(codes.index)
    texts = sorted(codes.values[i] for i in present)
    position = {text: i for i, text in enumerate(texts)}
    rank = np.zeros(len(codes.values), np.int64)
    rank[present] = [position[codes.values[i]] for i in present]
    values = rank[codes.index]
    n = np.bincount(pane, minlength=len(sessions))
    offsets, _, _ = _sparse(pane, values, len(sessions))
    over = np.diff(offsets) > limit
    values = np.where(over[pane], len(texts), values)
    offsets, ranks, counts = _sparse(pane, values, len(sessions))
    labels = pa.array([*texts, HIGH_CARDINALITY], pa.string()).take(pa.array(ranks))
    return _rows(sessions, offsets, counts, categories=labels, missing=sessions - n)


def tally_scores(pane: Ints, total: Ints, count: Ints, panes: int) -> pa.Table:
    """Session means of scores; `total` millionths of `count` scores, one entry a session."""
    mean = _rounded(total, count)
    index = bucket(mean / MILLION).astype(np.int64)
    offsets, values, counts = _sparse(pane, index, panes)
    n = np.bincount(pane, minlength=panes)
    return _rows(
        n, offsets, counts, buckets=values,
        total=sum_by(pane, mean, panes), total_squares=sum_by(pane, _squares(mean), panes),
    )  # fmt: skip


def tally_rates(pane: Ints, failed: Ints, judged: Ints, panes: int) -> pa.Table:
    """Session shares of failed evaluations in millionths, one entry a session."""
    share = _rounded(failed * MILLION, judged)
    offsets, values, counts = _sparse(pane, share, panes)
    n = np.bincount(pane, minlength=panes)
    return _rows(
        n, offsets, counts, buckets=values,
        total=sum_by(pane, share, panes), total_squares=sum_by(pane, _squares(share), panes),
        results=sum_by(pane, judged, panes), failures=sum_by(pane, failed, panes),
    )  # fmt: skip


def _rounded(total: Ints, count: Ints) -> Ints:
    """total / count to the nearest integer, halves up: exact, unlike a sum of floats."""
    return (2 * total + count) // (2 * count)


def _squares(millionths: Ints) -> Ints:
    """The square in millionths of a number in millionths."""
    return np.rint((millionths / 1000.0) ** 2).astype(np.int64)
