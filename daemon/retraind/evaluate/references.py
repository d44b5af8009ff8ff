"""Pinning references: the first by itself once traffic is mature, later ones by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from retraind.evaluate.memory import ActiveReference, Memory, Series
from retraind.evaluate.tables import rows_table, timestamp
from retraind.store.state import State, Transaction
from retraind.window.counts import to_columns
from retraind.window.panes import SESSIONS
from retraind.window.reference import Reference, references_from_panes


class NewReference(NamedTuple):
    """A reference that is to be the active one; times are those of its panes, None for a file.

    `added`: what has joined the reference that was active; empty for a reference of its own.
    """

    series: Series
    reference: Reference
    sessions: int
    first_ns: int | None
    last_ns: int | None
    added: tuple[str, ...] = ()


def panes_of(state: State | Transaction, starts: Mapping[str, int], end_ns: int) -> pa.Table:
    """The panes of some series, each from its own start on, to one end."""
    rows = state.read("read_panes", series=list(starts), first=min(starts.values()), last=end_ns)
    own = np.array([starts[id_] for id_ in rows["series_id"].to_pylist()], np.int64)
    inside = rows["pane_start_ns"].to_numpy() >= own
    return rows if inside.all() else rows.filter(pa.array(inside))


def references_of_panes(
    state: State | Transaction, starts: Mapping[Series, int], end_ns: int
) -> list[NewReference]:
    """The panes of each series from its start on, as a reference; none of a series without any."""
    rows = panes_of(state, {series.id: first_ns for series, first_ns in starts.items()}, end_ns)
    references = references_from_panes(rows)
    new = []
    for series, first_ns in starts.items():
        reference = references.get(series.id)
        if reference is not None:
            sessions = sum(reference.sizes.get((SESSIONS, "", "category"), {}).values())
            new.append(NewReference(series, reference, sessions, first_ns, end_ns))
    return [each for each in new if each.sessions]


def write_references(
    tx: Transaction, memory: Memory, new: Sequence[NewReference], *, source: str, now_ns: int, actor: str = "auto"
) -> None:
    """Make references the active ones of their series; the older ones are kept and step back."""
    if not new:
        return
    ids, series = [each.reference.id for each in new], [each.series.id for each in new]
    tx.run("retire_references", series=series)
    tx.run("delete_reference_counts", ids=ids, series=series)
    tx.run("delete_references", ids=ids, series=series)
    sources = [_source(memory, each, source) for each in new]
    pairs = list(zip(new, sources, strict=True))
    tx.append("references", rows_table([_row(memory, each, own, now_ns) for each, own in pairs]))
    tx.append("reference_counts", _count_rows(new))
    tx.append("reference_log", rows_table([_log_row(memory, each, actor, now_ns) for each in new]))
    # Where something has only joined, what was tested before is tested against the same counts.
    others = [each.series.id for each in new if not each.added]
    tx.run("reset_detectors", series=others)
    created_ns = now_ns // 1000 * 1000  # as the table holds it
    for each, own in pairs:
        memory.references[each.series.id] = ActiveReference(
            each.reference, own, created_ns, each.sessions, each.first_ns, each.last_ns,
            _active_from(memory, each),
        )  # fmt: skip
    for id_ in others:
        for key, alarm in memory.alarms.get(id_, {}).items():
            memory.alarms[id_][key] = replace(alarm, detector=())


def _source(memory: Memory, new: NewReference, source: str) -> str:
    """Where counts came from: those of a file stay the file's when others join them."""
    if not new.added:
        return source
    before = memory.references[new.series.id].source
    return before if source in before.split(" + ") else f"{before} + {source}"


def _active_from(memory: Memory, new: NewReference) -> int:
    """Where what is accepted begins does not move when something only joins."""
    if new.added:
        return memory.references[new.series.id].active_from_ns
    return memory.series[new.series.id].window_ns


def _log_row(memory: Memory, new: NewReference, actor: str, now_ns: int) -> dict[str, Any]:
    before = memory.references.get(new.series.id)
    return {
        "logged_at": timestamp(now_ns),
        "action": "joined" if new.added else "pinned",
        "reference_id": new.reference.id,
        "series_id": new.series.id,
        "replaced": None if before is None else before.reference.id,
        "actor": actor,
    }


def _row(memory: Memory, new: NewReference, source: str, now_ns: int) -> dict[str, Any]:
    return {
        "id": new.reference.id,
        "series_id": new.series.id,
        "kind": new.reference.kind,
        "source": source,
        "created_at": timestamp(now_ns),
        "first_time": None if new.first_ns is None else timestamp(new.first_ns),
        "last_time": None if new.last_ns is None else timestamp(new.last_ns),
        "sessions": new.sessions,
        "active": True,
        "proposed": False,
        "active_from": timestamp(_active_from(memory, new)),
    }


def _count_rows(new: Sequence[NewReference]) -> pa.Table:
    entries = [
        (each.reference.id, each.series.id, feature, version, hour, counts)
        for each in new
        for (feature, version, _), by_hour in sorted(each.reference.counts.items())
        for hour, counts in sorted(by_hour.items())
    ]
    *keys, counts = zip(*entries, strict=True)
    names = ("reference_id", "series_id", "feature", "version", "hour_of_week")
    return pa.table({**dict(zip(names, keys, strict=True)), **to_columns(counts)})
