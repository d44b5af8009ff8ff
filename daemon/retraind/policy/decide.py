"""When alarms become an episode, and an episode a request to retrain.

One policy per monitor, service, environment and model; the alarms of its series are its children.
An episode is one continuous alarm of the model. It asks for retraining once, when the policy's
reasons hold and the cooldown is over; alarms that come later join it. Everything here is a function
of the memory and the windows, so running it again, in one go or cut by restarts, decides the same.

A muted alarm goes on as it is, but neither opens or joins an episode nor counts as a reason; when
the mute ends while it fires, it does both. While a hold stands, a trigger that is due waits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, NamedTuple

from retraind.config.settings import Policy
from retraind.model import ReferenceKind, SeriesKey
from retraind.policy.alarms import AlarmKind, AlarmMemory
from retraind.policy.holds import Hold, clear_ns
from retraind.policy.mutes import Mute
from retraind.policy.reasons import by_schedule_alone, deciding, schedule_due

DecisionKind = Literal["open_episode", "join", "trigger", "held", "suppressed", "close_episode"]

MOVED_AGAIN_RATIO = 2.0
_NS = 1_000_000_000


class PolicyKey(NamedTuple):
    """What one policy decides about."""

    monitor: str
    service_name: str
    environment: str
    model: str


@dataclass(frozen=True, slots=True)
class Child:
    """One alarm of one series of the policy, and which reference it is held against."""

    series: SeriesKey
    feature: str
    version: str
    kind: AlarmKind
    alarm: AlarmMemory
    reference: ReferenceKind = "pinned"

    @property
    def id(self) -> str:
        """Stable name of the alarm within its policy."""
        others = () if self.reference == "pinned" else (self.reference,)
        return json.dumps([self.kind, self.feature, self.version, self.series.cohort, *others])

    @property
    def asks(self) -> bool:
        """Whether it is reason enough to retrain, if the policy names its kind.

        Drift is when it is large and away from what was accepted: a seasonal reference follows slow
        drift, and a change with a deploy is first of all the deploy's.
        """
        if self.kind != "drift":
            return True
        return self.reference == "pinned" and self.alarm.retrain_band


@dataclass(frozen=True, slots=True)
class Answered:
    """What an alarm was like when a trigger answered it."""

    kind: AlarmKind
    fired_ns: int
    psi: float


@dataclass(frozen=True, slots=True)
class Held:
    """A trigger that waits: since when, and when it was last found to have to."""

    since_ns: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class PolicyMemory:
    """Everything a policy knows between two decisions; JSON by `to_json`, back by `from_json`.

    `episode_id` is "" while none is open. `children` are the ids that have joined the open episode,
    `episode_trigger_ns` when it asked for retraining (None: not yet). `answered` holds the alarms
    that were firing at the last trigger. `schedule_anchor_ns` is where the next interval starts.
    `suppressed` names what was last suppressed, so that it is reported once and not every tick;
    `held` is the trigger that waits for holds.
    """

    episode_id: str = ""
    episode_start_ns: int = 0
    episode_trigger_ns: int | None = None
    children: tuple[str, ...] = ()
    last_trigger_ns: int | None = None
    answered: Mapping[str, Answered] = field(default_factory=dict)
    last_notice_ns: int | None = None
    schedule_anchor_ns: int | None = None
    suppressed: str = ""
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing decided at `at_ns` (the window's end, event time).

    `episode_id` is "" for a scheduled trigger outside any episode; only a `trigger` has a
    `trigger_id`. `reasons` are those that decided, `children` the ids concerned, `detail` one
    sentence, `holds` what may have caused it all.
    """

    kind: DecisionKind
    at_ns: int
    episode_id: str = ""
    trigger_id: str = ""
    reasons: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    detail: str = ""
    holds: tuple[Hold, ...] = ()


def decide(
    key: PolicyKey,
    memory: PolicyMemory,
    children: Sequence[Child],
    now_ns: int,
    policy: Policy,
    *,
    has_evaluations: bool,
    mutes: Collection[Mute] = (),
    holds: Collection[Hold] = (),
) -> tuple[PolicyMemory, list[Decision]]:
    """The memory and decisions after the windows that end at `now_ns`.

    `children` are all alarms of the policy, also the silent ones: an alarm that is not given counts
    as resolved. `has_evaluations`: some series of the policy has evaluations, so that by default
    drift does not ask on its own. `mutes` and `holds` may be over, or about others.
    """
    active = [mute for mute in mutes if mute.is_active(now_ns)]
    heard = [
        child
        for child in children
        if not any(mute.concerns(child.series, child.feature) for mute in active)
    ]
    # A muted alarm that fires keeps its place in the episode: one that closed and opened again
    # would ask for retraining twice.
    firing = {child.id: child for child in children if child.alarm.is_firing}
    audible = {child.id: child for child in heard if child.alarm.is_firing}
    own_holds = [hold for hold in holds if hold.concerns(*key)]
    memory = _observe(memory, heard, firing, now_ns)
    decisions: list[Decision] = []
    memory = _close(memory, firing, now_ns, policy, decisions)
    memory = _open_or_join(key, memory, audible, now_ns, decisions)
    memory = _ask(key, memory, audible, now_ns, policy, has_evaluations, own_holds, decisions)
    return memory, decisions


