"""Promise 7 over random histories: one episode, one trigger; restarts change nothing."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from retraind.config.settings import Detector, Policy
from retraind.model import SeriesKey
from retraind.policy import alarms, decide
from retraind.policy.alarms import AlarmMemory, Finding
from retraind.policy.decide import Child, Decision, PolicyKey, PolicyMemory

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
PSI = {"ok": 0.01, "notice": 0.05, "investigate": 0.15, "retrain": 0.4}


def replay(
    history: list, policy: Policy, has_evaluations: bool, restarts: set[int]
) -> tuple[list[Decision], list[list[AlarmMemory]]]:
    """Decisions and the alarms after every tick; at `restarts` all memory goes through JSON."""
    memories = [AlarmMemory() for _ in WATCHED]
    memory, now = PolicyMemory(), T0
    decided: list[Decision] = []
    trace = []
    for index, (*verdicts, hours) in enumerate(history):
        start, now = now, now + hours * HOUR
        if index in restarts:
            memories = [alarms.from_json(alarms.to_json(each)) for each in memories]
            memory = decide.from_json(decide.to_json(memory))
        for place, ((kind, _), verdict) in enumerate(zip(WATCHED, verdicts, strict=True)):
            found = Finding(
                kind, "f", "", verdict, start, now, verdict in ("investigate", "retrain"),
                PSI.get(verdict) if kind == "drift" else None,
            )  # fmt: skip
            memories[place] = alarms.step(memories[place], found, DETECTOR)
        children = [
            Child(SeriesKey(*KEY, cohort), "f", "", kind, alarm)
            for (kind, cohort), alarm in zip(WATCHED, memories, strict=True)
        ]
        memory, new = decide.decide(
            KEY, memory, children, now, policy, has_evaluations=has_evaluations
        )
        decided += new
        trace.append(list(memories))
    return decided, trace


@settings(max_examples=150, deadline=None)
@given(HISTORY, POLICY, st.booleans(), st.sets(st.integers(0, 40)))
def test_restarts_anywhere_give_the_same_decisions(history, policy, evaluations, restarts):
    assert replay(history, policy, evaluations, restarts) == replay(
        history, policy, evaluations, set()
    )


@settings(max_examples=150, deadline=None)
@given(HISTORY, POLICY, st.booleans())
def test_one_trigger_an_episode_and_none_within_the_cooldown(history, policy, evaluations):
    decided, _ = replay(history, policy, evaluations, set())
    triggers = [each for each in decided if each.kind == "trigger"]
    of_episodes = [each.episode_id for each in triggers if each.episode_id]
    assert len(of_episodes) == len(set(of_episodes))
    ids = [each.trigger_id for each in triggers]
    assert len(ids) == len(set(ids))
    times = [each.at_ns for each in triggers]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap >= policy.cooldown * 1e9 for gap in gaps)


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
            if states[place].is_firing and not before.is_firing:
                assert sum(v in ("investigate", "retrain") for v in ready[-3:]) >= 2
            before = states[place]
