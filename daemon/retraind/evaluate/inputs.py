"""What one pane is made of: spans, and the evaluations of its hours with what they judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.evaluate.memory import Source
from retraind.model import HOUR_NS
from retraind.store.rows import Column, StoredRows
from retraind.window.evaluations import ALIKE_NS

CONTEXT_NS = 2 * HOUR_NS
Row = dict[str, Any]
_NAMES = ("trace_id", "span_id", "response_id", "session_id", "kind")


def pane_inputs(
    rows: StoredRows, source: Source, first: int, last: int, through: int,
    columns: Mapping[str, Column],
) -> tuple[pa.Table, pa.Table]:  # fmt: skip
    """Spans and evaluations for the panes of a source in [first, last), up to a seq.

    A call may be judged long after it was made: then all that its trace had before is read, too.
    """
    spans = rows.pane_spans(
        source.service_name, source.environment, first - CONTEXT_NS, first, last, through, columns
    )
    evaluations = rows.pane_evaluations(first - ALIKE_NS, last + ALIKE_NS, through)
    evaluations, found = _named(rows, evaluations, through)
    traces = found | _begun_before(rows, spans, evaluations, first, last, through)
    if traces:
        earlier = rows.judged_spans(
            source.service_name, source.environment, last, through, sorted(traces), columns
        )
        spans = pa.concat_tables([spans, earlier], promote_options="default")
    return spans, evaluations


def _named(rows: StoredRows, evaluations: pa.Table, through: int) -> tuple[pa.Table, set[str]]:
    """Evaluations whose span is looked up by response id, session or trace; and the traces found.

    What people say of a trace or session is about the span with which it began: it belongs to one
    hour, whatever the trace does later.
    """
    automated = pc.equal(evaluations["kind"], "automated")
    nameless = pc.or_(
        pc.is_null(evaluations["trace_id"]),
        pc.and_(pc.is_null(evaluations["span_id"]), pc.invert(automated)),
    ).to_numpy()
    if not nameless.any():
        return evaluations, set()
    places = np.flatnonzero(nameless).tolist()
    times = evaluations["time"].cast(pa.int64())
    columns = evaluations.select(_NAMES).append_column("time", times).take(pa.array(places))
    columns = columns.to_pylist()
    _by_response(rows, [each for each in columns if each["trace_id"] is None], through)
    _by_session(rows, [each for each in columns if each["trace_id"] is None], through)
    feedback = [each for each in columns if each["kind"] != "automated"]
    _by_trace(rows, [each for each in feedback if each["span_id"] is None], through)
    for name in ("trace_id", "span_id"):
        values = evaluations[name].to_pylist()
        for place, each in zip(places, columns, strict=True):
            values[place] = each[name]
        index = evaluations.column_names.index(name)
        evaluations = evaluations.set_column(index, name, pa.array(values, pa.string()))
    return evaluations, {each["trace_id"] for each in columns} - {None}


def _by_response(rows: StoredRows, nameless: list[Row], through: int) -> None:
    """Fill in the ids of the spans that gave the responses."""
    wanted = sorted({each["response_id"] for each in nameless} - {None})
    if not wanted:
        return
    found = rows.spans_of_responses(wanted, through).to_pylist()
    spans = {row["response_id"]: (row["trace_id"], row["span_id"]) for row in found}
    for each in nameless:
        if each["response_id"] in spans:
            each["trace_id"], each["span_id"] = spans[each["response_id"]]


def _by_session(rows: StoredRows, nameless: list[Row], through: int) -> None:
    """Fill in the newest traces of the sessions."""
    asked = [each for each in nameless if each["session_id"] and not each["response_id"]]
    wanted = sorted({(each["session_id"], each["time"]) for each in asked})
    if not wanted:
        return
    sessions, times = [each[0] for each in wanted], [each[1] for each in wanted]
    found = rows.traces_of_sessions(sessions, times, through).to_pylist()
    traces = {(row["session_id"], row["at"]): row["trace_id"] for row in found}
    for each in asked:
        each["trace_id"] = traces.get((each["session_id"], each["time"]))


def _by_trace(rows: StoredRows, nameless: list[Row], through: int) -> None:
    """Fill in the spans with which the traces began."""
    wanted = sorted({each["trace_id"] for each in nameless} - {None})
    if not wanted:
        return
    found = rows.first_spans(wanted, through).to_pylist()
    spans = {row["trace_id"]: row["span_id"] for row in found}
    for each in nameless:
        each["span_id"] = spans.get(each["trace_id"])


def _begun_before(
    rows: StoredRows, spans: pa.Table, evaluations: pa.Table, first: int, last: int, through: int
) -> set[str]:
    """Traces judged in [first, last) whose judged span began more than an hour before that."""
    time = evaluations["time"].cast(pa.int64())
    mine = pc.and_(pc.greater_equal(time, first), pc.less(time, last))
    mine = pc.and_(mine, pc.equal(evaluations["kind"], "automated"))
    judged = evaluations.filter(pc.and_(mine, pc.is_valid(evaluations["trace_id"])))
    recent = pc.greater_equal(spans["start_time"].cast(pa.int64()), first - HOUR_NS)
    unknown = _not_among(judged, spans.filter(recent))
    if unknown.num_rows == 0:
        return set()
    traces = sorted(set(unknown["trace_id"].to_pylist()))
    others = rows.spans_of_traces(first - HOUR_NS, last, through, traces)
    return set(_not_among(unknown, others)["trace_id"].to_pylist())


def _not_among(judged: pa.Table, spans: pa.Table) -> pa.Table:
    """The results that judge none of these spans; one that names no span judges its trace."""
    of_trace = pc.is_null(judged["span_id"])
    known = pc.if_else(
        of_trace,
        pc.is_in(judged["trace_id"], value_set=spans["trace_id"]),
        pc.is_in(_span_key(judged), value_set=_span_key(spans)),
    )
    return judged.filter(pc.invert(known))


def _span_key(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["trace_id"], table["span_id"], "/")
