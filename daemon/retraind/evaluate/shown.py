"""What keeps alarms and triggers back, as it is shown: states, mutes, holds, deploys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from retraind.config.settings import Policy
from retraind.evaluate import holds, mutes, service_versions
from retraind.evaluate.memory import Memory, Series
from retraind.metrics.snapshot import DeployRow, HeldRow, StateRow
from retraind.policy import decide
from retraind.policy.holds import Hold
from retraind.policy.mutes import Mute

DEPLOYS = 3
"""Versions of a source that are shown."""

# When one feature has several alarms (versions, score and fail rate), the gravest is shown.
GRAVITY = ("ok", "immature", "no_data", "resolving", "pending", "firing")


def states(memory: Memory, watched: Mapping[str, Series]) -> Iterator[StateRow]:
    """The state of every watched feature; of what next can be decided about, so in event time.

    A muted alarm is `muted`, whatever it does meanwhile; one that fires is `held` while the
    trigger that it has asked for waits.
    """
    active = {
        source: [
            mute for mute in memory.mutes.values() if mute.is_active(memory.undecided_ns(source))
        ]
        for source in memory.sources
    }
    for id_, series in watched.items():
        gravest: dict[str, str] = {}
        for key, alarm in sorted(memory.alarms.get(id_, {}).items()):
            known = gravest.get(key.feature, GRAVITY[0])
            gravest[key.feature] = max(known, alarm.memory.state, key=GRAVITY.index)
        policy = memory.policies.get(series.policy)
        waits = policy is not None and policy.held is not None
        for feature, state in gravest.items():
            if any(mute.concerns(series.key, feature) for mute in active.get(series.source, ())):
                shown = "muted"
            elif waits and state in ("firing", "resolving"):
                shown = "held"
            else:
                shown = state
            yield StateRow(series.key, feature, shown)


def lasting_mutes(memory: Memory, now_ns: int) -> Iterator[Mute]:
    """Mutes that are not over, those that last longest first; `now_ns` is wall time."""
    found = (mute for mute in memory.mutes.values() if mutes.lasts(memory, mute, now_ns))
    yield from sorted(found, key=lambda mute: (-mute.ends_ns, mute.id))


def standing_holds(memory: Memory) -> Iterator[Hold]:
    """Holds that are not over, those that last longest first."""
    found = (hold for hold in memory.holds.values() if holds.lasts(memory, hold))
    yield from sorted(found, key=lambda hold: (-hold.expires_ns, hold.id))


def held(memory: Memory, policies: Mapping[str, Policy]) -> Iterator[HeldRow]:
    """Triggers that wait; `policies` by monitor."""
    for key, memory_of in sorted(memory.policies.items()):
        if key.monitor in policies:
            due = decide.due_ns(key, memory_of, policies[key.monitor], memory.holds.values())
            if due is not None:
                yield HeldRow(*key, due_ns=due)


def newest_deploys(memory: Memory) -> Iterator[DeployRow]:
    """The newest versions of each source."""
    for source, versions in sorted(memory.deploys.items()):
        for version, first_ns in service_versions.newest(versions, DEPLOYS):
            yield DeployRow(*source, version, first_ns)
