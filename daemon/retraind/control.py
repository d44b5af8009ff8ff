"""What an operator can ask of the running daemon: status, SQL, references, deliveries, reload."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from retraind import __version__, quiet
from retraind.clock import Clock
from retraind.config.settings import Config
from retraind.console.daemon import (
    HoldStatus,
    Ingest,
    OutboxStatus,
    PinnedReferences,
    PinReference,
    SeriesStatus,
    Status,
    TriggerStatus,
    Watched,
    WindowStatus,
)
from retraind.difference import difference
from retraind.errors import QueryError
from retraind.evaluate.evaluator import Evaluator
from retraind.evaluate.shown import GRAVITY
from retraind.explain import explain_watched, find_episode
from retraind.metrics.snapshot import Snapshot
from retraind.model import Json, SeriesKey
from retraind.pin import accept, fits, pin
from retraind.policy.mutes import MuteRequest
from retraind.store.database import Database
from retraind.store.erase import erase, selection
from retraind.store.sql import TOO_LONG, SqlResult
from retraind.telemetry import Telemetry
from retraind.webhook import outbox
from retraind.webhook.deliver import Delivery

SHOWN_ROWS = 200
ANSWER_SECONDS = 1.0  # from the interrupt of a query to its answer, interrupted or not


class Control:
    """The operator's side of the daemon; satisfies console.daemon.Daemon."""

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        database: Database,
        evaluator: Evaluator,
        delivery: Delivery,
        telemetry: Telemetry,
        clock: Clock,
        snapshot: Callable[[], Snapshot],
        readiness: Callable[[], Sequence[str]],
        reload: Callable[[], Sequence[str]],
    ) -> None:
        self._config = config
        self._database = database
        self._evaluator = evaluator
        self._delivery = delivery
        self._telemetry = telemetry
        self._clock = clock
        self._snapshot = snapshot
        self._readiness = readiness
        self._reload = reload
        self._started_ns = clock.now_ns()

    def readiness(self) -> Sequence[str]:
        return self._readiness()

    async def reload(self) -> Sequence[str]:
        return self._reload()

    async def sql(self, query: str) -> SqlResult:
        admin = self._config().admin
        running = self._database.queries.submit(
            query, timeout_seconds=admin.sql_timeout, max_rows=admin.sql_rows
        )
        try:
            async with asyncio.timeout(admin.sql_timeout + ANSWER_SECONDS):
                return await asyncio.wrap_future(running)
        except TimeoutError:
            raise QueryError(TOO_LONG) from None

    async def status(self) -> Status:
        return await asyncio.to_thread(self._status)

    def _status(self) -> Status:
        state, snapshot = self._database.state, self._snapshot()
        shown = {(row.series, row.feature): row.state for row in snapshot.states}
        return Status(
            version=__version__,
            started_ns=self._started_ns,
            data=str(self._config().data),
            ingest=self._ingest(),
            series=_series_statuses(state.read("list_series", limit=5000).to_pylist(), shown),
            windows=tuple(
                _window_status(row)
                for row in state.read("newest_windows", limit=SHOWN_ROWS).to_pylist()
            ),
            triggers=tuple(
                TriggerStatus(**row)
                for row in state.read("newest_triggers", limit=SHOWN_ROWS).to_pylist()
            ),
            outbox=tuple(outbox_status(row) for row in outbox.listing(state, limit=SHOWN_ROWS)),
            mutes=quiet.mute_statuses(snapshot),
            holds=quiet.hold_statuses(snapshot),
        )

    def _ingest(self) -> Ingest:
        value = self._telemetry.registry.get_sample_value
        accepted = sum(
            value("retraind_receiver_accepted_spans_total", {"transport": transport}) or 0
            for transport in ("grpc", "http")
        )
        seconds = max(1e-9, (self._clock.now_ns() - self._started_ns) / 1e9)
        last_commit = value("retraind_last_commit_timestamp_seconds") or 0.0
        return Ingest(
            accepted_spans=int(accepted),
            rejected_spans=_total(self._telemetry.rejected_spans),
            duplicate_spans=_total(self._telemetry.duplicate_spans),
            refused_requests=_total(self._telemetry.refused_requests),
            spans_per_second=accepted / seconds,
            last_commit_ns=int(last_commit * 1e9) or None,
            segments=_total(self._telemetry.segments),
            stored_bytes=_total(self._telemetry.stored_bytes),
            free_bytes=_total(self._telemetry.free_bytes),
        )

    async def references(self) -> Sequence[Json]:
        return [*await self._kept_references(), *await self._read("list_made_references")]

    async def _kept_references(self) -> Sequence[Json]:
        return await self._read("list_references")

    async def _read(self, name: str) -> list[Json]:
        rows: list[Json] = (await asyncio.to_thread(self._database.state.read, name)).to_pylist()
        return rows

    async def reference(self, reference_id: str) -> Json | None:
        found = {
            row["id"]: row
            for row in reversed(await self._kept_references())  # the active one of equal ids stays
            if row["id"].startswith(reference_id)
        }
        if len(found) > 1:
            raise QueryError(
                f"{len(found)} references begin with {reference_id}; write more of the id"
            )
        for id_, row in found.items():
            counts = await asyncio.to_thread(
                self._database.state.read, "summarise_reference", id=id_
            )
            return row | {"features": counts.to_pylist()}
        return None

    async def pin_reference(self, request: PinReference) -> PinnedReferences:
        job = self._evaluator.submit(
            lambda memory, config: pin(
                self._database.state, memory, config, request, self._clock.now_ns()
            )
        )
        chosen = await asyncio.wrap_future(job)
        pinned = [
            row
            for row in await self._kept_references()
            if row["state"] == ("proposed" if request.propose else "active")
            and row["id"] in chosen.ids
            and fits(_series_key(row), request)
        ]
        return PinnedReferences(pinned, chosen.notes)

    async def mutes(self) -> Sequence[Json]:
        ids = [mute.id for mute in self._snapshot().mutes]
        return await asyncio.to_thread(quiet.list_mutes, self._database.state, ids)

    async def mute(self, request: MuteRequest) -> Json:
        job = self._evaluator.submit(
            lambda memory, config: quiet.mute(
                self._database.state, memory, config, request, self._clock.now_ns()
            )
        )
        return await asyncio.wrap_future(job)

    async def unmute(self, mute_id: str | None, by: str) -> Sequence[str]:
        job = self._evaluator.submit(
            lambda memory, _: quiet.unmute(
                self._database.state, memory, mute_id, by, self._clock.now_ns()
            )
        )
        return await asyncio.wrap_future(job)

    async def holds(self) -> Sequence[HoldStatus]:
        return quiet.hold_statuses(self._snapshot())

    async def release_hold(self, hold_id: str, by: str) -> str:
        job = self._evaluator.submit(
            lambda memory, _: quiet.release(self._database.state, memory, hold_id, by)
        )
        return await asyncio.wrap_future(job)

    async def accept_reference(self, reference_id: str, by: str) -> Sequence[Json]:
        job = self._evaluator.submit(
            lambda memory, _: accept(
                self._database.state, memory, reference_id, by, self._clock.now_ns()
            )
        )
        series = await asyncio.wrap_future(job)
        rows = await self._kept_references()
        return [row for row in rows if row["active"] and row["series_id"] in series]

    async def compare_references(self, reference_id: str, other: str | None) -> Json:
        return await asyncio.to_thread(
            difference, self._database.state, self._config(), reference_id, other
        )

    async def erase(self, user: str | None, trace: str | None) -> Json:
        chosen = selection(self._config().content, user, trace)
        erased = await asyncio.to_thread(erase, self._database, chosen)
        return {"files": erased.files, "rows": erased.rows, "datasets": erased.datasets}

    async def webhooks(self) -> Sequence[OutboxStatus]:
        rows = await asyncio.to_thread(outbox.listing, self._database.state, limit=SHOWN_ROWS)
        return [outbox_status(row) for row in rows]

    async def retry_webhook(
        self, trigger_id: str, destination: str | None, *, delivered: bool
    ) -> int:
        retried = await asyncio.to_thread(
            outbox.retry, self._database.state, trigger_id, destination, self._clock.now_ns(),
            delivered=delivered,
        )  # fmt: skip
        self._delivery.wake()
        return retried

    async def test_webhook(self, destination: str) -> Json:
        outcome: Json = await self._delivery.send_test(destination)
        return outcome

    async def triggers(self, limit: int) -> Sequence[Json]:
        table = await asyncio.to_thread(self._database.state.read, "list_triggers", limit=limit)
        rows: list[Json] = table.to_pylist()
        return rows

    async def episodes(self, limit: int) -> Sequence[Json]:
        table = await asyncio.to_thread(self._database.state.read, "list_episodes", limit=limit)
        rows: list[Json] = table.to_pylist()
        return rows

    async def episode(self, begins: str) -> Json | None:
        return await asyncio.to_thread(find_episode, self._database.state, self._config(), begins)

    async def explain(self, asked: Watched) -> Json:
        return await asyncio.to_thread(explain_watched, self._database.state, self._config(), asked)


