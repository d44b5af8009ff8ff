"""Pinning references by hand: panes of a period, or the rows of a file; accepting proposed ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import structlog

from retraind.config.settings import Config, Monitor
from retraind.console.daemon import PinReference
from retraind.errors import QueryError
from retraind.evaluate.memory import ActiveReference, Memory, Series
from retraind.evaluate.references import (
    NewReference,
    accept_reference,
    propose_references,
    references_of_panes,
    write_references,
)  # fmt: skip
from retraind.model import HOUR_NS, SeriesKey
from retraind.store.state import State
from retraind.window.plan import MonitorPlan
from retraind.window.reference import Reference, counts_from_table, freeze

log = structlog.get_logger(__name__)
SAID = 5
"""Series that are named in one answer; the others are counted."""


@dataclass(slots=True)
class Chosen:
    """What has been pinned, and what the operator should know about it."""

    ids: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def fits(key: SeriesKey, request: PinReference) -> bool:
    """Whether the request is about this series."""
    wanted = {
        "monitor": request.monitor,
        "service_name": request.service_name,
        "environment": request.environment,
        "model": request.model,
        "cohort": request.cohort,
    }
    return all(value is None or getattr(key, name) == value for name, value in wanted.items())


def pin(state: State, memory: Memory, config: Config, request: PinReference, now_ns: int) -> Chosen:
    """Pin, or propose, on the evaluation thread, between two ticks.

    What would be too small for the windows that it is for is left out, unless `force` is set.
    Raises QueryError, changing nothing, when nothing is left.
    """
    monitors = config.monitors_by_name
    series = [
        each
        for each in memory.series.values()
        if each.key.monitor in monitors
        and each.source in memory.sources
        and fits(each.key, request)
    ]
    if not series:
        raise QueryError("no series fits; `retraind status` lists the series")
    chosen, small = Chosen(), []
    with state.transaction() as tx:
        for each in series:
            monitor = monitors[each.key.monitor]
            if request.table is None:
                first_ns, last_ns = _range(memory, each, monitor, request)
                found = references_of_panes(tx, {each: first_ns}, last_ns)
            else:
                reference = _from_table(request.table, monitor, memory.references.get(each.id))
                rows = request.table.num_rows
                found = [NewReference(each, reference, rows, None, None)] if rows else []
            enough = [new for new in found if request.force or new.sessions >= needed(monitor)]
            small += [_too_small(new, monitor) for new in found if new not in enough]
            write = propose_references if request.propose else write_references
            if request.propose:
                chosen.notes += [_same(new) for new in enough if _is_active(memory, new)]
                enough = [new for new in enough if not _is_active(memory, new)]
            write(tx, memory, enough, source=request.source, now_ns=now_ns, actor=request.by)
            chosen.ids |= {new.reference.id for new in enough}
    if not chosen.ids:
        raise QueryError("; ".join(chosen.notes) or _nothing(request, small))
    chosen.notes += _listed(small)
    if request.table is not None:
        chosen.notes += _ignored(request.table, [monitors[name] for name in _monitors(series)])
    return chosen


def accept(state: State, memory: Memory, reference_id: str, by: str, now_ns: int) -> set[str]:
    """Make a proposed reference the active one, on the evaluation thread; returns the series.

    A superseded one is taken up again. Raises QueryError, changing nothing, when no reference, more
    than one, or the active one begins with this id.
    """
    found = state.read("find_references", id=reference_id).to_pylist()
    rows = [row for row in found if row["series_id"] in memory.series]
    if len({row["id"] for row in rows}) > 1:
        raise QueryError(f"{reference_id} begins more than one id; write more of it")
    if not rows:
        raise QueryError(f"there is no reference {reference_id}")
    waiting = [row for row in rows if row["proposed"]] or [row for row in rows if not row["active"]]
    if not waiting:
        raise QueryError(f"reference {rows[0]['id']} is the active one already")
    with state.transaction() as tx:
        for row in waiting:
            accept_reference(tx, memory, row, now_ns=now_ns, actor=by)
    for row in waiting:
        key = memory.series[row["series_id"]].key
        log.warning(
            "reference accepted", reference=row["id"], by=by, sessions=row["sessions"],
            monitor=key.monitor, service=key.service_name, environment=key.environment,
            model=key.model, cohort=key.cohort,
        )  # fmt: skip
    return {row["series_id"] for row in waiting}


def _is_active(memory: Memory, new: NewReference) -> bool:
    active = memory.references.get(new.series.id)
    return active is not None and active.reference.id == new.reference.id


def _same(new: NewReference) -> str:
    return f"the active reference of {new.series.key.service_name} is the same: nothing to propose"


def needed(monitor: Monitor) -> int:
    """Sessions below which no window that closes by its sessions could be compared."""
    window = monitor.window
    return max(
        math.ceil(monitor.reference.ratio * window.min_sessions), window.min_sessions_at_max_length
    )


def _too_small(new: NewReference, monitor: Monitor) -> str:
    key = new.series.key
    name = "/".join(filter(None, (key.service_name, key.environment, key.model, key.cohort)))
    return (
        f"{name} (monitor {monitor.name}) would have {new.sessions} sessions, and its windows need "
        f"{needed(monitor)} (reference.ratio x window.min_sessions)"
    )


def _nothing(request: PinReference, small: Sequence[str]) -> str:
    if small:
        return (
            "too little to compare windows with, nothing was changed: "
            f"{'; '.join(_listed(small))}. Take more, lower reference.ratio, or insist with --force"
        )
    if request.table is None:
        return "the chosen series have no closed panes in that time"
    return f"{request.source} has no rows"


def _listed(small: Sequence[str]) -> list[str]:
    shown = [f"left out: {text}" for text in small[:SAID]]
    return [*shown, f"left out: {len(small) - SAID} more"] if len(small) > SAID else shown


def _monitors(series: Sequence[Series]) -> list[str]:
    return sorted({each.key.monitor for each in series})


def _ignored(table: pa.Table, monitors: Sequence[Monitor]) -> list[str]:
    """Columns that no monitor took: a file has no evaluations, whatever its columns are called."""
    taken = {
        feature.name
        for monitor in monitors
        for feature in MonitorPlan.from_settings(monitor).features
    }
    ignored = [name for name in table.column_names if name not in taken]
    if not ignored:
        return []
    return [
        (
            f"ignored, because no feature is called so: {', '.join(ignored)}. Evaluations are not "
            "taken from a file: those that have a baseline keep it, others get theirs from traffic"
        )
    ]


def _range(
    memory: Memory, series: Series, monitor: Monitor, request: PinReference
) -> tuple[int, int]:
    """Start and end of the panes to pin: by default the newest `reference.min_age` of them."""
    closed_ns = memory.sources[series.source].closed_ns
    last_ns = request.end_ns if request.end_ns is not None else closed_ns
    first_ns = request.start_ns
    if first_ns is None:
        first_ns = last_ns - int(monitor.reference.min_age * 1e9)
    return first_ns // HOUR_NS * HOUR_NS, last_ns


def _from_table(table: pa.Table, monitor: Monitor, active: ActiveReference | None) -> Reference:
    """The counts of a file, beside the evaluations of the present reference.

    A file holds no evaluations. A reference without them would leave every fail rate of the series
    without a baseline, and so without an alarm.
    """
    try:
        counts = counts_from_table(table, MonitorPlan.from_settings(monitor))
    except ValueError as error:
        raise QueryError(str(error)) from error
    present = {} if active is None else active.reference.counts
    evaluations = {key: item for key, item in present.items() if key[2] in ("score", "rate")}
    return freeze("pinned", {**evaluations, **counts})
