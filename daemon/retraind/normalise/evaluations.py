"""Evaluation results carried by spans: as events, or as attributes of the judged span."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import Indices
from retraind.normalise import schema
from retraind.normalise.attributes import Attributes
from retraind.normalise.conventions import EVALUATIONS, FAILED, PASSED
from retraind.normalise.events import Events
from retraind.normalise.resolve import resolve

EVENT_NAME = "gen_ai.evaluation.result"
NAME_KEY = "gen_ai.evaluation.name"


def collect(
    spans: pa.Table, items: pa.StructArray, attributes: Attributes, events: Events
) -> tuple[pa.Table, Indices]:
    """Rows of `evaluations`, and for each the row of its span in `spans`."""
    found: list[tuple[pa.Table, Indices]] = []
    if events.attributes.rows(NAME_KEY) is not None:
        is_result = pc.equal(events.names, EVENT_NAME).to_numpy(zero_copy_only=False)
        owners = np.flatnonzero(is_result).astype(np.int32)
        found.append(
            _table(
                spans, events.attributes, owners, events.span,
                events.items.field("time_unix_nano"), f"event:{EVENT_NAME}",
            )
        )  # fmt: skip
    if attributes.rows(NAME_KEY) is not None:
        own = np.arange(attributes.owners, dtype=np.int32)
        rows, span = _table(
            spans, attributes, own, own,
            items.field("end_time_unix_nano"), "attribute:gen_ai.evaluation",
        )  # fmt: skip
        if found and len(rows):
            fresh = ~np.isin(_identity(rows, span), _identity(*found[0]))
            rows, span = rows.filter(pa.array(fresh)), span[fresh]
        found.append((rows, span))
    if not found:
        return schema.EVALUATIONS.empty_table(), np.empty(0, dtype=np.int32)
    return pa.concat_tables([rows for rows, _ in found]), np.concatenate(
        [span for _, span in found]
    )


def _table(
    spans: pa.Table,
    attributes: Attributes,
    owners: Indices,
    span_of_owner: Indices,
    nanoseconds: pa.Array,
    source: str,
) -> tuple[pa.Table, Indices]:
    """Results among `owners` that have a name."""
    columns = resolve(attributes, EVALUATIONS).columns
    named = columns["name"].is_valid().to_numpy(zero_copy_only=False)
    owners = owners[named[owners]]
    index = None if len(owners) == attributes.owners else pa.array(owners)
    span = span_of_owner[owners]
    one_a_span = len(span) == len(spans) and bool((span == np.arange(len(span))).all())
    of_span = None if one_a_span else pa.array(span)

    def pick(values: pa.Array) -> pa.Array:
        return values if index is None else values.take(index)

    def of_judged(name: str) -> pa.Array:
        values = spans.column(name).combine_chunks()
        return values if of_span is None else values.take(of_span)

    result: dict[str, Any] = {name: pick(values) for name, values in columns.items()}
    result["passed"] = pc.coalesce(result["passed"], _passed(result["label"]))
    result["kind"] = pc.fill_null(result["kind"], "automated")
    time = pick(nanoseconds).to_numpy()
    stamps = time.view(np.int64)
    result["time"] = pa.array(stamps, mask=stamps <= 0).view(pa.timestamp("ns"))
    for name in ("trace_id", "span_id", "run_id", "variant"):
        result[name] = of_judged(name)
    result["response_id"] = pc.coalesce(result["response_id"], of_judged("response_id"))
    result["source"] = pa.array([source]).take(pa.array(np.zeros(len(owners), np.int8)))
    result["session_id"] = result["correction"] = pa.nulls(len(owners), pa.string())  # feedback's
    names = schema.EVALUATIONS.names
    return pa.Table.from_arrays([result[name] for name in names], schema=schema.EVALUATIONS), span


def _passed(labels: pa.StringArray) -> pa.Array:
    """True or false where the label says so."""
    encoded = labels.dictionary_encode()
    verdicts = [
        True
        if label.strip().lower() in PASSED
        else False
        if label.strip().lower() in FAILED
        else None
        for label in encoded.dictionary.to_pylist()
    ]
    return pa.array(verdicts, pa.bool_()).take(encoded.indices)


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
