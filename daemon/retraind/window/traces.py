"""Spans as arrays: each span once, its parent, its leaf inference spans, and inherited fields.

Everything that a pane needs of a span is looked up in the span's own hour and the hour before it,
never in a later one (docs/adr/0003): a parent link is followed only to a parent that did not begin
later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.model import HOUR_NS
from retraind.window.columns import (
    Bools,
    Codes,
    Ints,
    hex_ids,
    look_up,
    one_array,
    splitmix64,
    starts_of_runs,
    text_codes,
    to_ints,
)  # fmt: skip

BASE_COLUMNS = (
    "seq", "trace_id", "span_id", "parent_span_id", "start_time", "service_name", "environment",
    "operation", "request_model", "response_model", "session_id", "run_id", "variant", "part",
)  # fmt: skip
INFERENCE = ("chat", "text_completion", "embeddings", "rerank")
NOT_PRODUCTION = ("shadow", "candidate")


@dataclass(frozen=True, slots=True)
class Traces:
    """One entry a distinct span: arrays of equal length; `parent` is a position or -1."""

    table: pa.Table
    trace: Ints
    trace_ids: Any
    span_id: NDArray[np.uint64]
    start: Ints
    hour: Ints
    parent: Ints
    production: Bools
    leaf: Bools
    session: Ints
    id_codes: Ints
    distinct_ids: Any

    def hash(self, rows: Ints) -> NDArray[np.uint64]:
        """The number by which the one span of a session is chosen."""
        return splitmix64(self.span_id[rows])

    def find(self, trace: Ints, span_id: NDArray[np.uint64]) -> Ints:
        """Positions of spans by trace code and id, -1 where unknown."""
        code = to_ints(pc.index_in(pa.array(span_id), value_set=self.distinct_ids), -1)
        width = len(self.distinct_ids) + 1
        found = look_up(trace * width + code, self.trace * width + self.id_codes)
        return np.where((trace < 0) | (code < 0), -1, found)


def is_production(table: pa.Table) -> Bools:
    """Rows that may enter panes: no run_id, and not of a shadow or candidate variant."""
    run = text_codes(table["run_id"]).index < 0
    variant = text_codes(table["variant"])
    other = [i for i, text in enumerate(variant.values) if text.lower() in NOT_PRODUCTION]
    return run & ~np.isin(variant.index, other)


def load_traces(table: pa.Table) -> Traces:
    """Index spans as read from the store; of duplicates the row with the lowest seq counts."""
    ids, valid = hex_ids(table["span_id"])
    for name in ("start_time", "trace_id"):
        valid = valid & np.asarray(pc.is_valid(one_array(table[name])).to_numpy(False))
    usable = valid
    if not usable.all():
        table, ids = table.filter(pa.array(usable)), ids[usable]
    traces = one_array(table["trace_id"]).dictionary_encode()
    trace, id_codes = to_ints(traces.indices, -1), pa.array(ids).dictionary_encode()
    distinct, codes = id_codes.dictionary, to_ints(id_codes.indices, -1)
    if len(distinct) < len(ids):
        key = trace * (len(distinct) + 1) + codes
        order = np.lexsort((to_ints(table["seq"], 0), key))
        keep = np.sort(order[starts_of_runs(key[order])])
        if len(keep) < len(ids):
            table = table.take(pa.array(keep))
            trace, codes, ids = trace[keep], codes[keep], ids[keep]
    start = to_ints(table["start_time"], 0)
    hour = start // HOUR_NS
    bare = Traces(
        table, trace, traces.dictionary, ids, start, hour, np.zeros(0, np.int64),
        is_production(table), np.zeros(0, bool), np.zeros(0, np.int64), codes, distinct,
    )  # fmt: skip
    parent = _parents(bare)
    operation = text_codes(table["operation"])
    inference = np.isin(
        operation.index, [i for i, text in enumerate(operation.values) if text in INFERENCE]
    )
    inference &= ~_is_part(table, parent)
    leaf = inference & ~_has_inference_below(inference, parent, hour) & bare.production
    fields = {name: getattr(bare, name) for name in Traces.__slots__}
    linked = Traces(**{**fields, "parent": parent, "leaf": leaf})
    session = inherit(linked, text_codes(table["session_id"]))
    session = np.where(session >= 0, session, session.max(initial=-1) + 1 + trace)
    return Traces(**{**fields, "parent": parent, "leaf": leaf, "session": session})


def _parents(traces: Traces) -> Ints:
    """Position of each span's parent; -1 for none, itself, or one of a later hour."""
    ids, valid = hex_ids(traces.table["parent_span_id"])
    parent = np.full(len(ids), -1, np.int64)
    rows = np.flatnonzero(valid)
    parent[rows] = traces.find(traces.trace[rows], ids[rows])
    parent[parent == np.arange(len(parent))] = -1
    later = (parent >= 0) & (traces.hour[parent] > traces.hour)
    parent[later] = -1
    return parent


