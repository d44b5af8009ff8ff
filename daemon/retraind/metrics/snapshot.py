"""What the last evaluation left for Prometheus: plain rows, replaced as a whole after each tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retraind.model import SeriesKey
from retraind.policy.holds import Hold
from retraind.policy.mutes import Mute


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One feature's last closed window against its reference.

    `scores` by method: psi (corrected), kl_reference_current, kl_current_reference, js.
    `threshold` is the PSI where the retrain band begins, None for a score that is only shown.
    `reference` is its kind, never its id.
    `version` is the model's, with the judge's if there is one, for scores; else empty.
    """

    series: SeriesKey
    feature: str
    version: str
    scores: Mapping[str, float]
    threshold: float | None
    p_value: float | None
    reference: str = "pinned"


@dataclass(frozen=True, slots=True)
class RateRow:
    """One eval's counts over all closed windows, and the last one's fail rate (None: no data)."""

    series: SeriesKey
    eval: str
    version: str
    results: int
    failures: int
    ratio: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The mean over sessions of an eval's score in the last closed window."""

    series: SeriesKey
    eval: str
    version: str
    mean: float


@dataclass(frozen=True, slots=True)
class WindowRow:
    """The last closed decision window of a series; `end_ns` is event time."""

    series: SeriesKey
    sessions: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class StateRow:
    """The alarm state of a feature or eval; one of catalogue.STATES."""

    series: SeriesKey
    feature: str
    state: str


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """The active reference of a series. `kind` as in the table `references`."""

    series: SeriesKey
    kind: str
    created_ns: int
    sessions: int


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """Open episodes of one model."""

    monitor: str
    service_name: str
    environment: str
    model: str
    open: int


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A trigger of one model that waits; `due_ns` is event time."""

    monitor: str
    service_name: str
    environment: str
    model: str
    due_ns: int


@dataclass(frozen=True, slots=True)
class DeployRow:
    """A version of a service, first seen at `first_ns` (event time)."""

    service_name: str
    environment: str
    version: str
    first_ns: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows of one evaluation. Series that are not in it are not exported.

    `mutes` and `holds` are those that are not over.
    """

    drift: tuple[DriftRow, ...] = field(default=())
    rates: tuple[RateRow, ...] = field(default=())
    scores: tuple[ScoreRow, ...] = field(default=())
    windows: tuple[WindowRow, ...] = field(default=())
    states: tuple[StateRow, ...] = field(default=())
    references: tuple[ReferenceRow, ...] = field(default=())
    episodes: tuple[EpisodeRow, ...] = field(default=())
    mutes: tuple[Mute, ...] = field(default=())
    holds: tuple[Hold, ...] = field(default=())
    held: tuple[HeldRow, ...] = field(default=())
    deploys: tuple[DeployRow, ...] = field(default=())
