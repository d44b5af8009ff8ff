"""Evaluation results carried by spans: as events, as attributes, or as spans of their own.

The keys are data: evaluations.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import Indices
from retraind.normalise import judged_items, schema
from retraind.normalise.attributes import BOOL, DOUBLE, INT, STRING, Attributes, Rows
from retraind.normalise.carriers import EVENT_NAMES, MARKS, NAME_KEYS
from retraind.normalise.conventions import EVALUATIONS
from retraind.normalise.events import Events, Links
from retraind.normalise.holders import Holders
from retraind.normalise.resolve import resolve
from retraind.normalise.verdicts import kind_column, label_column, passed_column

_NO_MARK = -1


def collect(
    spans: pa.Table, items: pa.StructArray, holders: Holders, events: Events, links: Links
) -> tuple[pa.Table, Indices]:
    """Rows of `evaluations`, and for each the row of its span in `spans`."""
    attributes = holders.attributes
    found: list[tuple[pa.Table, Indices]] = []
    ends = items.field("end_time_unix_nano")
    if may_have_results(events.attributes):
        named = pc.is_in(events.names, pa.array(sorted(EVENT_NAMES)))
        owners = np.flatnonzero(named.to_numpy(zero_copy_only=False)).astype(np.int32)
        scopes = spans.column("scope_name").combine_chunks().take(pa.array(events.span))
        results = keyed(Holders(events.attributes, None), owners, scopes, "event")
        span = events.span[results.owners]
        times = events.items.field("time_unix_nano").take(pa.array(results.owners))
        found.append((_rows(results, spans, span, times), span))
    if may_have_results(attributes):
        own = np.arange(attributes.owners, dtype=np.int32)
        results = keyed(holders, own, spans.column("scope_name").combine_chunks(), "attribute")
        _take_named_values(results, attributes)
        _only_own_errors(results)
        span = results.owners
        rows = _rows(results, spans, span, ends.take(pa.array(span)))
        if found and len(rows):
            fresh = ~np.isin(_identity(rows, span), _identity(*found[0]))
            rows, span = rows.filter(pa.array(fresh)), span[fresh]
        found.append((rows, span))
    listed = judged_items.collect(spans, ends, holders, links)
    if listed is not None:
        found.append(listed)
    found = [(rows, span) for rows, span in found if len(rows)]
    if not found:
        return schema.EVALUATIONS.empty_table(), np.empty(0, dtype=np.int32)
    return pa.concat_tables([rows for rows, _ in found]), np.concatenate(
        [span for _, span in found]
    )


def may_have_results(attributes: Attributes) -> bool:
    """Whether any key names an evaluation."""
    return not NAME_KEYS.isdisjoint(attributes.codes)


@dataclass(slots=True)
class Keyed:
    """Results that are a set of attributes each: their columns, owners, and places in MARKS."""

    columns: dict[str, Any]
    owners: Rows
    marks: Rows

    def where(self, name: str, value: Any) -> Any:
        """Results whose mark has this value."""
        places = [i for i, mark in enumerate(MARKS) if getattr(mark, name) == value]
        return np.isin(self.marks, places)


def keyed(holders: Holders, owners: Rows, scopes: pa.StringArray, carrier: str) -> Keyed:
    """The results among these owners of attributes: those that have a name."""
    columns = resolve(holders, EVALUATIONS).columns
    named = columns["name"].is_valid().to_numpy(zero_copy_only=False)
    owners = owners[named[owners]]
    index = pa.array(owners)
    marks = _marks(holders.attributes, scopes)[owners]
    found = Keyed({name: values.take(index) for name, values in columns.items()}, owners, marks)
    found.columns["label"] = label_column(found.columns["label"])
    found.columns["kind"] = kind_column(found.columns["kind"], found.columns["name"])
    of_parent = "span" if carrier == "attribute" else carrier
    sources = [
        f"{of_parent if mark.judged == 'parent' else carrier}:{mark.convention}" for mark in MARKS
    ]
    sources.append(f"{carrier}:otel_genai")
    found.columns["source"] = pa.array(sources).take(pa.array(marks % len(sources)))
    return found


def _marks(attributes: Attributes, scopes: pa.StringArray) -> Rows:
    """The first mark of each owner, -1 for none."""
    found = np.full(attributes.owners, _NO_MARK, dtype=np.int32)
    encoded = scopes.dictionary_encode()
    scope = encoded.indices.fill_null(-1).to_numpy()
    names = encoded.dictionary.to_pylist()
    for place, mark in reversed(list(enumerate(MARKS))):
        hit = np.isin(scope, [i for i, name in enumerate(names) if name.startswith(mark.scopes)])
        for key in mark.keys:
            rows = attributes.rows(key)
            if rows is not None:
                hit |= rows >= 0
        found[hit] = place
    return found


def _take_named_values(results: Keyed, attributes: Attributes) -> None:
    """Logfire's feedback is the attribute that its name names: a flag, a number or a label."""
    at = np.flatnonzero(results.where("convention", "logfire"))
    if len(at) == 0:
        return
    columns = {name: results.columns[name].to_pylist() for name in ("score", "label", "passed")}
    names = results.columns["name"].to_pylist()
    kinds = results.columns["kind"].to_pylist()
    for i in at.tolist():
        kinds[i] = "human"
        rows = attributes.rows(names[i])
        place = -1 if rows is None else int(rows[results.owners[i]])
        if place < 0:
            continue
        kind = int(attributes.kind[place])
        value: Any = attributes.values(kind)[place].as_py() if kind in _PLAIN else None
        if kind == BOOL:
            columns["score"][i], columns["passed"][i] = float(value), value
        elif kind in (INT, DOUBLE):
            columns["score"][i] = float(value)
        elif kind == STRING:
            columns["label"][i] = attributes.strings[place].as_py()
    results.columns["kind"] = pa.array(kinds, pa.string())
    for name, values in columns.items():
        results.columns[name] = pa.array(values, results.columns[name].type)


