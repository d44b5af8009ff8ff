"""Pinning references: the first by itself once traffic is mature, later ones by a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from retraind.evaluate.memory import ActiveReference, Memory, Series
from retraind.evaluate.tables import timestamp
from retraind.store.state import State, Transaction
from retraind.window.counts import to_columns
from retraind.window.panes import SESSIONS
from retraind.window.reference import Reference, reference_from_panes


def reference_of_panes(
    state: State | Transaction, series: Series, first_ns: int, last_ns: int
) -> tuple[Reference, int]:
    """The panes of a series in [first_ns, last_ns) as a reference, and its sessions."""
    rows = state.read("read_panes", series=[series.id], first=first_ns, last=last_ns)
    sessions = sum(
        row["sessions"]
        for row in rows.select(["feature", "sessions"]).to_pylist()
        if row["feature"] == SESSIONS
    )
    return reference_from_panes(rows), sessions


def write_reference(
    tx: Transaction,
    memory: Memory,
    series: Series,
    reference: Reference,
    *,
    source: str,
    sessions: int,
    first_ns: int | None,
    last_ns: int | None,
    now_ns: int,
) -> None:
    """Make a reference the active one of its series; the older ones are kept and step back."""
    tx.run("retire_references", series_id=series.id)
    tx.run("delete_reference_counts", id=reference.id, series_id=series.id)
    tx.run("delete_reference", id=reference.id, series_id=series.id)
    row: dict[str, Any] = {
        "id": reference.id,
        "series_id": series.id,
        "kind": reference.kind,
        "source": source,
        "created_at": timestamp(now_ns),
        "first_time": None if first_ns is None else timestamp(first_ns),
        "last_time": None if last_ns is None else timestamp(last_ns),
        "sessions": sessions,
        "active": True,
    }
    tx.append("references", pa.Table.from_pylist([row]))
    tx.append("reference_counts", _count_rows(reference, series))
    created_ns = now_ns // 1000 * 1000  # as the table holds it
    memory.references[series.id] = ActiveReference(reference, source, created_ns, sessions)
    tx.run("reset_detectors", series_id=series.id)
    for key, alarm in memory.alarms.get(series.id, {}).items():
        memory.alarms[series.id][key] = replace(alarm, detector=())


def _count_rows(reference: Reference, series: Series) -> pa.Table:
    entries = [
        (feature, version, hour, counts)
        for (feature, version, _), by_hour in sorted(reference.counts.items())
        for hour, counts in sorted(by_hour.items())
    ]
    columns: dict[str, Any] = {
        "reference_id": [reference.id] * len(entries),
        "series_id": [series.id] * len(entries),
        "feature": [entry[0] for entry in entries],
        "version": [entry[1] for entry in entries],
        "hour_of_week": [entry[2] for entry in entries],
    }
    return pa.table({**columns, **to_columns([entry[3] for entry in entries])})
