"""What the admin HTTP app needs from the running daemon, and the answers it shows.

The app composes a class that satisfies `Daemon`; the console knows no other part of the program.
Times are Unix nanoseconds and end in `_ns`; JSON shows them as RFC 3339 text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from retraind.model import Json, SeriesKey
from retraind.policy.mutes import MuteRequest


class QueryResult(Protocol):
    """A result of user SQL; `truncated` when rows over the limit were left out."""

    @property
    def table(self) -> pa.Table: ...
    @property
    def truncated(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ingest:
    """Totals since the start of the process, and what is on disk."""

    accepted_spans: int = 0
    rejected_spans: int = 0
    duplicate_spans: int = 0
    refused_requests: int = 0
    spans_per_second: float = 0.0
    last_commit_ns: int | None = None
    segments: int = 0
    stored_bytes: int = 0
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """A series and the state of each feature or eval that it watches."""

    series: SeriesKey
    states: tuple[tuple[str, str], ...]
    reference: str | None = None
    window_start_ns: int | None = None


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """One feature's result in a closed window. `score` is corrected PSI, `rate` a fail rate."""

    series: SeriesKey
    feature: str
    end_ns: int
    sessions: int
    verdict: str
    reference: str = "pinned"
    score: float | None = None
    p_value: float | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class TriggerStatus:
    """One request to retrain. `decided_for_ns` is event time, `created_ns` wall time."""

    id: str
    monitor: str
    service_name: str
    environment: str
    model: str
    reason: str
    decided_for_ns: int
    created_ns: int


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """The delivery of one trigger to one destination: pending, delivered, dead or expired."""

    trigger_id: str
    destination: str
    status: str
    attempts: int
    next_attempt_ns: int | None = None
    last_status: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class MuteStatus:
    """What is muted, until when (event time) and why; None matches everything."""

    id: str
    monitor: str
    service_name: str | None
    environment: str | None
    model: str | None
    cohort: str | None
    feature: str | None
    ends_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """What triggers of a model (None: all) wait for, and how many of them do; event times."""

    id: str
    kind: str
    monitor: str
    service_name: str
    environment: str
    model: str | None
    cause: str
    starts_ns: int
    expires_ns: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Status:
    """What `retraind status` and the status page show. Newest first in every list."""

    version: str
    started_ns: int
    data: str
    ingest: Ingest = field(default=Ingest())
    series: tuple[SeriesStatus, ...] = ()
    windows: tuple[WindowStatus, ...] = ()
    triggers: tuple[TriggerStatus, ...] = ()
    outbox: tuple[OutboxStatus, ...] = ()
    mutes: tuple[MuteStatus, ...] = ()
    holds: tuple[HoldStatus, ...] = ()


class Daemon(Protocol):
    """The running daemon. Methods that may wait are coroutines and never block the event loop."""

    def readiness(self) -> Sequence[str]:
        """Why no data should be sent now: starting, draining, disk low; empty when ready."""

    async def status(self) -> Status: ...

    async def sql(self, query: str) -> QueryResult:
        """Run user SQL within admin.sql_timeout and admin.sql_rows. Raises QueryError."""

    async def reload(self) -> Sequence[str]:
        """Read the configuration again; returns the changed settings that need a restart.

        Raises ConfigError and keeps the old one when it is bad.
        """

    async def references(self) -> Sequence[Json]:
        """Active, proposed and earlier references: id, series, kind, state, created_at, sessions.

        Of the kinds that are made of panes, those that the last windows were compared with.
        """

    async def reference(self, reference_id: str) -> Json | None:
        """One reference with its counts by feature; None when there is none of that id.

        A beginning of the id does when only one begins so; else raises QueryError.
        """

    async def pin_reference(self, request: PinReference) -> PinnedReferences:
        """Pin and return the new references. Raises QueryError when nothing fits the request."""

    async def accept_reference(self, reference_id: str, by: str) -> Sequence[Json]:
        """Make a proposed or superseded reference the active one of its series; returns it.

        The beginning of the id is enough. Raises QueryError when there is nothing to accept.
        """

    async def compare_references(self, reference_id: str, other: str | None) -> Json:
        """Distance, by feature, of another reference (None: of current traffic) from this one.

        Raises QueryError when one is not there.
        """

    async def erase(self, user: str | None, trace: str | None) -> Json:
        """Erase a user's traces, or one trace: {"files", "rows" by table, "datasets"}.

        Raises QueryError for an id that is none, StoreError when it has to be asked again.
        """

    async def mutes(self) -> Sequence[Json]:
        """Mutes that last, with who set them and when."""

    async def mute(self, request: MuteRequest) -> Json:
        """The mute that was set, and "alarms", how many it is about. Raises QueryError."""

    async def unmute(self, mute_id: str | None, by: str) -> Sequence[str]:
        """End the mute whose id begins so, or all; the ids that ended. Raises QueryError."""

    async def holds(self) -> Sequence[HoldStatus]:
        """Holds that stand, those that last longest first."""

    async def release_hold(self, hold_id: str, by: str) -> str:
        """Release the hold whose id begins so; its id. Raises QueryError."""

    async def webhooks(self) -> Sequence[OutboxStatus]:
        """The outbox, newest first."""

    async def retry_webhook(
        self, trigger_id: str, destination: str | None, *, delivered: bool
    ) -> int:
        """Schedule deliveries again at once, `delivered` ones too if asked; returns how many."""

    async def test_webhook(self, destination: str) -> Json:
        """Send a signed test event: {"status": int | None, "error": str | None, "seconds": float}.

        Raises LookupError when there is no such destination.
        """

    async def triggers(self, limit: int) -> Sequence[Json]:
        """The newest triggers, each with its event."""

    async def episodes(self, limit: int) -> Sequence[Json]:
        """The newest episodes, each with the trigger that it led to."""

    async def episode(self, begins: str) -> Json | None:
        """Why the episode or trigger whose id begins so asks, or not; None when there is none.

        Raises QueryError when several begin so.
        """

    async def explain(self, asked: Watched) -> Json:
        """What fires and what is missing for it. Raises QueryError when nothing matches."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Which alarms are to be explained. None matches every value."""

    monitor: str | None = None
    service_name: str | None = None
    environment: str | None = None
    model: str | None = None
    cohort: str | None = None
    feature: str | None = None


@dataclass(frozen=True, slots=True)
class PinReference:
    """Which series to pin, and from what. None matches every value.

    Without `table` the reference is the closed panes between start and end (None: all that the
    first automatic reference would use); with it, its rows, one a session, columns named like the
    features (the training distribution). `force`: also what is too small for the series' windows.
    `propose`: change nothing until somebody accepts it. `by`: who asks, for the log.
    """

    monitor: str | None = None
    service_name: str | None = None
    environment: str | None = None
    model: str | None = None
    cohort: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    table: pa.Table | None = None
    source: str = "admin"
    force: bool = False
    propose: bool = False
    by: str = "admin"


@dataclass(frozen=True, slots=True)
class PinnedReferences:
    """What is active, or proposed, now, and sentences about what was left out or ignored."""

    references: Sequence[Json]
    notes: Sequence[str] = ()
