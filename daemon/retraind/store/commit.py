"""What one transaction writes: batches, cut to the requests that are to be committed, as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.model import ExportResult, WriteBatch
from retraind.store.queries import named_queries

TABLES = ("spans", "evaluations", "logs", "span_details", "quarantine")
_REQUEST = {
    "spans": "span_request",
    "evaluations": "evaluation_request",
    "logs": "log_request",
    "span_details": "span_detail_request",
    "quarantine": "quarantine_request",
}
POISON_ITEM_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """Some requests of a batch. `requests` are indices into its digests; None means all its rows.

    Rows whose request index is negative belong to no request and go with the first one.
    """

    batch: WriteBatch
    requests: tuple[int, ...] | None = None

    def indices(self) -> tuple[int, ...]:
        if self.requests is None:
            return tuple(range(len(self.batch.digests)))
        return self.requests

    def halves(self) -> list[Part]:
        """Two parts with half of the requests each; none when there is only one request."""
        indices = self.indices()
        if len(indices) <= 1:
            return []
        middle = len(indices) // 2
        return [Part(self.batch, indices[:middle]), Part(self.batch, indices[middle:])]

    def rows(self, table: str) -> pa.Table | None:
        """This part's rows for a table, None when there are none."""
        rows: pa.Table | None = getattr(self.batch, table)
        if rows is None or rows.num_rows == 0:
            return None
        if self.requests is None:
            return rows
        wanted = [-1, *self.requests] if 0 in self.requests else list(self.requests)
        kept = rows.filter(pa.array(np.isin(getattr(self.batch, _REQUEST[table]), wanted)))
        return kept if kept.num_rows else None

    def num_rows(self) -> int:
        """Rows of the whole batch, over all tables."""
        return sum(rows.num_rows for table in TABLES if (rows := getattr(self.batch, table)))


def stored_rows(parts: Sequence[Part], table: str, first_seq: int) -> pa.Table | None:
    """The rows of all parts with `seq` and `received_at`, None when there are none."""
    found = [(part, rows) for part in parts if (rows := part.rows(table)) is not None]
    if not found:
        return None
    tables = [rows for _, rows in found]
    rows = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="default")
    received = np.concatenate(
        [np.full(rows.num_rows, part.batch.received_at_ns, np.int64) for part, rows in found]
    )
    seq = np.arange(first_seq, first_seq + rows.num_rows, dtype=np.int64)
    return rows.append_column("seq", pa.array(seq)).append_column(
        "received_at", pa.array(received).cast(pa.timestamp("ns"))
    )


def inserts(catalog: str, table: str, rows: str) -> list[str]:
    """Statements that insert a relation, `rows` in SQL, into a table of a segment, by name."""
    if table != "spans":
        return [f"INSERT INTO {catalog}.main.{table} BY NAME FROM {rows}"]
    return [
        named_queries()[name].replace("{catalog}", catalog).replace("{rows}", rows)
        for name in ("insert_texts", "insert_spans")
    ]


def ledger_rows(parts: Sequence[Part], committed_ns: int) -> pa.Table:
    """One row per request of the parts."""
    entries = [
        (part.batch.digests[i], part.batch.signal, part.batch.results[i])
        for part in parts
        for i in part.indices()
    ]
    n = len(entries)
    return pa.table(
        {
            "digest": pa.array([digest for digest, _, _ in entries], pa.binary()),
            "signal": pa.array([signal for _, signal, _ in entries], pa.string()),
            "accepted": pa.array([result.accepted for _, _, result in entries], pa.int64()),
            "rejected": pa.array([result.rejected for _, _, result in entries], pa.int64()),
            "message": pa.array([result.message or None for _, _, result in entries], pa.string()),
            "committed_at": pa.array([committed_ns] * n, pa.int64()).cast(pa.timestamp("ns")),
        }
    )


def poison_batch(part: Part, error: BaseException) -> WriteBatch:
    """A quarantine row that says which request the database refused, and shows its first row."""
    first: dict[str, Any] = {}
    for table in TABLES:
        rows = part.rows(table)
        if rows is not None:
            first = rows.slice(0, 1).to_pylist()[0]
            break
    item = json.dumps({k: v for k, v in first.items() if v is not None}, default=str)
    return WriteBatch(
        signal=part.batch.signal,
        received_at_ns=part.batch.received_at_ns,
        digests=[],
        results=[],
        quarantine=pa.table(
            {
                "signal": [part.batch.signal],
                "reason": ["refused_by_database"],
                "detail": [str(error)[:1024]],
                "item": [item[:POISON_ITEM_CHARACTERS]],
            }
        ),
        quarantine_request=np.array([-1], np.int32),
    )


Outcome = ExportResult | Exception
