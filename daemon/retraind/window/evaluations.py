"""Evaluations as arrays: each once, joined to the leaf inference span that it judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retraind.model import HOUR_NS
from retraind.window.columns import (
    Codes,
    Ints,
    hex_ids,
    one_array,
    pack,
    starts_of_runs,
    text_codes,
    to_floats,
    to_ints,
)  # fmt: skip
from retraind.window.plan import EvalPlan
from retraind.window.traces import Traces, first_in_trace, is_production, leaves_below

MILLION = 1_000_000
SCORE_LIMIT = 1e4
"""Scores beyond this are counted as this, so that sums of squares in millionths fit 64 bits."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """One entry a distinct evaluation of a production call: `call` is a position in Traces."""

    call: Ints
    hour: Ints
    name: Codes
    judge: Codes
    score: NDArray[np.float64]
    passed: Ints
    waiting: int

    def verdicts(self, rows: Ints, plan: EvalPlan) -> Ints:
        """1 passed, 0 failed, -1 unknown: the row's own word, else the threshold's."""
        verdict = self.passed[rows].copy()
        if plan.threshold is not None:
            score = self.score[rows]
            good = score >= plan.threshold if plan.higher_is_better else score <= plan.threshold
            verdict = np.where((verdict < 0) & ~np.isnan(score), good.astype(np.int64), verdict)
        return verdict


def load_judgements(table: pa.Table, traces: Traces, first_hour: int, last_hour: int) -> Judgements:
    """Evaluations of the hours [first_hour, last_hour).

    Automated ones are of the hour of their own time (of the judged span's where it has none), human
    ones and labels of the hour of the judged span. Failed evaluators, offline runs and shadow or
    candidate rows are left out. `waiting` counts those whose call is not among the spans.
    """
    usable = is_production(table) & (text_codes(table["error_type"]).index < 0)
    usable &= text_codes(table["name"]).index >= 0
    trace = to_ints(
        pc.index_in(one_array(table["trace_id"]), value_set=one_array(traces.trace_ids)), -1
    )
    time = to_ints(table["time"], -1)
    kind = text_codes(table["kind"])
    automated = np.isin(
        kind.index, [i for i, text in enumerate(kind.values) if text == "automated"]
    )
    own = automated & (time >= 0)
    usable &= ~own | ((time // HOUR_NS >= first_hour) & (time // HOUR_NS < last_hour))
    call = np.full(len(trace), -1, np.int64)
    rows = np.flatnonzero(usable)
    hour = np.where(own, time // HOUR_NS, -1)
    call[rows], excluded = _calls(table, traces, trace, rows, hour)
    call_hour = traces.hour[call] if len(traces.hour) else np.full(len(call), -1, np.int64)
    # The pane of an hour sees that hour's calls and the last one's (docs/adr/0003).
    call[(hour < call_hour) | (hour - call_hour > 1)] = -1
    waiting = int((call[rows] < 0).sum()) - excluded
    kept = np.flatnonzero(usable & (call >= 0) & (hour >= first_hour) & (hour < last_hour))
    kept = _once(table, kept, trace, hour)
    return Judgements(
        call=call[kept],
        hour=hour[kept],
        name=_take(text_codes(table["name"]), kept),
        judge=_take(text_codes(table["evaluator_version"]), kept),
        score=np.clip(_scores(table)[kept], -SCORE_LIMIT, SCORE_LIMIT),
        passed=to_passed(table["passed"])[kept],
        waiting=waiting,
    )


def _calls(
    table: pa.Table, traces: Traces, trace: Ints, rows: Ints, hour: Ints
) -> tuple[Ints, int]:
    """The call that each evaluation judges, and how many judge a span that is not production.

    Sets `hour` where it is not known yet (-1): the hour of the judged span.

    It is the judged span, else the nearest leaf inference span below it, else the first of its
    trace in its hour or the last; where no span is named, in the evaluation's hour or the last.
    """
    ids, valid = hex_ids(table["span_id"])
    judged = np.where(valid[rows], traces.find(trace[rows], ids[rows]), -1)
    late = np.flatnonzero((judged >= 0) & (hour[rows] < 0))
    hour[rows[late]] = traces.hour[judged[late]]
    call = np.full(len(rows), -1, np.int64)
    known = np.flatnonzero(judged >= 0)
    excluded = known[~traces.production[judged[known]]]
    known = known[traces.production[judged[known]]]
    call[known] = np.where(traces.leaf[judged[known]], judged[known], -1)
    known = known[call[known] < 0]
    call[known] = leaves_below(traces, judged[known])
    known = known[call[known] < 0]
    leaves = np.flatnonzero(traces.leaf)
    call[known] = first_in_trace(
        traces, leaves, traces.trace[judged[known]], traces.hour[judged[known]]
    )
    unnamed = np.flatnonzero(~valid[rows] & (trace[rows] >= 0))
    if len(unnamed):
        call[unnamed] = first_in_trace(traces, leaves, trace[rows[unnamed]], hour[rows[unnamed]])
    return call, len(excluded)


def _once(table: pa.Table, rows: Ints, trace: Ints, hour: Ints) -> Ints:
    """Of evaluations alike in hour, span, name, judge, score and label, the lowest seq."""
    score = _scores(table)
    span = one_array(table["span_id"]).dictionary_encode()
    key = pack(
        trace, to_ints(span.indices, -1), np.maximum(hour, -1), text_codes(table["name"]).index,
        text_codes(table["evaluator"]).index, text_codes(table["evaluator_version"]).index,
        text_codes(table["label"]).index, _float_codes(score),
    )[rows]  # fmt: skip
    order = np.lexsort((to_passed(table["passed"])[rows], to_ints(table["seq"], 0)[rows], key))
    return rows[np.sort(order[starts_of_runs(key[order])])]


def to_passed(column: Any) -> Ints:
    """1, 0 and -1 for true, false and null."""
    return to_ints(one_array(column).cast(pa.int8()), -1)


def _scores(table: pa.Table) -> NDArray[np.float64]:
    score = to_floats(table["score"])
    return np.where(np.isfinite(score), score, np.nan)


def _float_codes(values: NDArray[np.float64]) -> Ints:
    encoded = pa.array(values, from_pandas=True).dictionary_encode()
    return to_ints(encoded.indices, -1)


def _take(codes: Codes, rows: Ints) -> Codes:
    return Codes(codes.index[rows], codes.values)
