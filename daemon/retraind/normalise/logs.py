"""Decoded log records to the rows of the `logs` table: `gen_ai.` events only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import DecodedLogs, Indices
from retraind.normalise import rejects, schema, text
from retraind.normalise.attributes import NONE, STRING, Attributes
from retraind.normalise.traces import Shared, empty_to_null

_PREFIX = "gen_ai."
_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_NAME_KEYS = ("event.name", "event_name")


@dataclass(frozen=True, slots=True)
class NormalisedLogs:
    """Rows of several requests. `dropped` counts, per request, records that are not gen_ai events.

    `rejected` has (reason, detail, item), as for spans; only `encoding` occurs.
    """

    logs: pa.Table
    log_request: Indices
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
    good = pa.array(verdict == rejects.FINE)
    logs = _table(decoded, shared, names, attributes, bodies).filter(good)
    return NormalisedLogs(
        logs,
        decoded.request[verdict == rejects.FINE],
        dropped,
        rejected,
        rejected_request,
        attributes.repaired + bodies.repaired + shared.repaired,
        attributes.duplicates,
    )


def _event_names(decoded: DecodedLogs) -> pa.StringArray:
    """EventName, else attribute event.name, else attribute event_name."""
    names, _ = text.to_text(decoded.items.field("event_name"))
    found = [empty_to_null(names)]
    attributes = Attributes(decoded.items.field("attributes"))
    for key in _NAME_KEYS:
        rows = attributes.rows(key)
        if rows is not None:
            found.append(attributes.strings.take(pa.array(rows, mask=rows < 0)))
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
    stamp = stamp.view(np.int64)
    return pa.array(stamp, mask=stamp <= 0).view(pa.timestamp("ns"))


def _identifier(ids: pa.Array, size: int) -> pa.StringArray:
    """Hexadecimal id, NULL when it is not valid."""
    valid = pa.array(rejects.valid_id(ids, size))
    return pc.if_else(valid, text.hex_text(ids), pa.scalar(None, pa.string()))
