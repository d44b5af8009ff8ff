"""Request bodies to rows: one batch of a few requests, and what is to be counted of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.decode import decode_logs, decode_traces, logs_from_json, traces_from_json
from retraind.model import ExportResult, Signal, WriteBatch
from retraind.normalise import normalise_logs, normalise_traces
from retraind.receive.protocol import Encoding

QUARANTINED_PAYLOAD_BYTES = 64 * 2**10
MESSAGE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch, and for each of its requests the rejected items by reason and the dropped ones."""

    batch: WriteBatch
    rejections: Sequence[Mapping[str, int]]
    dropped: Sequence[int]
    repaired_strings: int
    duplicate_attributes: int


def to_wire(signal: Signal, encoding: Encoding, body: bytes) -> bytes:
    """The body as protobuf. Raises InvalidPayload when it is not valid OTLP/JSON."""
    if encoding == "protobuf":
        return body
    convert = traces_from_json if signal == "traces" else logs_from_json
    return convert(body)


def decode(
    signal: Signal,
    payloads: list[bytes],
    digests: list[bytes],
    *,
    received_at_ns: int,
    attribute_limit: int,
) -> Decoded:
    """Decode and normalise requests together. Raises InvalidPayload when one is not OTLP."""
    batch = WriteBatch(
        signal, received_at_ns, digests, [], size_bytes=sum(len(payload) for payload in payloads)
    )
    dropped = [0] * len(digests)
    rows: Any
    if signal == "traces":
        rows = normalise_traces(decode_traces(payloads), attribute_limit=attribute_limit)
        batch.spans, batch.span_request = rows.spans, rows.span_request
        batch.evaluations, batch.evaluation_request = rows.evaluations, rows.evaluation_request
        stored = rows.span_request
    else:
        rows = normalise_logs(decode_logs(payloads))
        batch.logs, batch.log_request = rows.logs, rows.log_request
        batch.evaluations, batch.evaluation_request = rows.evaluations, rows.evaluation_request
        batch.span_details, batch.span_detail_request = rows.details, rows.detail_request
        dropped = rows.dropped.tolist()
        stored = rows.log_request
    if rows.rejected.num_rows:
        batch.quarantine = _quarantine(signal, rows.rejected)
        batch.quarantine_request = rows.rejected_request
    accepted = np.bincount(stored, minlength=len(digests)).tolist()
    rejections = _by_request(rows.rejected, rows.rejected_request, len(digests))
    batch.results = [
        ExportResult(n, by.total(), _message(signal, by))
        for n, by in zip(accepted, rejections, strict=True)
    ]
    return Decoded(batch, rejections, dropped, rows.repaired_strings, rows.duplicate_attributes)


def undecodable(signal: Signal, body: bytes, received_at_ns: int, why: str) -> WriteBatch:
    """A batch of nothing but the quarantine row of a request that could not be decoded."""
    return WriteBatch(
        signal=signal,
        received_at_ns=received_at_ns,
        digests=[],
        results=[],
        quarantine=pa.table(
            {
                "signal": [signal],
                "reason": ["undecodable"],
                "detail": [why[:MESSAGE_BYTES]],
                "item": pa.array([None], pa.string()),
                "payload": pa.array([body[:QUARANTINED_PAYLOAD_BYTES]], pa.binary()),
            }
        ),
        quarantine_request=np.zeros(1, np.int32),
    )


def _by_request(rejected: pa.Table, request: Any, n: int) -> list[Counter[str]]:
    reasons: list[Counter[str]] = [Counter() for _ in range(n)]
    for index, reason in zip(request, rejected.column("reason").to_pylist(), strict=True):
        reasons[index][reason] += 1
    return reasons


def _message(signal: Signal, reasons: Mapping[str, int]) -> str:
    """One line that names how many items were rejected and why."""
    items = "spans" if signal == "traces" else "log records"
    return "; ".join(f"{n} {items} rejected: {reason}" for reason, n in sorted(reasons.items()))


def _quarantine(signal: Signal, rejected: pa.Table) -> pa.Table:
    n = rejected.num_rows
    return pa.table(
        {
            "signal": pa.array([signal] * n, pa.string()),
            "reason": rejected.column("reason"),
            "detail": rejected.column("detail"),
            "item": rejected.column("item"),
            "payload": pa.nulls(n, pa.binary()),
        }
    )
