"""What an operator keeps back: mutes set and ended, holds released, on the evaluation thread."""

from __future__ import annotations

from collections.abc import Sequence

from retraind.config.settings import Config
from retraind.console.daemon import HoldStatus, MuteStatus
from retraind.evaluate import holds, mutes
from retraind.evaluate.memory import Memory
from retraind.metrics.snapshot import Snapshot
from retraind.model import Json
from retraind.policy.holds import Hold
from retraind.policy.mutes import MuteRequest
from retraind.store.state import State


def mute(state: State, memory: Memory, config: Config, request: MuteRequest, now_ns: int) -> Json:
    """Mute, and say how many alarms that are known it is about. Raises QueryError."""
    made = mutes.mute(state, memory, config.monitors_by_name, request, now_ns)
    (row,) = list_mutes(state, [made.id])
    return {**row, "alarms": mutes.muted_count(memory, made)}


def unmute(
    state: State, memory: Memory, mute_id: str | None, by: str, now_ns: int
) -> Sequence[str]:
    """End one or all; the ids of those that ended. Raises QueryError."""
    return [each.id for each in mutes.unmute(state, memory, mute_id, by, now_ns)]


def release(state: State, memory: Memory, hold_id: str, by: str) -> str:
    """Release a hold; its id. Raises QueryError."""
    return holds.release(state, memory, hold_id, by).id


def list_mutes(state: State, ids: Sequence[str]) -> list[Json]:
    """These mutes with who set them, those that last longest first."""
    rows: list[Json] = state.read("list_mutes", ids=list(ids)).to_pylist()
    return rows


def mute_statuses(snapshot: Snapshot) -> tuple[MuteStatus, ...]:
    """The mutes that last."""
    return tuple(
        MuteStatus(
            id=each.id,
            monitor=each.monitor,
            service_name=each.service_name,
            environment=each.environment,
            model=each.model,
            cohort=each.cohort,
            feature=each.feature,
            ends_ns=each.ends_ns,
            reason=each.reason,
        )
        for each in snapshot.mutes
    )


def hold_statuses(snapshot: Snapshot) -> tuple[HoldStatus, ...]:
    """The holds that stand, and whether triggers wait for them."""
    return tuple(
        HoldStatus(
            id=each.id,
            kind=each.kind,
            monitor=each.monitor,
            service_name=each.service_name,
            environment=each.environment,
            model=each.model,
            cause=each.cause,
            starts_ns=each.starts_ns,
            expires_ns=each.expires_ns,
            waiting=_waiting(each, snapshot),
        )
        for each in snapshot.holds
    )


def _waiting(hold: Hold, snapshot: Snapshot) -> int:
    return sum(
        hold.concerns(each.monitor, each.service_name, each.environment, each.model)
        for each in snapshot.held
    )
