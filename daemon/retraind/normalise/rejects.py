"""Spans and log records that cannot be stored: why, and what they looked like."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from retraind.decode.columnar import DecodedItems, Indices
from retraind.normalise import schema, text
from retraind.normalise.attributes import Attributes, Mask
from retraind.normalise.events import Events, Links

REASONS = (
    "", "invalid_trace_id", "invalid_span_id", "timestamp", "attribute_limit", "encoding",
)  # fmt: skip
FINE, TRACE_ID, SPAN_ID, TIMESTAMP, ATTRIBUTE_LIMIT, ENCODING = range(6)
_DETAILS = (
    "",
    "trace_id must be 16 bytes, not all zero",
    "span_id must be 8 bytes, not all zero",
    "a time lies after 2262, the range of 64-bit nanoseconds",
    "the span has more attributes than receivers.limits.attributes_per_span",
    "an array or key-value list attribute is not valid OTLP",
)
_INT64_MAX = np.uint64(2**63 - 1)
ITEM_BYTES = 4096
_TEXT_BYTES = 1024
_SHOWN_ATTRIBUTES = 64


def reasons(
    decoded: DecodedItems,
    attributes: Attributes,
    events: Events,
    links: Links,
    invalid: Mask,
    attribute_limit: int,
) -> Any:
    """For each span FINE or the first reason to reject it; None when all are fine."""
    spans = decoded.items
    verdict = np.zeros(len(spans), dtype=np.int8)
    verdict[invalid] = ENCODING
    verdict[links.invalid_spans] = ENCODING
    verdict[events.invalid_spans] = ENCODING
    verdict[attributes.owner[attributes.invalid]] = ENCODING
    verdict[np.diff(attributes.offsets) > attribute_limit] = ATTRIBUTE_LIMIT
    for field in ("start_time_unix_nano", "end_time_unix_nano"):
        verdict[spans.field(field).to_numpy() > _INT64_MAX] = TIMESTAMP
    verdict[~valid_id(spans.field("span_id"), 8)] = SPAN_ID
    verdict[~valid_id(spans.field("trace_id"), 16)] = TRACE_ID
    return verdict if verdict.any() else None


def valid_id(ids: pa.Array, size: int) -> Mask:
    """True where an id has the right length and is not all zero."""
    valid: Mask = (text.lengths(ids) == size) & ~text.all_zero(ids)
    return valid


def nothing() -> tuple[pa.Table, Indices]:
    """No rejected spans."""
    return schema.REJECTED.empty_table(), np.empty(0, dtype=np.int32)


def table(decoded: DecodedItems, verdict: Any) -> tuple[pa.Table, Indices]:
    """(reason, detail, item) of the rejected spans, and the request of each."""
    places = np.flatnonzero(verdict)
    codes = pa.array(verdict[places])
    items = [_item(decoded.items[place].as_py()) for place in places.tolist()]
    rows = pa.Table.from_arrays(
        [
            pa.array(REASONS).take(codes),
            pa.array(_DETAILS).take(codes),
            pa.array(items, pa.string()),
        ],
        schema=schema.REJECTED,
    )
    return rows, decoded.request[places]


def _item(span: dict[str, Any]) -> str:
    """One rejected item as bounded text: JSON, cut at ITEM_BYTES."""
    pairs = span["attributes"]
    shown: dict[str, Any] = {
        name: value.hex() if isinstance(value, bytes) and name.endswith("_id") else value
        for name, value in span.items()
        if isinstance(value, bytes | int) and value
    }
    shown["attribute_count"] = len(pairs)
    shown["attributes"] = {
        pair["key"][:_TEXT_BYTES].decode("utf-8", "replace"): _value(pair["value"])
        for pair in pairs[:_SHOWN_ATTRIBUTES]
    }
    return orjson.dumps(shown, default=_bytes)[:ITEM_BYTES].decode("utf-8", "ignore")


def _value(value: dict[str, Any] | None) -> Any:
    return next((part for part in (value or {}).values() if part is not None), None)


def _bytes(value: bytes) -> str:
    head = value[:_TEXT_BYTES]
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(head).decode()
