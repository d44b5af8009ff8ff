"""Decoded spans to the rows of the `spans`, `evaluations` and `quarantine` tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import DecodedItems, DecodedTraces, Indices
from retraind.normalise import (
    content,
    detect,
    evaluations,
    events,
    incomplete,
    rejects,
    schema,
    text,
)
from retraind.normalise.attributes import Attributes, Mask
from retraind.normalise.conventions import COLUMNS
from retraind.normalise.fingerprint import fingerprints
from retraind.normalise.holders import Holders, Surroundings
from retraind.normalise.resolve import resolve, source_json

_KINDS = pa.array(["unspecified", "internal", "server", "client", "producer", "consumer"])
_STATUS = pa.array(["unset", "ok", "error"])


@dataclass(frozen=True, slots=True)
class NormalisedTraces:
    """Rows of several requests. `*_request` gives for each row the index of its request.

    Tables have the columns of store/schema/segment.sql without `seq` and `received_at`; `rejected`
    has (reason, detail, item).
    """

    spans: pa.Table
    span_request: Indices
    evaluations: pa.Table
    evaluation_request: Indices
    rejected: pa.Table
    rejected_request: Indices
    repaired_strings: int
    duplicate_attributes: int


def normalise_traces(decoded: DecodedTraces, *, attribute_limit: int) -> NormalisedTraces:
    """Canonical rows of decoded spans; spans that cannot be stored are in `rejected`."""
    shared = Shared(decoded)
    attributes = Attributes(decoded.items.field("attributes"))
    happened = events.Events(decoded.items.field("events"))
    linked = events.Links(decoded.items.field("links"))
    verdict = rejects.reasons(
        decoded, attributes, happened, linked, shared.invalid, attribute_limit
    )
    rejected, rejected_request = rejects.nothing()
    if verdict is not None:
        rejected, rejected_request = rejects.table(decoded, verdict)
        decoded = decoded.only(verdict == rejects.FINE)
        attributes = Attributes(decoded.items.field("attributes"))
        happened = events.Events(decoded.items.field("events"))
        linked = events.Links(decoded.items.field("links"))
    columns, repaired = _structure(decoded, shared)
    around = Surroundings(
        happened,
        columns["name"],
        columns["status_message"],
        columns["scope_name"],
        shared.attributes,
        decoded.resource,
        detect.of_keys(attributes)
        | shared.scope_shows[decoded.scope]
        | shared.resource_shows[decoded.resource],
        decoded.items.field("start_time_unix_nano").to_numpy().view("int64"),
    )
    resolved = resolve(Holders(attributes, around), COLUMNS)
    content.fill(resolved, COLUMNS)
    columns |= resolved.columns
    columns["attributes"] = attributes.json(resolved.exact)
    columns["convention"] = detect.primary(around.shown)
    columns["fingerprint"] = fingerprints(columns)
    columns["content_incomplete"] = incomplete.of_spans(resolved, decoded.items, happened)
    for name in ("input_token_hashes", "output_token_hashes"):  # a content policy's to fill
        columns[name] = pa.nulls(len(decoded.items), schema.SPANS.field(name).type)
    columns["norm_source"] = source_json(resolved.winners, attributes.owners)
    columns["events"], columns["links"] = happened.json(), linked.json()
    spans = pa.Table.from_arrays(
        [columns[name] for name in schema.SPANS.names], schema=schema.SPANS
    )
    results, result_span = evaluations.collect(
        spans, decoded.items, resolved.holders, happened, linked
    )
    return NormalisedTraces(
        spans,
        decoded.request,
        results,
        decoded.request[result_span],
        rejected,
        rejected_request,
        repaired + shared.repaired + attributes.repaired + happened.repaired + linked.repaired,
        attributes.duplicates + happened.duplicates + linked.duplicates,
    )


class Shared:
    """What spans or log records share: resources and scopes, computed once each."""

    def __init__(self, decoded: DecodedItems) -> None:
        self.attributes = Attributes(child(decoded.resources, "attributes"))
        self.resource_json = self.attributes.json()
        self.resource_shows = detect.of_resources(self.attributes)
        scope_names, first = text.to_text(child(decoded.scopes, "name"))
        versions, second = text.to_text(child(decoded.scopes, "version"))
        self.scope_name = empty_to_null(scope_names)
        self.scope_version = empty_to_null(versions)
        self.scope_shows = detect.of_scopes(self.scope_name)
        self.repaired = first + second + self.attributes.repaired
        bad = np.zeros(len(decoded.resources), dtype=bool)
        bad[self.attributes.owner[self.attributes.invalid]] = True
        self.invalid: Mask = bad[decoded.resource]

    def resource_text(self, *keys: str) -> pa.StringArray:
        """For each resource the first of these attributes that is a text which is not empty."""
        values = [pa.nulls(self.attributes.owners, pa.string())]
        for key in keys:
            rows = self.attributes.rows(key)
            if rows is not None:
                found = self.attributes.strings.take(pa.array(rows, mask=rows < 0))
                values.append(empty_to_null(found))
        return pc.coalesce(*values)


def child(structs: pa.StructArray, name: str) -> pa.Array:
    """A field of a struct array, NULL where the struct is."""
    field = structs.flatten()[structs.type.get_field_index(name)]
    if pa.types.is_list(field.type) and field.null_count:
        field = pc.fill_null(field, pa.scalar([], field.type))
    return field


def empty_to_null(texts: pa.StringArray) -> pa.StringArray:
    """Protobuf cannot tell an empty text from an absent one: both are NULL."""
    offsets, data = text.parts(texts)
    filled = np.diff(offsets) > 0
    if filled.all():
        return texts
    return text.string_array(offsets, data, filled)


def _structure(decoded: DecodedTraces, shared: Shared) -> tuple[dict[str, Any], int]:
    """The columns that come from fields of the span itself; and how many texts were repaired."""
    items = decoded.items
    columns: dict[str, Any] = {}
    of_resource, of_scope = pa.array(decoded.resource), pa.array(decoded.scope)
    columns["resource"] = shared.resource_json.take(of_resource)
    columns["scope_name"] = shared.scope_name.take(of_scope)
    columns["scope_version"] = shared.scope_version.take(of_scope)
    columns["trace_id"] = text.hex_text(items.field("trace_id"))
    columns["span_id"] = text.hex_text(items.field("span_id"))
    columns["parent_span_id"] = text.hex_text(items.field("parent_span_id"), null_if_zero=True)
    columns["name"], names = text.to_text(items.field("name"))
    columns["name"] = empty_to_null(columns["name"])
    state, states = text.to_text(items.field("trace_state"))
    columns["trace_state"] = empty_to_null(state)
    columns["kind"] = enum_text(items.field("kind"), _KINDS)
    status = items.field("status")
    message, messages = text.to_text(child(status, "message"))
    columns["status_message"] = empty_to_null(message)
    columns["status"] = enum_text(pc.fill_null(child(status, "code"), 0), _STATUS)
    columns["start_time"], columns["duration_ns"] = times(items)
    columns["flags"] = items.field("flags")
    columns["dropped_attributes_count"] = items.field("dropped_attributes_count")
    return columns, names + states + messages


def enum_text(numbers: pa.Array, names: pa.StringArray) -> pa.StringArray:
    """Names of an enum, or the number as sent where it has none."""
    values = numbers.to_numpy()
    known = (values >= 0) & (values < len(names))
    texts = names.take(pa.array(np.where(known, values, 0)))
    if known.all():
        return texts
    return pc.if_else(pa.array(known), texts, numbers.cast(pa.string()))


def times(items: pa.StructArray) -> tuple[pa.Array, pa.Array]:
    """Start and duration; NULL where a time is 0, that is, not set."""
    start = items.field("start_time_unix_nano").view(pa.int64()).to_numpy()
    end = items.field("end_time_unix_nano").view(pa.int64()).to_numpy()
    no_start, no_end = start == 0, end == 0
    started = pa.array(start, mask=no_start) if no_start.any() else pa.array(start)
    unknown = no_start | no_end
    duration = pa.array(end - start, mask=unknown) if unknown.any() else pa.array(end - start)
    return started.view(pa.timestamp("ns")), duration
