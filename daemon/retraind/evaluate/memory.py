"""What the evaluation knows between two ticks: an image of the small tables of the state file.

It is changed together with the rows of a transaction. When a transaction fails the image is thrown
away and read again, so that memory never runs ahead of what is durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retraind.drift.compare import FrozenBins, freeze_bins
from retraind.evaluate.alarmed import REACH_DAYS, Alarmed
from retraind.evaluate.findings import AlarmKey, FeatureKey
from retraind.model import SeriesKey
from retraind.policy import alarms, decide
from retraind.policy.alarms import AlarmMemory
from retraind.policy.decide import PolicyKey, PolicyMemory
from retraind.policy.holds import Hold
from retraind.policy.mutes import Mute
from retraind.store.state import State
from retraind.window.reference import Reference, reference_from_rows
from retraind.window.watermark import SourceClock


class Source(NamedTuple):
    """Spans of one service in one environment share a clock."""

    service_name: str
    environment: str


@dataclass(frozen=True, slots=True)
class Series:
    """A series, and where its next decision window begins."""

    id: str
    key: SeriesKey
    first_ns: int
    window_ns: int

    @property
    def source(self) -> Source:
        return Source(self.key.service_name, self.key.environment)

    @property
    def policy(self) -> PolicyKey:
        key = self.key
        return PolicyKey(key.monitor, key.service_name, key.environment, key.model)


@dataclass(slots=True)
class SourceState:
    """A source's clock, and the end of its last closed pane."""

    clock: SourceClock
    closed_ns: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A watched feature's state machine, its e-detector for rates, and when it last had data."""

    memory: AlarmMemory
    detector: tuple[float, ...] = ()
    seen_ns: int = 0


@dataclass(frozen=True, slots=True)
class ActiveReference:
    """The pinned reference of a series; windows that begin at `active_from_ns` or later use it."""

    reference: Reference
    source: str
    created_ns: int
    sessions: int
    first_ns: int | None
    last_ns: int | None
    active_from_ns: int
    _bins: dict[FeatureKey, FrozenBins | None] = field(default_factory=dict, compare=False)

    @property
    def accepted_ns(self) -> int:
        """From when on the series' own traffic is what somebody has accepted as normal."""
        return self.active_from_ns if self.first_ns is None else self.first_ns

    def bins(self, key: FeatureKey) -> FrozenBins | None:
        """The frozen edges of a feature, derived once from all of the reference."""
        if key not in self._bins:
            whole = self.reference.whole(key)
            self._bins[key] = None if whole is None else freeze_bins(whole)
        return self._bins[key]


@dataclass(slots=True)
class Memory:
    """Everything that the tick reads or changes. References and alarms are by series id.

    `alarmed` are the windows that other references leave out, `versions` when each version of a
    series came first. `mutes` and `holds` are by their id, also those that are over; `deploys` are
    the service.versions of a source and when each was first seen.

    `due` are the sources whose panes have changed since their windows were looked at; after a start
    all of them.
    """

    through_seq: int = 0
    sources: dict[Source, SourceState] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    references: dict[str, ActiveReference] = field(default_factory=dict)
    alarms: dict[str, dict[AlarmKey, Alarm]] = field(default_factory=dict)
    alarmed: Alarmed = field(default_factory=Alarmed)
    versions: dict[str, dict[str, int]] = field(default_factory=dict)
    policies: dict[PolicyKey, PolicyMemory] = field(default_factory=dict)
    mutes: dict[str, Mute] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    deploys: dict[Source, dict[str, int]] = field(default_factory=dict)
    due: set[Source] = field(default_factory=set)

    def known_keys(self) -> set[SeriesKey]:
        return {series.key for series in self.series.values()}

    def undecided_ns(self, source: Source) -> int:
        """The first moment of a source (event time) about which nothing can be decided yet."""
        return self.sources[source].closed_ns + 1000  # the next one that a table can hold


def load(state: State) -> Memory:
    """Read the image. Raises StoreUnavailable or StoreFatal."""
    memory = Memory()
    memory.through_seq = state.read("read_progress").column("through_seq")[0].as_py()
    for row in state.read("read_watermarks").to_pylist():
        clock = SourceClock(
            row["max_event_ns"], row["last_arrival_ns"], tuple(row["lateness_counts"])
        )
        source = Source(row["service_name"], row["environment"])
        memory.sources[source] = SourceState(clock, row["closed_ns"])
    memory.due = set(memory.sources)
    for row in state.read("read_series").to_pylist():
        key = SeriesKey(
            row["monitor"], row["service_name"], row["environment"], row["model"], row["cohort"]
        )
        memory.series[row["id"]] = Series(row["id"], key, row["first_ns"], row["window_ns"])
    for row in state.read("read_references").to_pylist():
        memory.references[row["series_id"]] = _reference(state, row)
    for row in state.read("read_alarms").to_pylist():
        key_ = AlarmKey(row["feature"], row["version"], row["kind"], row["reference_kind"])
        alarm = Alarm(
            alarms.from_json(row["memory"]), tuple(row["detector"] or ()), row["last_data_ns"]
        )
        memory.alarms.setdefault(row["series_id"], {})[key_] = alarm
    for row in state.read("read_policies").to_pylist():
        policy = PolicyKey(row["monitor"], row["service_name"], row["environment"], row["model"])
        memory.policies[policy] = decide.from_json(row["memory"])
    for row in state.read("alarmed_windows", days=REACH_DAYS).to_pylist():
        watched = FeatureKey(row["feature"], row["version"], row["kind"])
        memory.alarmed.add(row["series_id"], watched, row["start_ns"], row["end_ns"])
    for row in state.read("read_versions").to_pylist():
        memory.versions.setdefault(row["series_id"], {})[row["version"]] = row["first_ns"]
    memory.mutes = {row["id"]: Mute(**row) for row in state.read("read_mutes").to_pylist()}
    memory.holds = {row["id"]: Hold(**row) for row in state.read("read_holds").to_pylist()}
    for row in state.read("read_deploys").to_pylist():
        source = Source(row["service_name"], row["environment"])
        memory.deploys.setdefault(source, {})[row["version"]] = row["first_ns"]
    return memory


def _reference(state: State, row: Mapping[str, Any]) -> ActiveReference:
    counts = state.read("read_reference_counts", id=row["id"], series_id=row["series_id"])
    reference = reference_from_rows(counts, row["kind"])
    return ActiveReference(
        reference, row["source"], row["created_ns"], row["sessions"], row["first_ns"],
        row["last_ns"], row["active_from_ns"],
    )  # fmt: skip
