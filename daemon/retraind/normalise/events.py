"""Span events and span links as JSON text, one array a span."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise import text
from retraind.normalise.attributes import Attributes, Mask, Rows

_INT64_MAX = np.uint64(2**63 - 1)


class Nested:
    """Elements (events or links) of many spans, with their attributes."""

    def __init__(self, lists: pa.ListArray) -> None:
        self.offsets: Rows = lists.offsets.to_numpy()
        self.spans = len(lists)
        self.items = lists.flatten()
        self.span = np.repeat(np.arange(self.spans, dtype=np.int32), np.diff(self.offsets))
        self.attributes = Attributes(self.items.field("attributes"))
        self.repaired = self.attributes.repaired
        self.duplicates = self.attributes.duplicates

    @property
    def invalid_spans(self) -> Any:
        """Spans with a nested value that is not valid OTLP."""
        return self.span[self.attributes.owner[self.attributes.invalid]]

    def json_array(self, pieces: list[Any]) -> pa.StringArray:
        """Join `pieces` (without brackets) of each element into one JSON array a span."""
        starts, ends = self.offsets[:-1], self.offsets[1:]
        filled = ends > starts
        first = np.zeros(len(self.items), dtype=np.int8)
        first[starts[filled]] = 1
        last = np.zeros(len(self.items), dtype=np.int8)
        last[ends[filled] - 1] = 1
        opening = pa.array([",{", "[{"]).take(pa.array(first))
        closing = pa.array(["}", "}]"]).take(pa.array(last))
        return text.concatenate_rows([opening, *pieces, closing], self.offsets)

    @cached_property
    def attributes_json(self) -> pa.StringArray:
        """Attributes of each element, `{}` when there are none."""
        return pc.fill_null(self.attributes.json(), "{}")


class Events(Nested):
    """Span events."""

    def __init__(self, lists: pa.ListArray) -> None:
        super().__init__(lists)
        self.names, repaired = text.to_text(self.items.field("name"))
        self.repaired += repaired

    def named(self, name: str) -> Mask:
        """The events that have this name."""
        found: Mask = pc.equal(self.names, name).to_numpy(zero_copy_only=False)
        return found

    def json(self) -> pa.StringArray:
        """One JSON array of {time, name, attributes, …} a span, NULL when it has none."""
        if len(self.items) == 0:
            return pa.nulls(self.spans, pa.string())
        pieces = [
            '"time":',
            time_json(self.items.field("time_unix_nano")),
            ',"name":"',
            text.json_escape(self.names),
            '","attributes":',
            self.attributes_json,
            *_dropped(self.items),
        ]
        return self.json_array(pieces)


class Links(Nested):
    """Span links."""

    def __init__(self, lists: pa.ListArray) -> None:
        super().__init__(lists)
        self.states, repaired = text.to_text(self.items.field("trace_state"))
        self.repaired += repaired

    def json(self) -> pa.StringArray:
        """One JSON array of {trace_id, span_id, trace_state, …} a span, NULL when it has none."""
        if len(self.items) == 0:
            return pa.nulls(self.spans, pa.string())
        pieces = [
            '"trace_id":"',
            text.hex_text(self.items.field("trace_id")),
            '","span_id":"',
            text.hex_text(self.items.field("span_id")),
            '","trace_state":"',
            text.json_escape(self.states),
            '","attributes":',
            self.attributes_json,
            ',"flags":',
            self.items.field("flags").cast(pa.string()),
            *_dropped(self.items),
        ]
        return self.json_array(pieces)


def _dropped(items: pa.StructArray) -> list[Any]:
    counts = items.field("dropped_attributes_count")
    if pc.max(counts).as_py() == 0:
        return [',"dropped_attributes_count":0']
    return [',"dropped_attributes_count":', counts.cast(pa.string())]


def time_json(nanoseconds: pa.Array) -> pa.StringArray:
    """Times as RFC 3339 text with nanoseconds; null when not set, the number when out of range."""
    values = nanoseconds.to_numpy()
    stamps = nanoseconds.view(pa.int64()).view(pa.timestamp("ns")).cast(pa.string())
    stamps = pc.binary_replace_slice(stamps, 10, 11, "T")
    texts = pc.binary_join_element_wise('"', stamps, 'Z"', "")
    outside = values > _INT64_MAX
    if outside.any():
        texts = pc.if_else(pa.array(outside), nanoseconds.cast(pa.string()), texts)
    unset = values == 0
    return pc.if_else(pa.array(unset), "null", texts) if unset.any() else texts
