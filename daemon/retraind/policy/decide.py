"""When alarms become an episode, and an episode a request to retrain.

One policy per monitor, service, environment and model; the alarms of its series are its children.
An episode is one continuous alarm of the model. It asks for retraining once, when the policy's
reasons hold and the cooldown is over; alarms that come later join it. Everything here is a function
of the memory and the windows, so running it again, in one go or cut by restarts, decides the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, NamedTuple

from retraind.config.settings import Policy, Reason
from retraind.model import ReferenceKind, SeriesKey
from retraind.policy.alarms import AlarmKind, AlarmMemory

DecisionKind = Literal["open_episode", "join", "trigger", "suppressed", "close_episode"]

DEFAULT_REASONS: tuple[Reason, ...] = ("golden_drop", "eval_fail_rate", "label_feedback")
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
class PolicyMemory:
    """Everything a policy knows between two decisions; JSON by `to_json`, back by `from_json`.

    `episode_id` is "" while none is open. `children` are the ids that have joined the open episode,
    `episode_trigger_ns` when it asked for retraining (None: not yet). `answered` holds the alarms
    that were firing at the last trigger. `schedule_anchor_ns` is where the next interval starts.
    `suppressed` names what was last suppressed, so that it is reported once and not every tick.
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


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing decided at `at_ns` (the window's end, event time).

    `episode_id` is "" for a scheduled trigger outside any episode; only a `trigger` has a
    `trigger_id`. `reasons` are those that decided, `children` the ids concerned, `detail` one
    sentence.
    """

    kind: DecisionKind
    at_ns: int
    episode_id: str = ""
    trigger_id: str = ""
    reasons: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    detail: str = ""


def decide(
    key: PolicyKey,
    memory: PolicyMemory,
    children: Sequence[Child],
    now_ns: int,
    policy: Policy,
    *,
    has_evaluations: bool,
) -> tuple[PolicyMemory, list[Decision]]:
    """The memory and decisions after the windows that end at `now_ns`.

    `children` are all alarms of the policy, also the silent ones: an alarm that is not given counts
    as resolved. `has_evaluations`: some series of the policy has evaluations, so that by default
    drift does not ask on its own.
    """
    firing = {child.id: child for child in children if child.alarm.is_firing}
    memory = _observe(memory, children, firing, now_ns)
    decisions: list[Decision] = []
    memory = _close(memory, firing, now_ns, policy, decisions)
    memory = _open_or_join(key, memory, firing, now_ns, decisions)
    memory = _ask(key, memory, firing, now_ns, policy, has_evaluations, decisions)
    return memory, decisions


def to_json(memory: PolicyMemory) -> str:
    """The text of policies.memory."""
    return json.dumps(asdict(memory), separators=(",", ":"))


def from_json(text: str) -> PolicyMemory:
    """The memory written by `to_json`."""
    values = json.loads(text)
    values["children"] = tuple(values["children"])
    values["answered"] = {id_: Answered(**seen) for id_, seen in values["answered"].items()}
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
    )


def _open_or_join(
    key: PolicyKey,
    memory: PolicyMemory,
    firing: Mapping[str, Child],
    now_ns: int,
    decisions: list[Decision],
) -> PolicyMemory:
    new = tuple(
        sorted(
            id_
            for id_, child in firing.items()
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
    firing: Mapping[str, Child],
    now_ns: int,
    policy: Policy,
    has_evaluations: bool,
    decisions: list[Decision],
) -> PolicyMemory:
    """Trigger, or say why not although the policy's reasons hold."""
    joined = {id_: firing[id_] for id_ in memory.children if id_ in firing}
    held = _reasons_held(joined.values())
    due = _schedule_due(memory, now_ns, policy)
    if memory.episode_id and memory.episode_trigger_ns is None:
        reasons = _deciding(policy, held, due=due, has_evaluations=has_evaluations)
    else:
        reasons = ("schedule",) if due and _schedule_fires_alone(policy) else ()
    if not reasons:
        return memory
    if memory.last_trigger_ns is not None and _cooling(memory.last_trigger_ns, now_ns, policy):
        return _suppress(memory, reasons, tuple(joined), now_ns, decisions)
    in_episode = bool(memory.episode_id) and memory.episode_trigger_ns is None
    episode_id = memory.episode_id if in_episode else ""
    trigger_id = (
        stable_id("rt", key, memory.episode_start_ns, "episode")
        if in_episode
        else stable_id("rt", key, now_ns, "schedule")
    )
    decisions.append(Decision("trigger", now_ns, episode_id, trigger_id, reasons, tuple(joined)))
    return replace(
        memory,
        episode_trigger_ns=now_ns if in_episode else memory.episode_trigger_ns,
        last_trigger_ns=now_ns,
        schedule_anchor_ns=now_ns,
        answered={
            id_: Answered(child.kind, child.alarm.fired_ns, _psi_when_answered(child.alarm))
            for id_, child in firing.items()
        },
        suppressed="",
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


def _deciding(
    policy: Policy, held: set[str], *, due: bool, has_evaluations: bool
) -> tuple[str, ...]:
    """The reasons for which the policy asks, or none."""
    if due:
        held = held | {"schedule"}
    named, needed = named_reasons(policy, has_evaluations=has_evaluations)
    reasons = tuple(reason for reason in dict.fromkeys(named) if reason in held)
    if len(reasons) >= needed and reasons:
        return reasons
    return ("schedule",) if due and _schedule_fires_alone(policy) else ()


def named_reasons(policy: Policy, *, has_evaluations: bool) -> tuple[tuple[str, ...], int]:
    """The reasons that a policy counts, and how many of them it takes."""
    if policy.all is not None:
        return policy.all, len(policy.all)
    if policy.of is not None and policy.k is not None:
        return policy.of, policy.k
    named: tuple[str, ...] = policy.any if policy.any is not None else DEFAULT_REASONS
    if policy.any is None and not has_evaluations:
        named = (*named, "drift")
    return (*named, "schedule"), 1


def _schedule_due(memory: PolicyMemory, now_ns: int, policy: Policy) -> bool:
    """Whether the interval is over and, unless `always`, something was noticed since retraining."""
    if policy.schedule is None or memory.schedule_anchor_ns is None:
        return False
    if now_ns - memory.schedule_anchor_ns < policy.schedule * _NS:
        return False
    if policy.always:
        return True
    return memory.last_notice_ns is not None and memory.last_notice_ns > (
        memory.last_trigger_ns or 0
    )


def _schedule_fires_alone(policy: Policy) -> bool:
    """A schedule that `all` or `of` names is one reason among others; else it asks by itself."""
    return "schedule" not in (policy.all or policy.of or ())


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
