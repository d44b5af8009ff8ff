"""A request to retrain, as values: what webhook/event.py turns into the event of trigger.proto."""

from __future__ import annotations

from dataclasses import dataclass

from retraind.model import Contribution, SeriesKey
from retraind.policy.decide import PolicyKey


@dataclass(frozen=True, slots=True)
class Reason:
    """One alarm, or the schedule, with its evidence; None where the method has no such number.

    `value` is held against `threshold`: for drift the corrected PSI with its lower bound, for a fail
    rate the mean share of failed evaluations. `n` and `m` are sessions of window and reference.
    """

    kind: str
    series: SeriesKey | None = None
    feature: str = ""
    version: str = ""
    method: str = ""
    value: float | None = None
    bound: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    n: int | None = None
    m: int | None = None
    window_start_ns: int | None = None
    window_end_ns: int | None = None
    reference_id: str = ""
    contributions: tuple[Contribution, ...] = ()


@dataclass(frozen=True, slots=True)
class AlarmRef:
    """An alarm of the episode: where it is, its state, and since when it fires (event time)."""

    series: SeriesKey
    feature: str
    version: str
    kind: str
    state: str
    firing_since_ns: int


@dataclass(frozen=True, slots=True)
class SuspectedCause:
    """What happened shortly before: deploy, rename or judge."""

    kind: str
    detail: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """The captured training data: URI of its manifest, content hash."""

    reference: str
    hash: str


@dataclass(frozen=True, slots=True)
class Link:
    """Where a person can look."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """One request to retrain the model of `scope`. Reasons and children: most important first."""

    id: str
    episode_id: str
    scope: PolicyKey
    decided_for_ns: int
    reasons: tuple[Reason, ...]
    children: tuple[AlarmRef, ...] = ()
    suspected_causes: tuple[SuspectedCause, ...] = ()
    dataset: DatasetRef | None = None
    links: tuple[Link, ...] = ()
