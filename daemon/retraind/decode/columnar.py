"""OTLP export requests as Arrow arrays.

Several requests are decoded by one call, because the cost of a call is shared. The wire schema
(proto/retraind/wire/otlp.proto) types strings and nested values as bytes, so the only thing that
makes a request invalid here is broken framing; text and nested values are checked where they are
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import ptars
import pyarrow as pa

from retraind.decode import otlp_pb2
from retraind.errors import InvalidPayload

_POOL = ptars.HandlerPool([otlp_pb2.DESCRIPTOR])
_TRACES = _POOL.get_for_message(otlp_pb2.DESCRIPTOR.message_types_by_name["TraceRequest"])
_LOGS = _POOL.get_for_message(otlp_pb2.DESCRIPTOR.message_types_by_name["LogRequest"])

Indices = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True, slots=True)
class DecodedItems:
    """Spans or log records of several requests, flattened in the order they were sent.

    `items` is a struct array, one entry a span or record; `request`, `resource` and `scope` give
    for each its request (index into the `requests` decoded payloads) and its row in `resources` and
    `scopes`.
    """

    items: pa.StructArray
    request: Indices
    resource: Indices
    scope: Indices
    resources: pa.StructArray
    scopes: pa.StructArray
    requests: int

    def only(self, chosen: Any) -> Self:
        """The items where the boolean array `chosen` is true."""
        if chosen.all():
            return self
        return replace(
            self,
            items=self.items.filter(pa.array(chosen)),
            request=self.request[chosen],
            resource=self.resource[chosen],
            scope=self.scope[chosen],
        )


@dataclass(frozen=True, slots=True)
class DecodedTraces(DecodedItems):
    """Spans of several ExportTraceServiceRequests."""


@dataclass(frozen=True, slots=True)
class DecodedLogs(DecodedItems):
    """Log records of several ExportLogsServiceRequests."""


def decode_traces(payloads: Sequence[bytes]) -> DecodedTraces:
    """Decode ExportTraceServiceRequests. Raises InvalidPayload when any of them is malformed."""
    return DecodedTraces(*_decode(_TRACES, payloads, "scope_spans", "spans"))


def decode_logs(payloads: Sequence[bytes]) -> DecodedLogs:
    """Decode ExportLogsServiceRequests. Raises InvalidPayload when any of them is malformed."""
    return DecodedLogs(*_decode(_LOGS, payloads, "scope_logs", "log_records"))


def _decode(
    handler: Any, payloads: Sequence[bytes], scope_field: str, item_field: str
) -> tuple[pa.StructArray, Indices, Indices, Indices, pa.StructArray, pa.StructArray, int]:
    try:
        batch = handler.list_to_record_batch(list(payloads))
    except ValueError as error:
        raise InvalidPayload("the request is not a valid OTLP protobuf message") from error
    per_request = batch.column(0)
    per_resource = per_request.flatten()
    scope_lists = per_resource.field(scope_field)
    per_scope = scope_lists.flatten()
    item_lists = per_scope.field(item_field)
    request_of_resource = parents(per_request)
    resource_of_scope = parents(scope_lists)
    scope = parents(item_lists)
    resource = resource_of_scope[scope]
    return (
        item_lists.flatten(),
        request_of_resource[resource],
        resource,
        scope,
        per_resource.field("resource"),
        per_scope.field("scope"),
        len(payloads),
    )


def parents(lists: pa.ListArray) -> Indices:
    """For each flattened element the row of the list it came from."""
    offsets = lists.offsets.to_numpy()
    return np.repeat(np.arange(len(lists), dtype=np.int32), np.diff(offsets))
