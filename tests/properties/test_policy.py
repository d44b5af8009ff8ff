"""Promise 7 over random histories: one episode, one trigger; restarts change nothing.

Mutes and holds come on top: they put off, and lose nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from retraind.config.settings import Detector, Policy
from retraind.model import SeriesKey
from retraind.policy import alarms, decide
from retraind.policy.alarms import AlarmMemory, Finding
from retraind.policy.decide import Child, Decision, PolicyKey, PolicyMemory
from retraind.policy.holds import Hold
from retraind.policy.mutes import Mute

KEY = PolicyKey("default", "bot", "prod", "gpt")
HOUR = 3_600 * 10**9
T0 = 480_000 * HOUR
DETECTOR = Detector()
WATCHED = [("drift", "a"), ("drift", "b"), ("eval_fail_rate", "a"), ("eval_fail_rate", "b")]

DRIFT = st.sampled_from(["ok", "notice", "investigate", "retrain", "immature", "no_data"])
RATE = st.sampled_from(["ok", "ok", "ok", "alarm", "immature", "no_data"])
TICK = st.tuples(DRIFT, DRIFT, RATE, RATE, st.sampled_from([1, 1, 1, 30, 200]))
HISTORY = st.lists(TICK, max_size=40)
POLICY = st.sampled_from(
    [
        Policy(),
        Policy(any=("drift", "eval_fail_rate"), cooldown=24 * 3600.0),
        Policy(all=("drift", "eval_fail_rate"), cooldown=0.0),
        Policy(schedule=48 * 3600.0, cooldown=36 * 3600.0),
        Policy(schedule=24 * 3600.0, always=True, cooldown=72 * 3600.0),
    ]
)
SPAN = st.tuples(st.integers(0, 200), st.sampled_from([1, 5, 24, 100]))
MUTES = st.lists(
    st.builds(
        lambda span, cohort, number: Mute(
            f"mute_{number}", "default", None, None, None, cohort, None,
            T0 + span[0] * HOUR, T0 + sum(span) * HOUR, "because",
        ),
        SPAN, st.sampled_from([None, "a", "b"]), st.integers(0, 10**6),
    ),
    max_size=4,
)  # fmt: skip
HOLDS = st.lists(
    st.builds(
        lambda span, number: Hold(
            f"hold_{number}", "deploy", *KEY[:3], None, f"v{number}",
            T0 + span[0] * HOUR, T0 + (span[0] + 24) * HOUR,
        ),
        SPAN, st.integers(0, 10**6),
    ),
    max_size=6,
)  # fmt: skip
PSI = {"ok": 0.01, "notice": 0.05, "investigate": 0.15, "retrain": 0.4}


class Moment(NamedTuple):
    """What was so after one decision."""

    now_ns: int
    memory: PolicyMemory
    children: list[Child]


def replay(
    history: list,
    policy: Policy,
    has_evaluations: bool,
    restarts: set[int],
    mutes: list[Mute] | tuple[()] = (),
    holds: list[Hold] | tuple[()] = (),
) -> tuple[list[Decision], list[Moment]]:
    """Decisions, and what was so after each tick; at `restarts` all memory goes through JSON.

    Triggers that wait are decided about when they are due, as the evaluation does it.
    """
    memories = [AlarmMemory() for _ in WATCHED]
    memory, now = PolicyMemory(), T0
    decided: list[Decision] = []
    trace: list[Moment] = []

    def step(at_ns: int) -> None:
        nonlocal memory
        children = [
            Child(SeriesKey(*KEY, cohort), "f", "", kind, alarm)
            for (kind, cohort), alarm in zip(WATCHED, memories, strict=True)
        ]
        memory, new = decide.decide(
            KEY, memory, children, at_ns, policy,
            has_evaluations=has_evaluations, mutes=mutes, holds=holds,
        )  # fmt: skip
        decided.extend(new)
        trace.append(Moment(at_ns, memory, children))

    for index, (*verdicts, hours) in enumerate(history):
        start, now = now, now + hours * HOUR
        if index in restarts:
            memories = [alarms.from_json(alarms.to_json(each)) for each in memories]
            memory = decide.from_json(decide.to_json(memory))
        due = decide.due_ns(KEY, memory, policy, holds)
        if due is not None and due < now:
            step(due)
        for place, ((kind, _), verdict) in enumerate(zip(WATCHED, verdicts, strict=True)):
            found = Finding(
                kind, "f", "", verdict, start, now, verdict in ("investigate", "retrain"),
                PSI.get(verdict) if kind == "drift" else None,
            )  # fmt: skip
            memories[place] = alarms.step(memories[place], found, DETECTOR)
        step(now)
    return decided, trace


@settings(max_examples=150, deadline=None)
@given(HISTORY, POLICY, st.booleans(), st.sets(st.integers(0, 40)), MUTES, HOLDS)
def test_restarts_anywhere_give_the_same_decisions(
    history, policy, evaluations, restarts, mutes, holds
):
    assert replay(history, policy, evaluations, restarts, mutes, holds) == replay(
        history, policy, evaluations, set(), mutes, holds
    )


@settings(max_examples=150, deadline=None)
@given(HISTORY, POLICY, st.booleans(), MUTES, HOLDS)
def test_one_trigger_an_episode_and_none_within_the_cooldown(
    history, policy, evaluations, mutes, holds
):
    decided, _ = replay(history, policy, evaluations, set(), mutes, holds)
    triggers = [each for each in decided if each.kind == "trigger"]
    of_episodes = [each.episode_id for each in triggers if each.episode_id]
    assert len(of_episodes) == len(set(of_episodes))
    ids = [each.trigger_id for each in triggers]
    assert len(ids) == len(set(ids))
    times = [each.at_ns for each in triggers]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap >= policy.cooldown * 1e9 for gap in gaps)


@settings(max_examples=300, deadline=None)
@given(HISTORY, st.sampled_from([0.0, 36 * 3600.0]), MUTES, HOLDS)
def test_mutes_and_holds_put_off_and_lose_nothing(history, cooldown, mutes, holds):
    """Whatever fires, and is not muted now, has its episode, and that one its trigger.

    Else it waits for a hold that stands, or for the cooldown, or is drift that was answered.
    """
    policy = Policy(any=("drift", "eval_fail_rate"), cooldown=cooldown)
    decided, trace = replay(history, policy, True, set(), mutes, holds)
    triggers = [each.at_ns for each in decided if each.kind == "trigger"]
    for now, memory, children in trace:
        muted = {m.cohort for m in mutes if m.starts_ns <= now < m.ends_ns}
        heard = [
            child
            for child in children
            if child.alarm.is_firing and not muted & {None, child.series.cohort}
        ]
        for child in heard:
            answered = memory.answered.get(child.id)
            assert child.id in memory.children or (answered and answered.kind == "drift")
        asking = [
            child
            for child in heard
            if child.id in memory.children
            and (child.kind == "eval_fail_rate" or child.alarm.retrain_band)
        ]
        if asking and memory.episode_trigger_ns is None:
            cooling = any(0 <= now - at < cooldown * 1e9 for at in triggers)
            held = memory.held is not None and any(
                hold.starts_ns <= now < hold.expires_ns for hold in holds
            )
            assert cooling or held
            assert cooling or now - memory.held.since_ns < 24 * HOUR


@settings(max_examples=150, deadline=None)
@given(HISTORY, POLICY, MUTES, HOLDS)
def test_while_they_last_mutes_and_holds_keep_silent(history, policy, mutes, holds):
    decided, trace = replay(history, policy, True, set(), mutes, holds)
    cohorts = {child.id: child.series.cohort for now, _, children in trace for child in children}
    waits: dict[str, int] = {}
    for each in decided:
        muted = {m.cohort for m in mutes if m.starts_ns <= each.at_ns < m.ends_ns}
        if each.kind in ("open_episode", "join", "trigger", "held"):
            assert not {cohorts[id_] for id_ in each.children} & muted
            assert None not in muted or not each.children
        standing = [h for h in holds if h.starts_ns <= each.at_ns < h.expires_ns]
        if each.kind == "held":
            assert standing
            waits[each.episode_id] = each.at_ns
        if each.kind == "trigger" and standing:
            assert each.at_ns - waits[each.episode_id] >= 24 * HOUR, "it has waited long enough"
            assert set(standing) <= set(each.holds), "and says for what"


@settings(max_examples=150, deadline=None)
@given(HISTORY, POLICY, st.booleans())
def test_episodes_open_and_close_in_turn_and_joins_name_the_open_one(history, policy, evaluations):
    decided, _ = replay(history, policy, evaluations, set())
    open_id = ""
    for each in decided:
        if each.kind == "open_episode":
            assert open_id == ""
            open_id = each.episode_id
        elif each.kind == "close_episode":
            assert each.episode_id == open_id
            open_id = ""
        elif each.episode_id:
            assert each.episode_id == open_id


@settings(max_examples=150, deadline=None)
@given(HISTORY)
def test_drift_begins_to_fire_only_on_two_of_its_last_three_ready_windows(history):
    _, trace = replay(history, Policy(), True, set())
    for place in (0, 1):
        ready = []
        before = AlarmMemory()
        for tick, states in zip(history, trace, strict=True):
            if tick[place] not in ("immature", "no_data"):
                ready.append(tick[place])
            alarm = states.children[place].alarm
            if alarm.is_firing and not before.is_firing:
                assert sum(v in ("investigate", "retrain") for v in ready[-3:]) >= 2
            before = alarm
