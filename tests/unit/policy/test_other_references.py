"""Alarms against other references than the pinned one are evidence, and no reason to retrain."""

from __future__ import annotations

import json

import pytest

from retraind.config.settings import Policy
from retraind.model import ReferenceKind, SeriesKey
from retraind.policy.alarms import AlarmMemory
from retraind.policy.decide import Child, PolicyKey, PolicyMemory, decide

KEY = PolicyKey("m", "bot", "prod", "gpt-4o")
ALARM = AlarmMemory("firing", since_ns=1, fired_ns=1, retrain_band=True)
DRIFT = Policy(any=("drift",))


def child(reference: ReferenceKind) -> Child:
    series = SeriesKey("m", "bot", "prod", "gpt-4o", "gold")
    return Child(series, "input_tokens", "", "drift", ALARM, reference)


def kinds(*children: Child) -> list[str]:
    _, decisions = decide(KEY, PolicyMemory(), children, 5, DRIFT, has_evaluations=False)
    return [decision.kind for decision in decisions]


@pytest.mark.parametrize("reference", ["seasonal", "deploy"])
def test_they_open_an_episode_and_ask_for_nothing(reference: ReferenceKind) -> None:
    assert kinds(child(reference)) == ["open_episode"]


def test_the_pinned_one_asks() -> None:
    assert kinds(child("pinned"), child("seasonal")) == ["open_episode", "trigger"]


def test_each_is_an_alarm_of_its_own_and_the_pinned_one_keeps_its_name() -> None:
    names = [json.loads(child(each).id) for each in ("pinned", "seasonal", "deploy")]
    assert names[0] == ["drift", "input_tokens", "", "gold"]
    assert names[1:] == [[*names[0], "seasonal"], [*names[0], "deploy"]]
