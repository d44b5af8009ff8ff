"""Pinned references: the first pins itself once traffic is mature, later ones a person accepts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from retraind.evaluate.findings import FeatureKey
from retraind.evaluate.memory import ActiveReference, Memory, Series
from retraind.evaluate.tables import rows_table, timestamp
from retraind.model import Counts
from retraind.store.state import State, Transaction
from retraind.window.counts import merge_rows, to_columns
from retraind.window.panes import SESSIONS
from retraind.window.reference import Reference, reference_from_rows, references_from_panes


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


def sums_of_panes(
    state: State | Transaction, starts: Mapping[str, int], end_ns: int
) -> dict[str, dict[FeatureKey, Counts]]:
    """The summed panes of each series, from its own start on, to one end."""
    sums: dict[str, dict[FeatureKey, Counts]] = {id_: {} for id_ in starts}
    merged = merge_rows(panes_of(state, starts, end_ns), ("series_id", *FeatureKey._fields))
    for (series_id, *key), item in merged.items():
        sums[series_id][FeatureKey(*key)] = item
    return sums


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
    tx: Transaction,
    memory: Memory,
    new: Sequence[NewReference],
    *,
    source: str,
    now_ns: int,
    actor: str = "auto",
) -> None:
    """Make references the active ones of their series; the older ones are kept and step back."""
    if not new:
        return
    tx.run("retire_references", series=[each.series.id for each in new])
    sources = [_source(memory, each, source) for each in new]
    pairs = list(zip(new, sources, strict=True))
    _keep(tx, new, [_row(each, own, now_ns, _active_from(memory, each)) for each, own in pairs])
    acts = [("joined" if each.added else "pinned", *_ids(each)) for each in new]
    _log(tx, memory, acts, actor, now_ns)
    # Where something has only joined, what was tested before is tested against the same counts.
    others = [each.series.id for each in new if not each.added]
    _forget_evidence(tx, memory, others)
    created_ns = now_ns // 1000 * 1000  # as the table holds it
    for each, own in pairs:
        memory.references[each.series.id] = ActiveReference(
            each.reference, own, created_ns, each.sessions, each.first_ns, each.last_ns,
            _active_from(memory, each),
        )  # fmt: skip


def propose_references(
    tx: Transaction,
    memory: Memory,
    new: Sequence[NewReference],
    *,
    source: str,
    now_ns: int,
    actor: str,
) -> None:
    """Keep references until somebody accepts them; nothing changes. A series has one at most."""
    if not new:
        return
    tx.run("retire_proposals", series=[each.series.id for each in new])
    _keep(tx, new, [_row(each, source, now_ns, None) for each in new])
    _log(tx, memory, [("proposed", *_ids(each)) for each in new], actor, now_ns)


def accept_reference(
    tx: Transaction, memory: Memory, row: Mapping[str, Any], *, now_ns: int, actor: str
) -> None:
    """Make a reference that is kept the active one of its series; `row` is of `find_references`."""
    series_id, active_from_ns = row["series_id"], memory.series[row["series_id"]].window_ns
    counts = tx.read("read_reference_counts", id=row["id"], series_id=series_id)
    tx.run("retire_references", series=[series_id])
    tx.run("activate_reference", id=row["id"], series_id=series_id, active_from=active_from_ns)
    _log(tx, memory, [("accepted", series_id, row["id"])], actor, now_ns)
    _forget_evidence(tx, memory, [series_id])
    memory.references[series_id] = ActiveReference(
        reference_from_rows(counts, row["kind"]), row["source"], row["created_ns"],
        row["sessions"], row["first_ns"], row["last_ns"], active_from_ns,
    )  # fmt: skip


def _keep(tx: Transaction, new: Sequence[NewReference], rows: list[dict[str, Any]]) -> None:
    """Write references with their counts, those with equal contents anew."""
    ids, series = [each.reference.id for each in new], [each.series.id for each in new]
    tx.run("delete_reference_counts", ids=ids, series=series)
    tx.run("delete_references", ids=ids, series=series)
    tx.append("references", rows_table(rows))
    tx.append("reference_counts", _count_rows(new))


def _forget_evidence(tx: Transaction, memory: Memory, series: Sequence[str]) -> None:
    """A detector's evidence is against one baseline: with another reference it starts anew."""
    tx.run("reset_detectors", series=series)
    for id_ in series:
        for key, alarm in memory.alarms.get(id_, {}).items():
            memory.alarms[id_][key] = replace(alarm, detector=())


def _log(
    tx: Transaction,
    memory: Memory,
    acts: Iterable[tuple[str, str, str]],
    actor: str,
    now_ns: int,
) -> None:
    """Who did what, for whoever asks later. `acts`: action, series, reference.

    To be called before the memory changes.
    """
    active = memory.references
    rows = [
        {
            "logged_at": timestamp(now_ns),
            "action": action,
            "reference_id": reference_id,
            "series_id": series_id,
            "replaced": active[series_id].reference.id
            if action != "proposed" and series_id in active
            else None,
            "actor": actor,
        }
        for action, series_id, reference_id in acts
    ]
    tx.append("reference_log", rows_table(rows))


def _ids(new: NewReference) -> tuple[str, str]:
    return new.series.id, new.reference.id


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


def _row(new: NewReference, source: str, now_ns: int, active_from_ns: int | None) -> dict[str, Any]:
    return {
        "id": new.reference.id,
        "series_id": new.series.id,
        "kind": new.reference.kind,
        "source": source,
        "created_at": timestamp(now_ns),
        "first_time": None if new.first_ns is None else timestamp(new.first_ns),
        "last_time": None if new.last_ns is None else timestamp(new.last_ns),
        "sessions": new.sessions,
        "active": active_from_ns is not None,
        "proposed": active_from_ns is None,
        "active_from": None if active_from_ns is None else timestamp(active_from_ns),
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