def nearest(parent: Ints, has: Bools) -> Ints:
    """Of each span, itself if `has`, else its nearest ancestor that has, else -1.

    Pointer jumping: every step doubles the distance, so a chain of d spans takes log2(d) steps; the
    bound on steps ends chains that run in a circle.
    """
    count = len(parent)
    jump = np.where(has | (parent < 0), np.arange(count), parent)
    active = np.flatnonzero(jump != np.arange(count))
    for _ in range(count.bit_length() + 1):
        following = jump[jump[active]]
        moved = following != jump[active]
        if not moved.any():
            break
        jump[active] = following
        active = active[moved]
    return np.where(has[jump], jump, -1) if count else jump


def _is_part(table: pa.Table, parent: Ints) -> Bools:
    """Spans that only announce a call that is there, or are its request: they are no calls."""
    part = text_codes(table["part"])
    codes = {text: code for code, text in enumerate(part.values)}
    announces = (part.index == codes.get("pending", -2)) & (parent >= 0)
    return np.asarray(announces | (part.index == codes.get("request", -2)))


def _has_inference_below(inference: Bools, parent: Ints, hour: Ints) -> Bools:
    up = np.where(parent >= 0, nearest(parent, inference)[parent], -1)
    below = np.flatnonzero(inference & (up >= 0) & (up != np.arange(len(up))))
    below = below[hour[below] == hour[up[below]]]
    marked = np.zeros(len(parent), bool)
    marked[up[below]] = True
    return marked


def inherit(traces: Traces, codes: Codes) -> Ints:
    """A field's codes, resolved: own value, else nearest ancestor's, else any span's of the trace.

    "Any" is the span with the lowest (start, span id) of those that carry it; -1 when none does.
    """
    has = codes.index >= 0
    if has.all() or not has.any():
        return codes.index
    near = nearest(traces.parent, has)
    near = np.where((near >= 0) & (traces.hour - traces.hour[near] <= 1), near, -1)
    value = np.where(near >= 0, codes.index[near], -1)
    todo = np.flatnonzero(value < 0)
    if len(todo):
        found = first_in_trace(traces, np.flatnonzero(has), traces.trace[todo], traces.hour[todo])
        value[todo] = np.where(found >= 0, codes.index[found], -1)
    return value


def first_in_trace(traces: Traces, carriers: Ints, trace: Ints, hour: Ints) -> Ints:
    """For each (trace, hour) the carrier with the lowest (start, span id) of that hour or the last.

    Never one of a later hour: a pane sees a trace's past, so that it does not change as the trace
    goes on. -1 where there is none.
    """
    wanted = np.zeros(len(traces.trace_ids), bool)
    wanted[trace] = True
    carriers = carriers[wanted[traces.trace[carriers]]]
    if len(carriers) == 0:
        return np.full(len(trace), -1, np.int64)
    low = min(int(traces.hour.min()), int(hour.min())) - 1
    width = max(int(traces.hour.max()), int(hour.max())) - low + 1
    place = traces.trace[carriers] * width + (traces.hour[carriers] - low)
    order = np.lexsort((traces.span_id[carriers], traces.start[carriers], place))
    first = starts_of_runs(place[order])
    firsts, places = carriers[order][first], place[order][first]
    asked = trace * width + (hour - low)
    found = np.full(len(trace), -1, np.int64)
    for shift in (0, -1):
        at = look_up(asked + shift, places)
        found = np.where(at >= 0, firsts[at], found)
    return found


def last_in_trace(traces: Traces, carriers: Ints, trace: Ints, hour: Ints) -> Ints:
    """For each (trace, hour) the carrier that began last, at most in that hour; -1 for none."""
    wanted = np.zeros(len(traces.trace_ids), bool)
    wanted[trace] = True
    carriers = carriers[wanted[traces.trace[carriers]]]
    if len(carriers) == 0:
        return np.full(len(trace), -1, np.int64)
    order = np.lexsort((traces.span_id[carriers], traces.start[carriers], traces.trace[carriers]))
    carriers = carriers[order]
    low = int(traces.hour.min()) - 1
    width = max(int(traces.hour.max()), int(hour.max())) - low + 2
    place = traces.trace[carriers] * width + (traces.hour[carriers] - low)
    asked = trace * width + np.maximum(hour - low, 0)
    at = np.searchsorted(place, asked, side="right") - 1
    found = carriers[np.maximum(at, 0)]
    return np.where((at >= 0) & (traces.trace[found] == trace), found, -1)


def leaves_below(traces: Traces, judged: Ints) -> Ints:
    """The nearest leaf inference span below each, of the same hour; -1 for none.

    Nearest: fewest links, then start, then id.
    """
    best = np.full(len(traces.trace), -1, np.int64)
    wanted = np.zeros(len(traces.trace), bool)
    wanted[judged] = True
    concerned = np.zeros(len(traces.trace_ids), bool)
    concerned[traces.trace[judged]] = True
    origin = np.flatnonzero(traces.leaf & concerned[traces.trace])
    current = origin
    for _ in range(1000):
        current = traces.parent[current]
        current, origin = current[current >= 0], origin[current >= 0]
        if len(current) == 0:
            break
        near = traces.hour[origin] == traces.hour[current]
        hit = np.flatnonzero(wanted[current] & (best[current] < 0) & near)
        at, leaf = current[hit], origin[hit]
        order = np.lexsort((traces.span_id[leaf], traces.start[leaf], at))
        firsts = order[starts_of_runs(at[order])]
        best[at[firsts]] = leaf[firsts]
    return best[judged]