def _total(metric: Any) -> int:
    samples = [s for family in metric.collect() for s in family.samples]
    return int(sum(s.value for s in samples if not math.isnan(s.value)))


def _series_statuses(
    rows: list[Json], shown: Mapping[tuple[SeriesKey, str], str]
) -> tuple[SeriesStatus, ...]:
    """A feature with several alarms (versions, references) shows the gravest, as metrics do.

    `shown` says which are muted or held; what it lacks has the state of its own.
    """
    by_key: dict[SeriesKey, SeriesStatus] = {}
    states: dict[SeriesKey, dict[str, str]] = {}
    for row in rows:
        key = _series_key(row)
        by_key[key] = SeriesStatus(key, (), row["reference_id"], row["window_start_ns"])
        own = states.setdefault(key, {})
        if row["feature"] is not None:
            known = own.get(row["feature"], GRAVITY[0])
            own[row["feature"]] = max(known, row["state"], key=GRAVITY.index)
    for key, own in states.items():
        for feature in own:
            own[feature] = shown.get((key, feature), own[feature])
    return tuple(replace(each, states=tuple(states[key].items())) for key, each in by_key.items())


def _series_key(row: Json) -> SeriesKey:
    return SeriesKey(
        row["monitor"], row["service_name"], row["environment"], row["model"], row["cohort"]
    )


def _window_status(row: Json) -> WindowStatus:
    return WindowStatus(
        series=_series_key(row),
        feature=row["feature"],
        end_ns=row["end_ns"],
        sessions=row["sessions"],
        verdict=row["verdict"],
        reference=row["reference_kind"],
        score=row["psi_corrected"],
        p_value=row["p_value"],
        rate=row["rate"],
    )


def outbox_status(row: Json) -> OutboxStatus:
    return OutboxStatus(
        trigger_id=row["trigger_id"],
        destination=row["destination"],
        status=row["status"],
        attempts=row["attempts"],
        next_attempt_ns=row["next_attempt_ns"],
        last_status=row["last_status"],
        last_error=row["last_error"],
    )
