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
from retraind.redact import Policy, redact_text

QUARANTINED_PAYLOAD_BYTES = 64 * 2**10
MESSAGE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Blemishes:
    """What was wrong with rows that are stored all the same; incomplete spans by convention."""

    repaired_strings: int
    duplicate_attributes: int
    incomplete_spans: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch, and for each of its requests the rejected items by reason and the dropped ones."""

    batch: WriteBatch
    rejections: Sequence[Mapping[str, int]]
    dropped: Sequence[int]
    blemishes: Blemishes


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
    policy: Policy | None = None,
) -> Decoded:
    """Decode and normalise requests together. Raises InvalidPayload when one is not OTLP.

    `policy` says what of their content may be stored; None: all of it.
    """
    batch = WriteBatch(
        signal, received_at_ns, digests, [], size_bytes=sum(len(payload) for payload in payloads)
    )
    dropped = [0] * len(digests)
    rows: Any
    if signal == "traces":
        items = decode_traces(payloads)
        if policy is not None:
            items = policy.decoded(items)
        rows = normalise_traces(items, attribute_limit=attribute_limit)
        batch.spans, batch.span_request = rows.spans, rows.span_request
        batch.evaluations, batch.evaluation_request = rows.evaluations, rows.evaluation_request
        stored = rows.span_request
    else:
        records = decode_logs(payloads)
        if policy is not None:
            records = policy.decoded(records)
        rows = normalise_logs(records)
        batch.logs, batch.log_request = rows.logs, rows.log_request
        batch.evaluations, batch.evaluation_request = rows.evaluations, rows.evaluation_request
        batch.span_details, batch.span_detail_request = rows.details, rows.detail_request
        dropped = rows.dropped.tolist()
        stored = rows.log_request
    if policy is not None:
        policy.apply(batch)
    if rows.rejected.num_rows:
        rejected = rows.rejected if policy is None else policy.rejected(rows.rejected)
        batch.quarantine = _quarantine(signal, rejected)
        batch.quarantine_request = rows.rejected_request
    accepted = np.bincount(stored, minlength=len(digests)).tolist()
    rejections = _by_request(rows.rejected, rows.rejected_request, len(digests))
    batch.results = [
        ExportResult(n, by.total(), _message(signal, by))
        for n, by in zip(accepted, rejections, strict=True)
    ]
    blemishes = Blemishes(rows.repaired_strings, rows.duplicate_attributes, _incomplete(batch))
    return Decoded(batch, rejections, dropped, blemishes)


def _incomplete(batch: WriteBatch) -> Mapping[str, int]:
    """How many spans of each convention came with content missing, or were told of with some."""
    found: Counter[str] = Counter()
    if batch.spans is not None:
        cut = _cut(batch.spans)
        found.update(cut.column("convention").to_pylist())
    if batch.span_details is not None:
        cut = _cut(batch.span_details).group_by(["trace_id", "span_id"]).aggregate([])
        found["otel_genai"] += cut.num_rows
    return +found


def _cut(rows: pa.Table) -> pa.Table:
    incomplete = rows.column("content_incomplete")
    if incomplete.null_count == len(incomplete):
        return rows.slice(0, 0)
    return rows.filter(incomplete.fill_null(False))


def undecodable(
    signal: Signal, body: bytes, received_at_ns: int, why: str, policy: Policy | None = None
) -> WriteBatch:
    """A batch of nothing but the quarantine row of a request that could not be decoded.

    Under a policy its bytes are left out: nobody knows what they hold.
    """
    kept = body[:QUARANTINED_PAYLOAD_BYTES] if policy is None else None
    return WriteBatch(
        signal=signal,
        received_at_ns=received_at_ns,
        digests=[],
        results=[],
        quarantine=pa.table(
            {
                "signal": [signal],
                "reason": ["undecodable"],
                "detail": [redact_text(policy, why)[:MESSAGE_BYTES]],
                "item": pa.array([None], pa.string()),
                "payload": pa.array([kept], pa.binary()),
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