_PLAIN = (BOOL, INT, DOUBLE)


def _only_own_errors(results: Keyed) -> None:
    """A judged span that failed is no evaluator that failed, which gives no result."""
    columns = results.columns
    given = pc.or_(pc.is_valid(columns["score"]), pc.is_valid(columns["label"]))
    given = pc.or_(given, pc.is_valid(columns["passed"]))
    columns["error_type"] = pc.if_else(given, pa.scalar(None, pa.string()), columns["error_type"])


def _rows(results: Keyed, spans: pa.Table, span: Indices, times: pa.Array) -> pa.Table:
    """Rows of results of these spans."""
    index = pa.array(span)

    def of_span(name: str) -> pa.Array:
        return spans.column(name).combine_chunks().take(index)

    columns = results.columns
    upward = pa.array(results.where("judged", "parent"))
    own = pc.coalesce(columns["judged_span"], of_span("span_id"))
    columns["span_id"] = pc.if_else(upward, pc.coalesce(of_span("parent_span_id"), own), own)
    columns["trace_id"] = of_span("trace_id")
    columns["run_id"], columns["variant"] = of_span("run_id"), of_span("variant")
    columns["response_id"] = pc.coalesce(
        columns["response_id"],
        pc.if_else(upward, pa.scalar(None, pa.string()), of_span("response_id")),
    )
    return finished(results, times)


def finished(results: Keyed, times: pa.Array) -> pa.Table:
    """The table of results whose ids, run and variant are known. `times`: ns, 0 for none."""
    columns, count = results.columns, len(results.owners)
    columns["time"] = stamps(times)
    columns["passed"] = passed_column(
        columns["passed"], columns["verdict"], columns["name"], columns["label"],
        columns["error_type"],
    )  # fmt: skip
    offline = pa.array(results.where("offline", True))
    run = pc.coalesce(columns["run_id"], columns["trace_id"])
    columns["run_id"] = pc.if_else(offline, run, columns["run_id"])
    columns["session_id"] = columns["correction"] = pa.nulls(count, pa.string())  # feedback's
    names = schema.EVALUATIONS.names
    return pa.Table.from_arrays([columns[name] for name in names], schema=schema.EVALUATIONS)


def stamps(nanoseconds: pa.Array) -> pa.Array:
    """Times, NULL where not set or out of range."""
    values = nanoseconds.to_numpy(zero_copy_only=False).view(np.int64)
    return pa.array(values, mask=values <= 0).view(pa.timestamp("ns"))


def _identity(rows: pa.Table, span: Indices) -> Any:
    """What makes two results of one span the same: name, score and label."""
    parts = [pa.array(span).cast(pa.string())]
    parts += [
        rows.column(name).combine_chunks().cast(pa.string()) for name in ("name", "score", "label")
    ]
    joined = pc.binary_join_element_wise(
        *parts, "\x1f", null_handling="replace", null_replacement="\x00"
    )
    return joined.to_numpy(zero_copy_only=False).astype(str)
