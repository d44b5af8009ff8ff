"""The outbox in the state file: what is to be delivered where, until when, and when to try next.

All functions block on the database; the event loop calls them in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from retraind.config.settings import Destination
from retraind.model import Json
from retraind.store.state import State

Status = Literal["pending", "delivered", "dead", "expired"]

_US = pa.timestamp("us")
_SCHEMA = pa.schema(
    [
        ("trigger_id", pa.string()),
        ("destination", pa.string()),
        ("status", pa.string()),
        ("body", pa.string()),
        ("created_at", _US),
        ("expires_at", _US),
        ("next_attempt", _US),
        ("attempts", pa.int32()),
    ]
)
_DELIVERY_SCHEMA = pa.schema(
    [
        ("trigger_id", pa.string()),
        ("destination", pa.string()),
        ("attempt", pa.int32()),
        ("started_at", _US),
        ("seconds", pa.float64()),
        ("status", pa.int32()),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Pending:
    """The event of a destination that is next. `attempts` counts those since it became pending."""

    trigger_id: str
    destination: str
    body: bytes
    attempts: int
    created_ns: int
    expires_ns: int
    next_attempt_ns: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt led to. `status` is the HTTP status, None when there was no answer."""

    started_ns: int
    seconds: float
    status: int | None
    error: str | None
    outcome: Status
    next_attempt_ns: int


def outbox_rows(
    trigger_id: str, body: bytes, destinations: Sequence[Destination], now_ns: int
) -> pa.Table:
    """Rows for table outbox, one a destination, due at once (wall time)."""
    now_us = now_ns // 1000
    rows = [
        {
            "trigger_id": trigger_id,
            "destination": destination.name,
            "status": "pending",
            "body": body.decode("utf-8"),
            "created_at": now_us,
            "expires_at": now_us + int(destination.expire_after * 1e6),
            "next_attempt": now_us,
            "attempts": 0,
        }
        for destination in destinations
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def head(state: State, destination: str) -> Pending | None:
    """The oldest pending event of a destination, due or not; None when all is delivered."""
    rows = state.read("outbox_head", destination=destination).to_pylist()
    if not rows:
        return None
    row = rows[0]
    return Pending(
        row["trigger_id"],
        destination,
        row["body"].encode("utf-8"),
        row["attempts"],
        row["created_us"] * 1000,
        row["expires_us"] * 1000,
        row["next_us"] * 1000,
    )


def expire(state: State, destination: str, now_ns: int) -> list[str]:
    """Give up what is past its expiry at a destination; returns the trigger ids."""
    with state.transaction() as tx:
        rows = tx.run("outbox_expire", destination=destination, now_us=now_ns // 1000)
    return [trigger_id for (trigger_id,) in rows]


def record(state: State, event: Pending, attempt: Attempt, now_ns: int) -> None:
    """Write an attempt and what follows from it, in one transaction."""
    with state.transaction() as tx:
        table = tx.read(
            "count_deliveries", trigger_id=event.trigger_id, destination=event.destination
        )
        row = {
            "trigger_id": event.trigger_id,
            "destination": event.destination,
            "attempt": table.column("n")[0].as_py() + 1,
            "started_at": attempt.started_ns // 1000,
            "seconds": attempt.seconds,
            "status": attempt.status,
            "error": attempt.error,
        }
        tx.append("deliveries", pa.Table.from_pylist([row], schema=_DELIVERY_SCHEMA))
        tx.run(
            "outbox_settle",
            trigger_id=event.trigger_id,
            destination=event.destination,
            status=attempt.outcome,
            attempts=event.attempts + 1,
            last_status=attempt.status,
            last_error=attempt.error,
            next_us=attempt.next_attempt_ns // 1000,
            now_us=now_ns // 1000,
        )


def retry(
    state: State, trigger_id: str, destination: str | None, now_ns: int, *, delivered: bool = False
) -> int:
    """Make an event due at once (destination None: everywhere); returns at how many.

    `delivered`: also where it was accepted before. Id and body stay the same, so that a receiver
    that knows the id still starts nothing twice.
    """
    with state.transaction() as tx:
        rows = tx.run(
            "outbox_retry", trigger_id=trigger_id, destination=destination, delivered=delivered,
            now_us=now_ns // 1000,
        )  # fmt: skip
    return len(rows)


def listing(state: State, *, limit: int) -> list[Json]:
    """Deliveries for people, newest first; times in nanoseconds."""
    rows: list[Json] = state.read("outbox_listing", limit=limit).to_pylist()
    return rows


def pending(state: State) -> dict[str, tuple[int, int]]:
    """Destination to number of undelivered events and creation time (ns) of the oldest."""
    rows = state.read("outbox_pending").to_pylist()
    return {row["destination"]: (row["pending"], row["oldest_us"] * 1000) for row in rows}
