"""What the data folder says of the past: what fired, what was read when, and what began it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from retraind.evaluate.memory import Series, Source
from retraind.evaluate.references import NewReference
from retraind.model import HOUR_NS
from retraind.store.state import State
from retraind.window.reference import reference_from_rows

END_OF_TIME_NS = 2**62


class Tick(NamedTuple):
    """Rows up to a seq had been read when something was decided, at a wall time if it is known."""

    through_seq: int
    now_ns: int | None


class Fired(NamedTuple):
    """A trigger. `features` name the alarms that are its reasons, with their cohorts."""

    at_ns: int
    monitor: str
    service_name: str
    environment: str
    model: str
    reasons: tuple[str, ...]
    features: tuple[str, ...]
    id: str


class Pin(NamedTuple):
    """A reference made the active one at a wall time, for windows from an event time on."""

    id: str
    series_id: str
    kind: str
    source: str
    created_ns: int
    first_ns: int | None
    last_ns: int | None
    sessions: int
    active_from_ns: int | None


def ticks(state: State) -> list[Tick]:
    """Every tick of which something is left, in order."""
    rows = state.read("recorded_ticks").to_pylist()
    found = [Tick(row["through_seq"], row["now_ns"]) for row in rows]
    return sorted(found, key=lambda tick: (tick.through_seq, tick.now_ns or 0))


def fired(state: State, first_ns: int, last_ns: int, until_ns: int = END_OF_TIME_NS) -> list[Fired]:
    """Triggers of windows that ended in [first_ns, last_ns), made by the wall time `until_ns`."""
    rows = state.read("recorded_triggers", first=first_ns, last=last_ns).to_pylist()
    return [_fired(row) for row in rows if row["created_ns"] <= until_ns]


def _fired(row: Mapping[str, Any]) -> Fired:
    reasons = json.loads(row["event"])["data"].get("reasons", [])
    return Fired(
        row["decided_for_ns"], row["monitor"], row["service_name"], row["environment"],
        row["model"],
        tuple(dict.fromkeys(reason["kind"] for reason in reasons)),
        tuple(dict.fromkeys(filter(None, map(_feature, reasons)))),
        row["id"],
    )  # fmt: skip


def _feature(reason: Mapping[str, Any]) -> str:
    feature: str = reason.get("feature", "")
    cohort = reason.get("series", {}).get("cohort", "")
    return f"{feature} ({cohort})" if feature and cohort else feature


def pins_of_people(state: State) -> list[Pin]:
    """What people have pinned or accepted, in that order; traffic pins itself in a replay, too."""
    return [Pin(**row) for row in state.read("references_of_people").to_pylist()]


def active_at(state: State, begin_ns: int) -> dict[str, Pin]:
    """The reference of each series with which windows from an event time on were compared.

    Of several that began together, as late features join, the last one created by then, else the
    first.
    """
    active: dict[str, tuple[tuple[int, bool, int], Pin]] = {}
    for row in state.read("recorded_references").to_pylist():
        pin = Pin(**row)
        if pin.active_from_ns is None or pin.active_from_ns > begin_ns:
            continue
        known = pin.created_ns <= begin_ns
        rank = (pin.active_from_ns, known, pin.created_ns if known else -pin.created_ns)
        if pin.series_id not in active or active[pin.series_id][0] < rank:
            active[pin.series_id] = rank, pin
    return {series_id: pin for series_id, (_, pin) in active.items()}


def reference_of(state: State, pin: Pin, series: Series) -> NewReference:
    """A recorded reference, to be pinned again."""
    rows = state.read("read_reference_counts", id=pin.id, series_id=pin.series_id)
    reference = reference_from_rows(rows, pin.kind)  # type: ignore[arg-type]
    return NewReference(series, reference, pin.sessions, pin.first_ns, pin.last_ns)


def horizons(state: State) -> dict[Source, int]:
    """The end of the last closed pane of every source."""
    rows = state.read("read_watermarks").to_pylist()
    return {Source(row["service_name"], row["environment"]): row["closed_ns"] for row in rows}


def complete_from(state: State, context_ns: int) -> int:
    """The hour from which on no row is missing; 0 when none ever was deleted or set aside."""
    deleted: int = state.read("deleted_through")["deleted_ns"][0].as_py()
    return -(-(deleted + context_ns) // HOUR_NS) * HOUR_NS if deleted else 0
