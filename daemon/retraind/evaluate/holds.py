"""Holds as rows of the state file: placed by what finds a cause, released by a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

import structlog

from retraind.errors import QueryError
from retraind.evaluate.memory import Memory, Source
from retraind.evaluate.tables import rows_table, timestamp
from retraind.policy.holds import Hold
from retraind.store.state import State, Transaction

log = structlog.get_logger(__name__)

KEPT = 20
"""Holds of one kind that are kept for a monitor and source, those over included."""


def place(tx: Transaction, memory: Memory, holds: Iterable[Hold]) -> list[Hold]:
    """Let triggers wait for these; returns those that were not known. They stand at once."""
    new = {hold.id: hold for hold in holds if hold.id not in memory.holds}
    if not new:
        return []
    tx.append("holds", rows_table([_row(hold) for hold in new.values()]))
    memory.holds |= new
    gone = _too_many(memory.holds.values())
    if gone:
        tx.run("delete_holds", ids=gone)
        for id_ in gone:
            del memory.holds[id_]
    return list(new.values())


def announce(holds: Iterable[Hold]) -> None:
    """Log what has become durable."""
    for hold in holds:
        log.warning(
            "hold placed", hold=hold.id, kind=hold.kind, monitor=hold.monitor,
            service=hold.service_name, environment=hold.environment, model=hold.model,
            cause=hold.cause, expires=timestamp(hold.expires_ns).isoformat() + "Z",
        )  # fmt: skip


def release(state: State, memory: Memory, hold_id: str, by: str) -> Hold:
    """End a hold now: what waits for it alone is sent with the next tick. A job of the evaluation.

    The beginning of its id is enough. Raises QueryError when it fits none, or several, that stand.
    """
    standing = [hold for hold in memory.holds.values() if lasts(memory, hold)]
    found = [hold for hold in standing if hold.id.startswith(hold_id)]
    if len(found) != 1:
        some = "no hold" if not found else f"{len(found)} holds"
        raise QueryError(f"{some} that stand begin with {hold_id}; see `retraind hold list`")
    hold, source = found[0], Source(found[0].service_name, found[0].environment)
    closed_ns = memory.sources[source].closed_ns if source in memory.sources else hold.starts_ns
    released = replace(
        hold, expires_ns=max(hold.starts_ns, min(hold.expires_ns, closed_ns // 1000 * 1000))
    )
    with state.transaction() as tx:
        tx.run("release_hold", id=hold.id, expires=released.expires_ns, by=by)
    memory.holds[hold.id] = released
    if source in memory.sources:
        memory.due.add(source)
    log.warning("hold released", hold=hold.id, kind=hold.kind, cause=hold.cause, by=by)
    return released


def lasts(memory: Memory, hold: Hold) -> bool:
    """Whether something that is not decided yet may have to wait for it."""
    source = Source(hold.service_name, hold.environment)
    if source not in memory.sources:
        return False
    return max(memory.undecided_ns(source), hold.starts_ns) < hold.expires_ns


def _too_many(holds: Iterable[Hold]) -> list[str]:
    """Ids of the oldest of each kind, monitor and source beyond KEPT."""

    def place_of(hold: Hold) -> tuple[str, ...]:
        return hold.kind, hold.monitor, hold.service_name, hold.environment

    gone = []
    for _, group in groupby(sorted(holds, key=place_of), key=place_of):
        newest = sorted(group, key=lambda hold: (-hold.starts_ns, hold.id))
        gone += [hold.id for hold in newest[KEPT:]]
    return gone


def _row(hold: Hold) -> dict[str, object]:
    return {
        "id": hold.id,
        "kind": hold.kind,
        "monitor": hold.monitor,
        "service_name": hold.service_name,
        "environment": hold.environment,
        "model": hold.model,
        "cause": hold.cause,
        "starts_at": timestamp(hold.starts_ns),
        "expires_at": timestamp(hold.expires_ns),
        "released_by": None,
    }
