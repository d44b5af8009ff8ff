"""Where a replay begins: with an empty state, or in the middle of a history whose start is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from retraind.config.settings import Config
from retraind.evaluate.inputs import CONTEXT_NS
from retraind.evaluate.memory import Memory, Series, Source, load
from retraind.evaluate.panes import series_row
from retraind.evaluate.references import write_references
from retraind.evaluate.tables import rows_table, timestamp
from retraind.model import HOUR_NS, SeriesKey
from retraind.replay import history
from retraind.store.state import State
from retraind.window.watermark import BINS


class Begun(NamedTuple):
    """How a series of the recorded state began in the replay.

    `reference_id` None and `rebuilt`: everything was built anew from its first row. Else it began
    at `begin_ns` with the reference that it had then; "" when it had none yet.
    """

    series: SeriesKey
    begin_ns: int
    reference_id: str | None

    @property
    def rebuilt(self) -> bool:
        return self.reference_id is None


def seed(
    recorded: State, state: State, config: Config, begin_ns: int, now_ns: int
) -> tuple[Memory, list[Begun]]:
    """The memory from which a replay goes on at `begin_ns` (0: nothing is missing).

    Sources that had begun before start there, each series with the reference that it had then, and
    with alarms and policies that know nothing yet. `now_ns` is the wall time at which it begins.
    """
    known = _series(recorded, config)
    before = [each for each in known if each.first_ns < begin_ns]
    if before:
        _write(recorded, state, before, begin_ns, now_ns)
    with state.transaction() as tx:
        for table, query in (("mutes", "mutes_of_people"), ("holds", "holds_of_people")):
            tx.append(table, recorded.read(query))
    memory = load(state)
    active = history.active_at(recorded, begin_ns) if before else {}
    pins = {each.id: active[each.id] for each in before if each.id in active}
    with state.transaction() as tx:
        for series in before:
            if (pin := pins.get(series.id)) is not None:
                new = history.reference_of(recorded, pin, series)
                write_references(tx, memory, [new], source=pin.source, now_ns=pin.created_ns)
    begun = [
        Begun(each.key, each.first_ns, None)
        if each.first_ns >= begin_ns
        else Begun(each.key, begin_ns, pins[each.id].id if each.id in pins else "")
        for each in known
    ]
    return memory, sorted(begun)


def _series(recorded: State, config: Config) -> list[Series]:
    """The recorded series of the monitors that the replay has."""
    rows = recorded.read("read_series").to_pylist()
    return [
        Series(row["id"], SeriesKey(*(row[name] for name in SeriesKey.__slots__)),
               row["first_ns"], row["window_ns"])
        for row in rows
        if row["monitor"] in config.monitors_by_name
    ]  # fmt: skip


def _write(recorded: State, state: State, before: list[Series], begin_ns: int, now_ns: int) -> None:
    ends = {
        row["series_id"]: row["end_ns"]
        for row in recorded.read("next_window_ends", first=begin_ns).to_pylist()
    }
    series = [
        Series(each.id, each.key, each.first_ns, ends.get(each.id, begin_ns)) for each in before
    ]
    lateness = {
        Source(row["service_name"], row["environment"]): row["lateness_counts"]
        for row in recorded.read("read_watermarks").to_pylist()
    }
    clocks = [
        _clock(source, lateness.get(source, [0] * BINS), begin_ns, now_ns)
        for source in sorted({each.source for each in before})
    ]
    with state.transaction() as tx:
        tx.append("series", rows_table([series_row(each) for each in series]))
        tx.append("watermarks", rows_table(clocks))
        tx.append("segments", recorded.read("segments_gone"))


def _clock(
    source: Source, lateness_counts: Sequence[int], begin_ns: int, now_ns: int
) -> dict[str, Any]:
    return {
        "service_name": source.service_name,
        "environment": source.environment,
        # Before the rows that are left: taken for late ones, they would hold back what follows.
        "max_event_ns": begin_ns - CONTEXT_NS - HOUR_NS,
        "last_arrival_ns": now_ns,
        "lateness_counts": list(lateness_counts),
        "closed_through": timestamp(begin_ns),
    }
