"""Log records to rows: `gen_ai.` events as sent, results of evaluations, details of spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import DecodedLogs, Indices
from retraind.normalise import details, evaluations, incomplete, rejects, schema, text
from retraind.normalise.attributes import NONE, STRING, Attributes
from retraind.normalise.carriers import LOG_NAMES
from retraind.normalise.conventions import COLUMNS
from retraind.normalise.holders import Holders
from retraind.normalise.resolve import resolve
from retraind.normalise.traces import Shared, child, empty_to_null

_PREFIX = "gen_ai."
_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_NAME = r"^gen_ai\.[a-z_.]+$"
_NAME_KEYS = ("event.name", "event_name")
_OF_RUN = tuple(column for column in COLUMNS if column.name in ("run_id", "variant"))


@dataclass(frozen=True, slots=True)
class NormalisedLogs:
    """Rows of several requests. `dropped` counts, per request, records that are not gen_ai events.

    `rejected` has (reason, detail, item), as for spans; only `encoding` occurs.
    """

    logs: pa.Table
    log_request: Indices
    evaluations: pa.Table
    evaluation_request: Indices
    details: pa.Table
    detail_request: Indices
    dropped: Any  # np.ndarray[int64], one entry a request
    rejected: pa.Table
    rejected_request: Indices
    repaired_strings: int
    duplicate_attributes: int


def normalise_logs(decoded: DecodedLogs) -> NormalisedLogs:
    """Rows of the gen_ai events among the records. Invalid ids and times become NULL."""
    names = _event_names(decoded)
    wanted = pc.fill_null(pc.starts_with(names, _PREFIX), False).to_numpy(zero_copy_only=False)
    dropped = np.bincount(decoded.request[~wanted], minlength=decoded.requests)
    decoded, names = decoded.only(wanted), names.filter(pa.array(wanted))
    shared = Shared(decoded)
    attributes = Attributes(decoded.items.field("attributes"))
    bodies = _bodies(decoded.items)
    verdict = np.zeros(len(decoded.items), dtype=np.int8)
    verdict[shared.invalid | bodies.invalid] = rejects.ENCODING
    verdict[attributes.owner[attributes.invalid]] = rejects.ENCODING
    rejected, rejected_request = rejects.nothing()
    if verdict.any():
        rejected, rejected_request = rejects.table(decoded, verdict)
    good = verdict == rejects.FINE
    logs = _table(decoded, shared, names, attributes, bodies).filter(pa.array(good))
    request = decoded.request[good]
    lists = decoded.items.field("attributes").filter(pa.array(good))
    lacking = incomplete.dropped(decoded.items.field("dropped_attributes_count"))[good]
    results, result_log = _results(logs, lists)
    said, said_log = details.collect(logs, lists, lacking)
    return NormalisedLogs(
        logs,
        request,
        results,
        request[result_log],
        said,
        request[said_log],
        dropped,
        rejected,
        rejected_request,
        attributes.repaired + bodies.repaired + shared.repaired,
        attributes.duplicates,
    )


def _results(logs: pa.Table, lists: pa.ListArray) -> tuple[pa.Table, Indices]:
    """Rows of `evaluations`, and for each the row of its record in `logs`."""
    named = pc.is_in(logs.column("event_name"), pa.array(sorted(LOG_NAMES)))
    places = np.flatnonzero(named.to_numpy()).astype(np.int32)
    if len(places) == 0:
        return schema.EVALUATIONS.empty_table(), places
    holders = Holders(Attributes(lists.take(pa.array(places))), None)
    of_place = logs.take(pa.array(places))
    scopes = of_place.column("scope_name").combine_chunks()
    found = evaluations.keyed(holders, np.arange(len(places), dtype=np.int32), scopes, "log")
    of_result = of_place.take(pa.array(found.owners))
    run = resolve(holders, _OF_RUN).columns
    columns = found.columns
    for name in ("trace_id", "span_id"):
        columns[name] = of_result.column(name).combine_chunks()
    for name, values in run.items():
        columns[name] = values.take(pa.array(found.owners))
    judged = columns["judged_trace"]
    columns["trace_id"] = pc.coalesce(columns["trace_id"], _if_hex(judged, 32))
    columns["span_id"] = pc.coalesce(columns["span_id"], _if_hex(columns["judged_span"], 16))
    times = of_result.column("time").combine_chunks().cast(pa.int64()).fill_null(0)
    return evaluations.finished(found, times), places[found.owners]


def _if_hex(texts: pa.StringArray, digits: int) -> pa.StringArray:
    """Texts that are an id of so many digits."""
    matches = pc.match_substring_regex(texts, f"^[0-9a-f]{{{digits}}}$")
    return pc.if_else(matches, texts, pa.scalar(None, pa.string()))


def _event_names(decoded: DecodedLogs) -> pa.StringArray:
    """EventName, else attribute event.name, else event_name, else a body that is but a name."""
    names, _ = text.to_text(decoded.items.field("event_name"))
    found = [empty_to_null(names)]
    attributes = Attributes(decoded.items.field("attributes"))
    for key in _NAME_KEYS:
        rows = attributes.rows(key)
        if rows is not None:
            found.append(attributes.strings.take(pa.array(rows, mask=rows < 0)))
    bodies, _ = text.to_text(child(decoded.items.field("body"), "string_value"))
    is_name = pc.match_substring_regex(bodies, _NAME)
    found.append(pc.if_else(is_name, bodies, pa.scalar(None, pa.string())))
    return pc.coalesce(*found)


def _bodies(items: pa.StructArray) -> Attributes:
    """Bodies as attributes, exactly one a record."""
    count = len(items)
    key = pa.array([b""], pa.binary()).take(pa.array(np.zeros(count, dtype=np.int8)))
    pairs = pa.StructArray.from_arrays([key, items.field("body")], names=["key", "value"])
    return Attributes(pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), pairs))


def _body_json(bodies: Attributes) -> pa.StringArray:
    """Each body as JSON, NULL when there is none."""
    values = bodies.json_values(np.arange(bodies.count, dtype=np.int32))
    quote = pa.array(["", '"']).take(pa.array((bodies.kind == STRING).astype(np.int8)))
    quoted = pc.binary_join_element_wise(quote, values, quote, "")
    return pc.if_else(pa.array(bodies.kind == NONE), pa.scalar(None, pa.string()), quoted)


def _table(
    decoded: DecodedLogs,
    shared: Shared,
    names: pa.StringArray,
    attributes: Attributes,
    bodies: Attributes,
) -> pa.Table:
    items = decoded.items
    of_resource, of_scope = pa.array(decoded.resource), pa.array(decoded.scope)
    columns = {
        "time": _time(items),
        "trace_id": _identifier(items.field("trace_id"), 16),
        "span_id": _identifier(items.field("span_id"), 8),
        "event_name": names,
        "severity_number": items.field("severity_number"),
        "body": _body_json(bodies),
        "attributes": attributes.json(),
        "service_name": shared.resource_text("service.name").take(of_resource),
        "environment": shared.resource_text(*_ENVIRONMENT).take(of_resource),
        "resource": shared.resource_json.take(of_resource),
        "scope_name": shared.scope_name.take(of_scope),
        "scope_version": shared.scope_version.take(of_scope),
    }
    return pa.Table.from_arrays([columns[n] for n in schema.LOGS.names], schema=schema.LOGS)


def _time(items: pa.StructArray) -> pa.Array:
    """time_unix_nano, else observed_time_unix_nano; NULL when neither is set or in range."""
    stamp = items.field("time_unix_nano").to_numpy()
    stamp = np.where(stamp == 0, items.field("observed_time_unix_nano").to_numpy(), stamp)
    return evaluations.stamps(pa.array(stamp))


def _identifier(ids: pa.Array, size: int) -> pa.StringArray:
    """Hexadecimal id, NULL when it is not valid."""
    valid = pa.array(rejects.valid_id(ids, size))
    return pc.if_else(valid, text.hex_text(ids), pa.scalar(None, pa.string()))
