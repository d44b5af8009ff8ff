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
    Bools,
    Codes,
    Ints,
    group,
    hex_ids,
    least_around,
    one_array,
    pack,
    text_codes,
    to_floats,
    to_ints,
)  # fmt: skip
from retraind.window.plan import EvalPlan
from retraind.window.traces import (
    Traces,
    first_in_trace,
    is_production,
    last_in_trace,
    leaves_below,
)  # fmt: skip

MILLION = 1_000_000
ALIKE_NS = 300_000_000_000
CARRIERS = ("log", "event", "attribute", "span")
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
    candidate rows are left out. `waiting` counts those whose call is not among the spans. A call
    may have been made any time before its evaluation.
    """
    usable = is_production(table) & (text_codes(table["error_type"]).index < 0)
    usable &= text_codes(table["name"]).index >= 0
    trace = to_ints(
        pc.index_in(one_array(table["trace_id"]), value_set=one_array(traces.trace_ids)), -1
    )
    usable[usable] = first_of_each(table, trace, np.flatnonzero(usable))
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
    call[hour < call_hour] = -1
    waiting = int((call[rows] < 0).sum()) - excluded
    kept = np.flatnonzero(usable & (call >= 0) & (hour >= first_hour) & (hour < last_hour))
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
    trace in its hour or the last. Where no span is named, the first in the evaluation's hour or the
    last, else the last before. The call below an evaluator's span is the judge's own.
    """
    ids, valid = hex_ids(table["span_id"])
    judged = np.where(valid[rows], traces.find(trace[rows], ids[rows]), -1)
    late = np.flatnonzero((judged >= 0) & (hour[rows] < 0))
    hour[rows[late]] = traces.hour[judged[late]]
    call = np.full(len(rows), -1, np.int64)
    known = np.flatnonzero(judged >= 0)
    fit = traces.production & ~_is_evaluator(traces)
    excluded = known[~fit[judged[known]]]
    known = known[fit[judged[known]]]
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
        asked = trace[rows[unnamed]], hour[rows[unnamed]]
        near = first_in_trace(traces, leaves, *asked)
        call[unnamed] = np.where(near >= 0, near, last_in_trace(traces, leaves, *asked))
    return call, len(excluded)


def _is_evaluator(traces: Traces) -> Bools:
    operation = text_codes(traces.table["operation"])
    code = operation.values.index("evaluator") if "evaluator" in operation.values else -2
    return np.asarray(operation.index == code)


def first_of_each(table: pa.Table, trace: Ints, rows: Ints) -> Bools:
    """Which of these rows are the first of those alike, within five minutes of one another.

    Alike: of one span, name, judge, score and label, as tracing brings a result on several carriers
    or again; the log's comes before the event's before the attribute's. An idempotency key says by
    itself what is alike, at any time. The same rule as the view of evaluations has.
    """
    carrier = _carriers(table)[rows]
    time = to_ints(table["time"], -1)[rows]
    keyed = text_codes(table["idempotency_key"]).index[rows]
    span = one_array(table["span_id"]).dictionary_encode()
    same = [trace, to_ints(span.indices, -1), text_codes(table["name"]).index]
    judgement = [
        text_codes(table["evaluator"]).index, text_codes(table["evaluator_version"]).index,
        text_codes(table["label"]).index, _float_codes(_scores(table)),
    ]  # fmt: skip
    values = np.where(keyed >= 0, -1, pack(*(code[rows] for code in judgement)))
    apart = np.where(carrier < 0, np.arange(len(rows)), -1)
    known = ((time >= 0) & (keyed < 0)).astype(np.int64)
    key = pack(*(code[rows] for code in same), keyed, values, apart, known)
    seq = to_ints(table["seq"], 0)[rows]
    rank = np.empty(len(rows), np.int64)
    rank[np.lexsort((seq, carrier))] = np.arange(len(rows))
    place = np.where(known == 1, time, 0)
    order = np.lexsort((place, key))
    best = np.empty(len(rows), np.int64)
    best[order] = least_around(rank[order], group(key[order])[0], place[order], ALIKE_NS)
    return np.asarray(best == rank)


def _carriers(table: pa.Table) -> Ints:
    """Place of each row's carrier in CARRIERS, -1 for rows that tracing did not bring."""
    source = text_codes(table["source"])
    place = {name: i for i, name in enumerate(CARRIERS)}
    of_source = [place.get(text.partition(":")[0], -1) for text in source.values]
    return np.array([*of_source, -1], np.int64)[source.index]


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
