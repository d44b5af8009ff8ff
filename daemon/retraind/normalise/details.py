"""What log records say of their span: content that the span itself leaves out.

Two generations: one record with everything, whose attributes are those of a span; and one record a
message, whose body is the message. Each record becomes one row; the reader joins them to the span.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import Indices
from retraind.normalise import content, incomplete, messages, schema
from retraind.normalise.attributes import Attributes, Mask, Rows
from retraind.normalise.coerce import canonical_text, is_cut, is_placeholder, written
from retraind.normalise.conventions import COLUMNS
from retraind.normalise.holders import Holders
from retraind.normalise.resolve import Resolved, resolve, source_json

DETAILS = "gen_ai.client.inference.operation.details"
_RECORDS = pa.array([DETAILS, *sorted(messages.INPUT_EVENTS | messages.OUTPUT_EVENTS)])
_FILLED = [
    name
    for name in schema.SPAN_DETAILS.names
    if name
    not in ("time", "trace_id", "span_id", "event_name", "content_incomplete", "norm_source")
]
_FINISH = next(column for column in COLUMNS if column.name == "finish_reasons")

Row = dict[str, Any]


def collect(logs: pa.Table, lists: pa.ListArray, lacking: Mask) -> tuple[pa.Table, Indices]:
    """Rows of `span_details`, and for each the row of its record in `logs`.

    `lists`: the attributes of each record; `lacking`: where some were dropped. Records without ids
    of a span say nothing of any.
    """
    names = logs.column("event_name").combine_chunks()
    placed = pc.and_(pc.is_valid(logs.column("trace_id")), pc.is_valid(logs.column("span_id")))
    placed = pc.and_(placed, pc.is_in(names, _RECORDS)).to_numpy()
    whole = placed & pc.equal(names, DETAILS).to_numpy(zero_copy_only=False)
    found = [
        _of_details(logs, lists, lacking, np.flatnonzero(whole).astype(np.int32)),
        _of_messages(logs, lacking, np.flatnonzero(placed & ~whole).astype(np.int32)),
    ]
    found = [(rows, places) for rows, places in found if len(rows)]
    if not found:
        return schema.SPAN_DETAILS.empty_table(), np.empty(0, dtype=np.int32)
    return pa.concat_tables([rows for rows, _ in found]), np.concatenate(
        [places for _, places in found]
    )


def _of_details(
    logs: pa.Table, lists: pa.ListArray, lacking: Mask, places: Rows
) -> tuple[pa.Table, Indices]:
    """Rows of records whose attributes are those of a span."""
    if len(places) == 0:
        return schema.SPAN_DETAILS.empty_table(), places
    attributes = Attributes(lists.take(pa.array(places)))
    resolved = resolve(Holders(attributes, None), COLUMNS)
    content.fill(resolved, COLUMNS)
    missing = incomplete.of_columns(resolved) | lacking[places]
    _cite_records(resolved)
    columns = {name: resolved.columns[name] for name in _FILLED}
    columns["content_incomplete"] = incomplete.flags(missing)
    columns["norm_source"] = source_json(resolved.winners, attributes.owners)
    said = missing.copy()
    for name in _FILLED:
        said |= columns[name].is_valid().to_numpy(zero_copy_only=False)
    return _table(logs, places, columns, said)


def _cite_records(resolved: Resolved) -> None:
    """Sources are cited as the record's."""
    resolved.winners = [w for w in resolved.winners if w.column in _FILLED]
    for winner in resolved.winners:
        winner.keys[:] = [f"log:{DETAILS}/{key}" for key in winner.keys]


def _of_messages(logs: pa.Table, lacking: Mask, places: Rows) -> tuple[pa.Table, Indices]:
    """Rows of records that are one message each."""
    if len(places) == 0:
        return schema.SPAN_DETAILS.empty_table(), places
    records = logs.select(["event_name", "body", "attributes"]).take(pa.array(places)).to_pylist()
    rows = [_of_message(record) for record in records]
    for row, some in zip(rows, lacking[places].tolist(), strict=True):
        if some:
            row["content_incomplete"] = True
    columns = {
        name: pa.array([row.get(name) for row in rows], schema.SPAN_DETAILS.field(name).type)
        for name in (*_FILLED, "content_incomplete", "norm_source")
    }
    return _table(logs, places, columns, np.array([bool(row) for row in rows]))


def _of_message(record: Row) -> Row:
    """The columns that one message fills; none when it says nothing."""
    name = record["event_name"]
    held, body = "body", orjson.loads(record["body"]) if record["body"] else None
    if body is None or body == "":
        held, body = "attributes", orjson.loads(record["attributes"] or "{}")
    output = name in messages.OUTPUT_EVENTS
    try:
        found = messages.of_events(
            [{"name": name, "attributes": _fields(body)}], "output" if output else "input"
        )
    except RecursionError:
        return {}
    found = [message for message in found if not _is_withheld(message)]
    row = _of_output(found) if output else _of_input(found)
    source = {column: f"log:{name}/{held}" for column in row if column != "called_tools"}
    reason = body.get("finish_reason") if isinstance(body, dict) else None
    if output and isinstance(reason, str) and reason:
        row["finish_reasons"] = [canonical_text(_FINISH, _FINISH.sources[0], reason)]
        source["finish_reasons"] = f"log:{name}/{held}#/finish_reason"
    if row:
        row["norm_source"] = orjson.dumps(source).decode()
    sent = body.get("gen_ai.event.content") if isinstance(body, dict) else body
    if isinstance(sent, str) and is_cut(sent):
        row["content_incomplete"] = True
    return row


def _is_withheld(message: Row) -> bool:
    """Whether a message is nothing but the word that its sender puts for content."""
    texts = [part.get("content") for part in message["parts"]]
    return bool(texts) and all(isinstance(text, str) and is_placeholder(text) for text in texts)


def _fields(sent: Any) -> Row:
    """A body as a message; one that holds the message as its content is opened."""
    body = _without_nulls(sent)
    if not isinstance(body, dict):
        return {"content": body}
    inner = body.get("content")
    return {**body, **inner} if isinstance(inner, dict) and "parts" in inner else body


def _without_nulls(value: Any) -> Any:
    """Google's SDK sends every field that a part could have."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _of_input(found: list[Row]) -> Row:
    if not found:
        return {}
    said = messages.said(found, "input")
    user = any(message["role"] == "user" for message in found)
    row = {
        "input_messages": written(found),
        "system_instructions": said.system,
        "input_text": said.text if user else None,
    }
    return {name: value for name, value in row.items() if value is not None}


def _of_output(found: list[Row]) -> Row:
    if not found:
        return {}
    said = messages.said(found, "output")
    row = {
        "output_messages": written(found),
        "output_text": said.text,
        "called_tools": said.tools,
    }
    return {name: value for name, value in row.items() if value is not None}


def _table(logs: pa.Table, places: Rows, columns: Row, said: Any) -> tuple[pa.Table, Indices]:
    """The rows that say something."""
    index = pa.array(places)
    for name in ("time", "trace_id", "span_id", "event_name"):
        columns[name] = logs.column(name).combine_chunks().take(index)
    rows = pa.Table.from_arrays(
        [columns[name] for name in schema.SPAN_DETAILS.names], schema=schema.SPAN_DETAILS
    )
    return rows.filter(pa.array(said)), places[said]
