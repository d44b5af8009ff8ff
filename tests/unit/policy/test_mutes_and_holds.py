"""Mutes and holds in the policy; expected decisions are read off design §8."""

from __future__ import annotations

from typing import Any

import pytest

from retraind.config.settings import Policy
from retraind.model import SeriesKey
from retraind.policy.alarms import AlarmMemory, ReadyWindow
from retraind.policy.decide import (
    Child,
    Decision,
    PolicyKey,
    PolicyMemory,
    decide,
    due_ns,
    from_json,
    to_json,
)
from retraind.policy.holds import Hold, clear_ns, is_deploy, judges_changed
from retraind.policy.mutes import Mute

KEY = PolicyKey("default", "bot", "prod", "gpt")
HOUR = 3_600 * 10**9
T0 = 480_000 * HOUR


def at(hour: float) -> int:
    return T0 + int(hour * HOUR)


def failing(cohort: str = "emea", fired: float = 0, feature: str = "grounded") -> Child:
    alarm = AlarmMemory("firing", at(fired), at(fired), at(fired))
    return Child(SeriesKey(*KEY, cohort), feature, "", "eval_fail_rate", alarm)


def a_mute(start: float, end: float, **selected: str) -> Mute:
    names = ("service_name", "environment", "model", "cohort", "feature")
    wanted = {name: selected.get(name) for name in names}
    monitor = selected.get("monitor", "default")
    return Mute("mute_1", monitor, **wanted, starts_ns=at(start), ends_ns=at(end), reason="x")


def a_hold(start: float, hours: float = 24, *, model: str | None = None, **other: Any) -> Hold:
    values: dict[str, Any] = {"id": f"hold_{start}", "kind": "deploy", "cause": f"v{start}"} | other
    scope = {"monitor": "default", "service_name": "bot", "environment": "prod"}
    return Hold(**(scope | values), model=model, starts_ns=at(start), expires_ns=at(start + hours))


class Run:
    """Decides hour by hour; the memory goes through JSON each time, as over a restart."""

    def __init__(self, *mutes_and_holds: Mute | Hold, **settings: Any) -> None:
        self.policy = Policy(**settings)
        self.mutes = [each for each in mutes_and_holds if isinstance(each, Mute)]
        self.holds = [each for each in mutes_and_holds if isinstance(each, Hold)]
        self.memory = PolicyMemory()
        self.last: list[Decision] = []

    def at(self, hour: float, *children: Child) -> list[str]:
        self.memory, self.last = decide(
            KEY, from_json(to_json(self.memory)), children, at(hour), self.policy,
            has_evaluations=True, mutes=self.mutes, holds=self.holds,
        )  # fmt: skip
        return [decision.kind for decision in self.last]

    @property
    def due(self) -> float | None:
        found = due_ns(KEY, self.memory, self.policy, self.holds)
        return None if found is None else (found - T0) / HOUR


def test_a_muted_alarm_opens_nothing_until_the_mute_ends():
    run, e = Run(a_mute(0, 24)), failing()
    assert [run.at(hour, e) for hour in (0, 12, 23.99)] == [[], [], []]
    assert run.at(24, e) == ["open_episode", "trigger"]


def test_what_resolves_under_a_mute_was_never_asked_about():
    run = Run(a_mute(0, 24))
    assert [run.at(0, failing()), run.at(12), run.at(30)] == [[], [], []]


@pytest.mark.parametrize(
    ("selected", "silent"),
    [
        ({}, True),
        ({"cohort": "emea"}, True),
        ({"cohort": "us"}, False),
        ({"feature": "grounded"}, True),
        ({"feature": "toxic"}, False),
        ({"service_name": "bot", "environment": "prod", "model": "gpt"}, True),
        ({"model": "other"}, False),
        ({"environment": ""}, False),
        ({"monitor": "other"}, False),
    ],
)
def test_a_mute_is_about_what_it_names_and_no_more(selected: dict[str, str], silent: bool):
    kinds = Run(a_mute(0, 24, **selected)).at(0, failing())
    assert kinds == ([] if silent else ["open_episode", "trigger"])


def test_a_mute_of_one_cohort_leaves_the_others_their_trigger_and_joins_after_it():
    run, muted, other = Run(a_mute(0, 24, cohort="emea")), failing("emea"), failing("us")
    assert run.at(0, muted, other) == ["open_episode", "trigger"]
    assert run.last[1].children == (other.id,)
    assert run.at(24, muted, other) == ["join"]


def test_an_episode_outlives_the_mute_of_its_alarms_and_asks_no_second_time():
    run, e = Run(a_mute(5, 29), cooldown="1h"), failing()
    assert run.at(0, e) == ["open_episode", "trigger"]
    assert [run.at(hour, e) for hour in (5, 28, 29, 40)] == [[], [], [], []]


def test_a_mute_does_not_silence_the_schedule():
    run = Run(a_mute(0, 1000), schedule="10h", always=True)
    assert [run.at(0, failing()), run.at(10, failing())] == [[], ["trigger"]]
    assert run.last[0].children == ()


