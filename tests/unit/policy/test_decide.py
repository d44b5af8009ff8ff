"""Episodes and triggers; expected decisions are read off design §8."""

from __future__ import annotations

from typing import Any

import pytest

from retraind.config.settings import Policy
from retraind.model import SeriesKey
from retraind.policy.alarms import AlarmMemory, ReadyWindow
from retraind.policy.decide import Child, PolicyKey, PolicyMemory, decide, from_json, to_json

KEY = PolicyKey("default", "bot", "prod", "gpt")
DAY = 86_400 * 10**9
T0 = 20_000 * DAY


def child(kind: Any, fired: int | None, *, cohort: str = "emea", psi: float = 0.4) -> Child:
    """An alarm that fires since `fired` (None: silent), drift with this PSI in three windows."""
    windows = (ReadyWindow("retrain" if psi >= 0.25 else "investigate", True, psi),) * 3
    alarm = AlarmMemory(noticed_ns=T0 - DAY)
    if fired is not None:
        alarm = AlarmMemory(
            "firing", fired, fired, fired, windows if kind == "drift" else (),
            retrain_band=psi >= 0.25,
        )  # fmt: skip
    return Child(SeriesKey(*KEY, cohort), "f", "", kind, alarm)


class Run:
    """Decides step by step; the memory goes through JSON each time, as over a restart."""

    def __init__(self, has_evaluations: bool = True, **settings: Any) -> None:
        self.policy = Policy(**settings)
        self.has_evaluations = has_evaluations
        self.memory = PolicyMemory()

    def at(self, day: float, *children: Child) -> list:
        self.memory, self.last = decide(
            KEY, from_json(to_json(self.memory)), children, T0 + int(day * DAY), self.policy,
            has_evaluations=self.has_evaluations,
        )  # fmt: skip
        return [decision.kind for decision in self.last]


def test_a_fail_rate_opens_an_episode_and_triggers_and_the_rest_joins():
    run, e, late = Run(), child("eval_fail_rate", T0), child("eval_fail_rate", T0, cohort="us")
    assert run.at(0, e) == ["open_episode", "trigger"]
    assert run.last[1].reasons == ("eval_fail_rate",)
    assert run.last[1].children == (e.id,)
    assert run.at(0.1, e) == []
    assert run.at(0.2, e, late) == ["join"]
    assert run.at(1, child("eval_fail_rate", None), late) == []
    assert run.at(2) == ["close_episode"]


def test_a_second_episode_within_the_cooldown_is_suppressed_once_and_triggers_after_it():
    run = Run()
    run.at(0, child("eval_fail_rate", T0))
    first = run.last[1]
    run.at(1)
    again = child("eval_fail_rate", T0 + 2 * DAY)
    assert run.at(2, again) == ["open_episode", "suppressed"]
    assert run.last[1].detail == "cooldown"
    assert run.at(3, again) == []
    assert run.at(6.99, again) == []
    assert run.at(7, again) == ["trigger"]
    assert run.last[0].trigger_id != first.trigger_id


@pytest.mark.parametrize(
    ("has_evaluations", "settings", "psi", "fires"),
    [
        (True, {}, 0.4, False),
        (False, {}, 0.4, True),
        (False, {}, 0.15, False),
        (True, {"any": ["drift"]}, 0.4, True),
        (True, {"any": ["drift"]}, 0.15, False),
        (False, {"any": ["eval_fail_rate"]}, 0.4, False),
    ],
)
def test_when_drift_asks_alone(has_evaluations: bool, settings: Any, psi: float, fires: bool):
    kinds = Run(has_evaluations, **settings).at(0, child("drift", T0, psi=psi))
    assert kinds == ["open_episode", "trigger"] if fires else ["open_episode"]


@pytest.mark.parametrize(
    "settings",
    [{"all": ["drift", "eval_fail_rate"]},
     {"k": 2, "of": ["drift", "eval_fail_rate", "golden_drop"]}],
)  # fmt: skip
def test_all_and_k_of_n_wait_for_agreement(settings: Any):
    run = Run(**settings)
    assert run.at(0, child("drift", T0)) == ["open_episode"]
    both = (child("drift", T0), child("eval_fail_rate", T0 + DAY))
    assert run.at(1, *both) == ["join", "trigger"]
    assert set(run.last[1].reasons) == {"drift", "eval_fail_rate"}


def test_answered_drift_stays_silent_until_it_moves_again():
    run = Run(has_evaluations=False)
    assert run.at(0, child("drift", T0)) == ["open_episode", "trigger"]
    assert run.at(3, child("drift", T0)) == []
    assert run.at(7, child("drift", T0)) == ["close_episode"]
    assert run.at(30, child("drift", T0, psi=0.7)) == []
    assert run.at(31, child("drift", T0, psi=0.81)) == ["open_episode", "trigger"]


def test_drift_that_resolved_and_fires_again_is_a_new_alarm():
    run = Run(has_evaluations=False)
    run.at(0, child("drift", T0))
    assert run.at(8, child("drift", None)) == ["close_episode"]
    assert run.at(9, child("drift", T0 + 9 * DAY)) == ["open_episode", "trigger"]


def test_an_alarm_after_the_trigger_is_not_lost_behind_answered_drift():
    run = Run(any=["drift", "eval_fail_rate"])
    run.at(0, child("drift", T0))
    later = child("eval_fail_rate", T0 + 3 * DAY)
    assert run.at(3, child("drift", T0), later) == ["join"]
    kinds = run.at(7, child("drift", T0), later)
    assert kinds == ["close_episode", "open_episode", "trigger"]
    assert run.last[2].reasons == ("eval_fail_rate",)


def test_the_schedule_needs_notice_since_the_last_retraining():
    run = Run(schedule="30d")
    silent = child("drift", None)  # it reached notice a day before the schedule began
    assert run.at(0, silent) == []
    assert run.at(29.9, silent) == []
    assert run.at(30, silent) == ["trigger"]
    assert (run.last[0].reasons, run.last[0].episode_id) == (("schedule",), "")
    assert run.at(60, silent) == []
    noticed = Child(silent.series, "f", "", "drift", AlarmMemory(noticed_ns=T0 + 61 * DAY))
    assert run.at(61, noticed) == ["trigger"]


def test_a_schedule_with_always_needs_nothing():
    run = Run(schedule="10d", always=True)
    assert [run.at(day) for day in (0, 9, 10, 19, 20)] == [[], [], ["trigger"], [], ["trigger"]]


def test_the_same_decision_has_the_same_ids_and_another_model_has_others():
    one, two = Run(), Run()
    one.at(0, child("eval_fail_rate", T0))
    two.at(0, child("eval_fail_rate", T0))
    assert one.last == two.last
    _, other = decide(
        KEY._replace(model="x"), PolicyMemory(), [child("eval_fail_rate", T0)], T0, Policy(),
        has_evaluations=True,
    )  # fmt: skip
    assert other[1].trigger_id != one.last[1].trigger_id
    assert other[0].episode_id != one.last[0].episode_id