def due_ns(
    key: PolicyKey, memory: PolicyMemory, policy: Policy, holds: Iterable[Hold]
) -> int | None:
    """When the trigger that waits is to be decided about again; None while none waits.

    Then its holds are over, or it has waited for as long as `hold_for` allows.
    """
    if memory.held is None:
        return None
    clear = clear_ns((hold for hold in holds if hold.concerns(*key)), memory.held.at_ns)
    return max(memory.held.at_ns, min(clear, memory.held.since_ns + _hold_for_ns(policy)))


def to_json(memory: PolicyMemory) -> str:
    """The text of policies.memory."""
    return json.dumps(asdict(memory), separators=(",", ":"))


def from_json(text: str) -> PolicyMemory:
    """The memory written by `to_json`."""
    values = json.loads(text)
    values["children"] = tuple(values["children"])
    values["answered"] = {id_: Answered(**seen) for id_, seen in values["answered"].items()}
    if values.get("held") is not None:
        values["held"] = Held(**values["held"])
    return PolicyMemory(**values)


def stable_id(prefix: str, key: PolicyKey, start_ns: int, kind: str) -> str:
    """An id that depends on nothing but what is decided: prefix and 128 bits of SHA-256."""
    text = json.dumps([*key, start_ns, kind], ensure_ascii=True)
    return f"{prefix}_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _observe(
    memory: PolicyMemory, children: Sequence[Child], firing: Mapping[str, Child], now_ns: int
) -> PolicyMemory:
    """Take note of windows that reached notice, and forget answers to alarms that have ended."""
    noticed = max((child.alarm.noticed_ns for child in children), default=0)
    answered = {
        id_: seen
        for id_, seen in memory.answered.items()
        if id_ in firing and firing[id_].alarm.fired_ns == seen.fired_ns
    }
    return replace(
        memory,
        answered=answered,
        last_notice_ns=max(noticed, memory.last_notice_ns or 0) or None,
        schedule_anchor_ns=now_ns
        if memory.schedule_anchor_ns is None
        else memory.schedule_anchor_ns,
    )


def _close(
    memory: PolicyMemory,
    firing: Mapping[str, Child],
    now_ns: int,
    policy: Policy,
    decisions: list[Decision],
) -> PolicyMemory:
    """Close the episode when its children have resolved.

    Drift stays until the reference moves, so drift that the trigger answered holds the episode open
    only for the cooldown; otherwise a model that once drifted could never have a second episode.
    Alarms that joined after the trigger are carried into the next episode then.
    """
    if not memory.episode_id:
        return memory
    left = [id_ for id_ in memory.children if id_ in firing]
    detail = "all alarms have resolved"
    if left:
        if memory.episode_trigger_ns is None or _cooling(memory.episode_trigger_ns, now_ns, policy):
            return memory
        if any(seen.kind != "drift" for id_, seen in memory.answered.items() if id_ in left):
            return memory
        detail = "the cooldown of its trigger is over and only drift that it answered is left"
    decisions.append(
        Decision(
            "close_episode", now_ns, memory.episode_id, children=memory.children, detail=detail
        )
    )
    return replace(
        memory,
        episode_id="",
        episode_start_ns=0,
        episode_trigger_ns=None,
        children=(),
        suppressed="",
        held=None,
    )


def _open_or_join(
    key: PolicyKey,
    memory: PolicyMemory,
    audible: Mapping[str, Child],
    now_ns: int,
    decisions: list[Decision],
) -> PolicyMemory:
    new = tuple(
        sorted(
            id_
            for id_, child in audible.items()
            if id_ not in memory.children and not _is_answered(memory, id_, child)
        )
    )
    if not new:
        return memory
    if memory.episode_id:
        decisions.append(Decision("join", now_ns, memory.episode_id, children=new))
        return replace(memory, children=(*memory.children, *new))
    episode_id = stable_id("ep", key, now_ns, "episode")
    decisions.append(Decision("open_episode", now_ns, episode_id, children=new))
    return replace(memory, episode_id=episode_id, episode_start_ns=now_ns, children=new)


