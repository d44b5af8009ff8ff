"""Mutes as rows of the state file: set and ended by a person, between two ticks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, replace

import structlog

from retraind.errors import QueryError
from retraind.evaluate.memory import Memory, Source
from retraind.evaluate.tables import rows_table, timestamp
from retraind.policy.mutes import Mute, MuteRequest
from retraind.store.state import State

log = structlog.get_logger(__name__)

MOST = 200
"""Mutes that may last at once."""
KEPT = 1000
"""Rows of mutes in all; those that were over first go first."""
LONGEST_SECONDS = 30 * 86400.0


def mute(
    state: State, memory: Memory, monitors: Iterable[str], wanted: MuteRequest, now_ns: int
) -> Mute:
    """Mute from what is undecided now until `seconds` from now. A job of the evaluation.

    Raises QueryError when nothing of that kind is monitored or too much is muted already.
    """
    monitors = sorted(monitors)
    if wanted.monitor not in monitors:
        raise QueryError(f"there is no monitor {wanted.monitor}; there are: {', '.join(monitors)}")
    if not 0 < wanted.seconds <= LONGEST_SECONDS:
        raise QueryError("a mute lasts longer than nothing and at most 30d; set it again then")
    if sum(lasts(memory, each, now_ns) for each in memory.mutes.values()) >= MOST:
        raise QueryError(f"{MOST} mutes last already; end some, or mute more with one")
    text = repr((astuple(wanted), now_ns))
    made = Mute(
        id=f"mute_{hashlib.sha256(text.encode()).hexdigest()[:12]}",
        monitor=wanted.monitor,
        service_name=wanted.service_name,
        environment=wanted.environment,
        model=wanted.model,
        cohort=wanted.cohort,
        feature=wanted.feature,
        starts_ns=0,
        ends_ns=(now_ns + int(wanted.seconds * 1e9)) // 1000 * 1000,
        reason=wanted.reason,
    )
    made = replace(made, starts_ns=_undecided_ns(memory, made, now_ns))
    gone = _too_many(memory)
    with state.transaction() as tx:
        tx.run("delete_mutes", ids=gone)
        tx.append("mutes", rows_table([_row(made, wanted.by, now_ns)]))
    for id_ in gone:
        del memory.mutes[id_]
    memory.mutes[made.id] = made
    log.warning(
        "muted", mute=made.id, monitor=made.monitor, service=made.service_name,
        environment=made.environment, model=made.model, cohort=made.cohort, feature=made.feature,
        until=timestamp(made.ends_ns).isoformat() + "Z", reason=made.reason, by=wanted.by,
    )  # fmt: skip
    return made


def unmute(state: State, memory: Memory, mute_id: str | None, by: str, now_ns: int) -> list[Mute]:
    """End the mute whose id begins so, or all (None), for what is undecided. As `mute`, a job.

    Raises QueryError when an id fits none, or several, that last.
    """
    found = [each for each in memory.mutes.values() if lasts(memory, each, now_ns)]
    if mute_id is not None:
        found = [each for each in found if each.id.startswith(mute_id)]
        if len(found) != 1:
            some = "no mute" if not found else f"{len(found)} mutes"
            raise QueryError(f"{some} that last begin with {mute_id}; see `retraind mute --list`")
    ended = [
        replace(
            each,
            ends_ns=min(each.ends_ns, max(each.starts_ns, _undecided_ns(memory, each, now_ns))),
        )
        for each in found
    ]
    with state.transaction() as tx:
        for each in ended:
            tx.run("end_mutes", id=each.id, ends=each.ends_ns, by=by)
    for each in ended:
        memory.mutes[each.id] = each
        log.warning("unmuted", mute=each.id, monitor=each.monitor, by=by)
    return ended


def lasts(memory: Memory, mute: Mute, now_ns: int) -> bool:
    """Whether it covers, or may yet cover, something that is not decided.

    Event time follows the wall clock by up to a few hours: a mute is not over before its sources
    have come to its end.
    """
    return now_ns < mute.ends_ns or any(
        memory.undecided_ns(source) < mute.ends_ns for source in _sources(memory, mute)
    )


def muted_count(memory: Memory, mute: Mute) -> int:
    """Known alarms that the mute is about."""
    return len(
        {
            (id_, key.feature)
            for id_, alarms in memory.alarms.items()
            for key in alarms
            if mute.concerns(memory.series[id_].key, key.feature)
        }
    )


def _undecided_ns(memory: Memory, mute: Mute, now_ns: int) -> int:
    """The first moment about which not every series that it is about has been decided."""
    times = [memory.undecided_ns(source) for source in _sources(memory, mute)]
    return min([now_ns // 1000 * 1000, *times])


def _sources(memory: Memory, mute: Mute) -> set[Source]:
    return {
        each.source
        for each in memory.series.values()
        if each.key.monitor == mute.monitor
        and mute.service_name in (None, each.key.service_name)
        and mute.environment in (None, each.key.environment)
        and each.source in memory.sources
    }


def _too_many(memory: Memory) -> list[str]:
    """Ids that have to go before one more is kept. MOST last at once, so these are over."""
    oldest = sorted(memory.mutes.values(), key=lambda each: (each.ends_ns, each.id))
    return [each.id for each in oldest[: max(0, len(oldest) - KEPT + 1)]]


def _row(mute: Mute, by: str, now_ns: int) -> dict[str, object]:
    return {
        "id": mute.id,
        "monitor": mute.monitor,
        "service_name": mute.service_name,
        "environment": mute.environment,
        "model": mute.model,
        "cohort": mute.cohort,
        "feature": mute.feature,
        "starts_at": timestamp(mute.starts_ns),
        "ends_at": timestamp(mute.ends_ns),
        "reason": mute.reason,
        "created_by": by,
        "created_at": timestamp(now_ns),
        "ended_by": None,
    }
