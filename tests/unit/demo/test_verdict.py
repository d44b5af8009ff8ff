"""The verdict is strict, and is read from delivered events alone."""

from __future__ import annotations

import pytest

from retraind.demo.receiver import Delivery
from retraind.demo.scenario import Drift, Scenario
from retraind.demo.verdict import EVENT_TYPE, problems

DRIFT = Drift("gpt-4o-mini", "emea")
END_NS = 1_795_046_400_000_000_000  # 2026-11-19 00:00 UTC; the second week begins on the 12th


def series(model="gpt-4o-mini", cohort="emea"):
    return {"monitor": "support", "serviceName": "support-bot", "model": model, "cohort": cohort}


def event(**data):
    scope = {"serviceName": "support-bot", "environment": "production", "model": "gpt-4o-mini"}
    right = {"scope": scope, "series": series(), "reasons": [{"series": series()}]}
    right["decidedFor"] = "2026-11-12T09:00:00Z"
    return {"id": "a", "type": EVENT_TYPE, "data": right | data}


def judged(*events, drift=DRIFT, refused=()):
    return problems(Scenario(1, drift, END_NS), [Delivery(e["id"], e) for e in events], refused)


def test_one_right_trigger_is_right():
    assert judged(event()) == []


def test_the_same_event_delivered_twice_is_one_trigger():
    assert judged(event(), event()) == []


def test_silence_is_right_when_nothing_drifted():
    assert judged(drift=None) == []


@pytest.mark.parametrize(
    ("events", "drift", "says"),
    [
        ([], DRIFT, "got 0"),
        ([event(), event() | {"id": "b"}], DRIFT, "got 2"),
        ([event()], None, "nothing drifted"),
        ([event()], Drift("gpt-4o-mini", "apac"), "gpt-4o-mini/emea"),
        ([event()], Drift("gpt-4o", "emea"), "scope"),
        ([event(reasons=[])], DRIFT, "no reason"),
        ([event(reasons=[{"series": series(cohort="amer")}])], DRIFT, "gpt-4o-mini/amer"),
        ([event(children=[{"series": series(cohort="amer")}])], DRIFT, "gpt-4o-mini/amer"),
        ([event(series=series(cohort="__other__"))], DRIFT, "gpt-4o-mini/__other__"),
        ([event() | {"type": "other"}], DRIFT, "type"),
        ([event(decidedFor="2026-11-12T00:00:00Z")], DRIFT, "before 11-12 00:00"),
        ([event(decidedFor="")], DRIFT, "does not say when"),
    ],
)
def test_anything_else_is_wrong(events, drift, says):
    assert any(says in problem for problem in judged(*events, drift=drift))


def test_a_refused_delivery_is_wrong_even_when_a_good_one_came():
    assert judged(event(), refused=("no webhook-signature matches",)) != []


def test_the_webhook_id_must_be_the_events_id():
    assert problems(Scenario(1, DRIFT, END_NS), [Delivery("other", event())], ()) != []