def _ask(
    key: PolicyKey,
    memory: PolicyMemory,
    audible: Mapping[str, Child],
    now_ns: int,
    policy: Policy,
    has_evaluations: bool,
    holds: Sequence[Hold],
    decisions: list[Decision],
) -> PolicyMemory:
    """Trigger, or say why not although the policy's reasons hold."""
    joined = {id_: audible[id_] for id_ in memory.children if id_ in audible}
    due = schedule_due(
        policy, now_ns, anchor_ns=memory.schedule_anchor_ns, noticed_ns=memory.last_notice_ns,
        trigger_ns=memory.last_trigger_ns,
    )  # fmt: skip
    in_episode = bool(memory.episode_id) and memory.episode_trigger_ns is None
    if in_episode:
        held = _reasons_held(joined.values())
        reasons = deciding(policy, held, due=due, has_evaluations=has_evaluations)
    else:
        reasons = by_schedule_alone(policy, due=due)
    if not reasons:
        return replace(memory, held=None)
    if memory.last_trigger_ns is not None and _cooling(memory.last_trigger_ns, now_ns, policy):
        return _suppress(memory, reasons, tuple(joined), now_ns, decisions)
    episode_id = memory.episode_id if in_episode else ""
    asked = Decision("trigger", now_ns, episode_id, "", reasons, tuple(joined))
    standing = tuple(hold for hold in holds if hold.stands(now_ns))
    since_ns = memory.held.since_ns if memory.held is not None else now_ns
    if standing and now_ns < since_ns + _hold_for_ns(policy):
        return _wait(memory, asked, standing, decisions)
    return _trigger(key, memory, asked, audible, holds, decisions)


def _wait(
    memory: PolicyMemory, asked: Decision, standing: tuple[Hold, ...], decisions: list[Decision]
) -> PolicyMemory:
    """Remember that a trigger is due, and say so once."""
    if memory.held is not None:
        return replace(memory, held=replace(memory.held, at_ns=asked.at_ns))
    causes = "; ".join(hold.cause for hold in standing)
    decisions.append(replace(asked, kind="held", detail=causes, holds=standing))
    return replace(memory, held=Held(asked.at_ns, asked.at_ns))


def _trigger(
    key: PolicyKey,
    memory: PolicyMemory,
    asked: Decision,
    audible: Mapping[str, Child],
    holds: Sequence[Hold],
    decisions: list[Decision],
) -> PolicyMemory:
    now_ns, in_episode = asked.at_ns, bool(asked.episode_id)
    begun_ns = memory.episode_start_ns if in_episode else now_ns
    since_ns = begun_ns if memory.held is None else min(begun_ns, memory.held.since_ns)
    causes = [hold for hold in holds if hold.overlaps(since_ns, now_ns)]
    decisions.append(
        replace(
            asked,
            trigger_id=stable_id("rt", key, begun_ns, "episode" if in_episode else "schedule"),
            holds=tuple(sorted(causes, key=lambda hold: (-hold.starts_ns, hold.id))),
        )
    )
    return replace(
        memory,
        episode_trigger_ns=now_ns if in_episode else memory.episode_trigger_ns,
        last_trigger_ns=now_ns,
        schedule_anchor_ns=now_ns,
        answered={
            id_: Answered(child.kind, child.alarm.fired_ns, _psi_when_answered(child.alarm))
            for id_, child in audible.items()
        },
        suppressed="",
        held=None,
    )


def _suppress(
    memory: PolicyMemory,
    reasons: tuple[str, ...],
    children: tuple[str, ...],
    now_ns: int,
    decisions: list[Decision],
) -> PolicyMemory:
    suppressed = json.dumps([memory.episode_id, *reasons])
    if suppressed != memory.suppressed:
        decisions.append(
            Decision("suppressed", now_ns, memory.episode_id, "", reasons, children, "cooldown")
        )
    return replace(memory, suppressed=suppressed)


def _reasons_held(children: Iterable[Child]) -> set[str]:
    return {child.kind for child in children if child.asks}


def _is_answered(memory: PolicyMemory, id_: str, child: Child) -> bool:
    """Drift that a trigger answered asks again when it has doubled, or as a new alarm."""
    seen = memory.answered.get(id_)
    if seen is None or seen.kind != "drift":
        return False
    return child.alarm.sustained_psi < MOVED_AGAIN_RATIO * seen.psi


def _psi_when_answered(alarm: AlarmMemory) -> float:
    latest = alarm.finding.psi_corrected if alarm.finding is not None else None
    return max(alarm.sustained_psi, latest or 0.0)


def _cooling(trigger_ns: int, now_ns: int, policy: Policy) -> bool:
    return now_ns - trigger_ns < policy.cooldown * _NS


def _hold_for_ns(policy: Policy) -> int:
    return int(policy.hold_for * _NS)