def test_a_trigger_waits_for_a_hold_and_goes_with_its_cause():
    run, e = Run(a_hold(-2)), failing()
    assert run.at(0, e) == ["open_episode", "held"]
    assert run.last[1].detail == "v-2"
    assert run.at(1, e) == []
    assert run.due == 22
    assert run.at(22, e) == ["trigger"]
    assert [hold.cause for hold in run.last[0].holds] == ["v-2"]
    assert (run.due, run.at(23, e)) == (None, [])


def test_what_resolves_while_it_is_held_is_not_asked_about():
    run = Run(a_hold(-2))
    assert run.at(0, failing()) == ["open_episode", "held"]
    assert run.at(3) == ["close_episode"]
    assert run.due is None
    assert run.at(30) == []


def test_deploys_day_after_day_do_not_hold_longer_than_hold_for():
    run, e = Run(*(a_hold(12 * number) for number in range(20))), failing()
    assert run.at(1, e) == ["open_episode", "held"]
    assert run.due == 25
    assert [run.at(hour, e) for hour in range(2, 25)] == [[]] * 23
    assert run.at(25, e) == ["trigger"]
    assert [hold.cause for hold in run.last[0].holds] == ["v24", "v12", "v0"]


def test_holds_that_follow_one_another_are_waited_for_in_one_go():
    run = Run(a_hold(0, 4), a_hold(3, 6), a_hold(20, 4))
    assert run.at(1, failing()) == ["open_episode", "held"]
    assert run.due == 9


@pytest.mark.parametrize(
    "hold",
    [
        a_hold(-24), a_hold(0.5), a_hold(-1, model="other"), a_hold(-1, monitor="other"),
        a_hold(-1, service_name="other"), a_hold(-1, environment="other"),
    ],
)  # fmt: skip
def test_a_hold_that_is_over_or_to_come_or_of_others_holds_nothing(hold: Hold):
    run = Run(hold)
    assert run.at(0, failing()) == ["open_episode", "trigger"]
    assert run.last[1].holds == ()


def test_a_hold_of_the_model_holds_and_without_hold_for_nothing_does():
    assert Run(a_hold(-1, model="gpt")).at(0, failing()) == ["open_episode", "held"]
    assert Run(a_hold(-1), hold_for=0).at(0, failing()) == ["open_episode", "trigger"]


def test_the_cooldown_comes_before_the_hold():
    run = Run(a_hold(9), cooldown="12h")
    assert run.at(0, failing()) == ["open_episode", "trigger"]
    assert run.at(5) == ["close_episode"]
    again = failing(fired=10)
    assert run.at(10, again) == ["open_episode", "suppressed"]
    assert run.at(12, again) == ["held"]
    assert run.at(33, again) == ["trigger"]


def test_the_schedule_waits_for_holds_too():
    run = Run(a_hold(9), schedule="10h", always=True)
    assert [run.at(0), run.at(10), run.at(32), run.at(33)] == [[], ["held"], [], ["trigger"]]
    assert [hold.cause for hold in run.last[0].holds] == ["v9"]


def test_when_holds_are_over():
    assert clear_ns([], 7) == 7
    assert clear_ns([a_hold(0, 4), a_hold(4, 2), a_hold(7, 1)], at(0)) == at(6)


def test_the_first_version_of_a_service_is_no_deploy():
    assert not is_deploy(5, [])
    assert is_deploy(5, [4])
    assert not is_deploy(5, [6]), "an older version that is heard of late"
    assert is_deploy(5, [6, 4])


def test_judges_change_unless_an_old_one_ran_beside_the_new_for_a_day():
    beside = {"a": range(30), "b": range(6, 40)}  # 24 hours together
    short = {"a": range(29), "b": range(6, 40)}  # 23
    assert not judges_changed({"b"}, {"a"}, beside)
    assert judges_changed({"b"}, {"a"}, short)
    assert not judges_changed({"a", "b"}, {"a"}, short), "the old judge still judges"
    assert not judges_changed({"b"}, set(), short), "there is nothing to compare with"
    assert not judges_changed(set(), {"a"}, short)


def test_a_trigger_answers_no_drift_that_was_muted():
    run = Run(a_mute(0, 24, cohort="emea"), any=["drift", "eval_fail_rate"])
    windows = (ReadyWindow("retrain", True, 0.4),) * 3
    alarm = AlarmMemory("firing", T0, T0, T0, windows, retrain_band=True)
    muted = Child(SeriesKey(*KEY, "emea"), "tokens", "", "drift", alarm)
    other = failing("us")
    assert run.at(0, muted, other) == ["open_episode", "trigger"]
    assert run.at(24, muted, other) == ["join"]
    assert run.at(24 * 7, muted) == ["close_episode", "open_episode", "trigger"]
    assert run.last[2].reasons == ("drift",)
