"""What a trigger says, worked out by hand from the alarms that made it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cloudevents.v1.http import from_json
from google.protobuf import json_format

from retraind.config.settings import Detector
from retraind.evaluate.trigger import trigger_of
from retraind.model import Contribution, SeriesKey
from retraind.policy.alarms import AlarmMemory, Finding, to_json
from retraind.policy.alarms import from_json as alarm_from_json
from retraind.policy.decide import Child, Decision, PolicyKey
from retraind.policy.holds import Hold
from retraind.webhook import trigger_pb2
from retraind.webhook.event import build_event

KEY = PolicyKey("support", "bot", "prod", "gpt")
HOUR = 3_600 * 10**9
END = 480_000 * HOUR
DRIFT = {
    "method": "psi/quantile10/v1", "value": 0.31, "bound": 0.2, "threshold": 0.1,
    "p_value": 1e-6, "n": 300, "m": 2900, "reference_id": "ref_1",
    "contributions": [["orders", 0.2, 0.5, 0.27], ["returns", 0.4, 0.3, 0.03]],
}  # fmt: skip
RATE = {
    "method": "betting/v1", "value": 0.2, "bound": 0.15, "threshold": 0.05, "n": 280, "m": 2800,
    "reference_id": "ref_1",
}  # fmt: skip


def child(
    kind: Any, feature: str, evidence: dict[str, Any], *, cohort: str = "emea", band: bool = False
) -> Child:
    """A firing alarm whose memory has been through the state file, as after a restart."""
    finding = Finding(kind, feature, "v1", "retrain", END - 2 * HOUR, END - HOUR, evidence=evidence)
    memory = AlarmMemory("firing", END, END - HOUR, END, finding=finding, retrain_band=band)
    alarm = alarm_from_json(to_json(memory))
    return Child(SeriesKey(*KEY, cohort), feature, "v1", kind, alarm)


def decision(reasons: tuple[str, ...], *children: Child, episode: str = "ep_1") -> Decision:
    return Decision("trigger", END, episode, "rt_1", reasons, tuple(each.id for each in children))


def test_the_reasons_that_decided_come_first_and_the_worst_of_them_leads():
    milder = child("eval_fail_rate", "grounded", RATE, cohort="us")
    worse = child("eval_fail_rate", "grounded", RATE | {"value": 0.5})
    drifted = child("drift", "intent", DRIFT | {"value": 9.0}, band=True)
    elsewhere = child("drift", "other", DRIFT, cohort="apac")  # fires, but not of this episode
    everything = [drifted, elsewhere, milder, worse]
    made = trigger_of(
        KEY, decision(("eval_fail_rate",), drifted, milder, worse), everything, Detector()
    )
    found = [(reason.kind, reason.series, reason.value) for reason in made.reasons]
    assert found == [
        ("eval_fail_rate", worse.series, 0.5),
        ("eval_fail_rate", milder.series, 0.2),
        ("drift", drifted.series, 9.0),
    ]
    assert made.series == worse.series
    assert (made.id, made.episode_id, made.decided_for_ns) == ("rt_1", "ep_1", END)
    assert (made.monitor, made.service_name, made.environment, made.model) == KEY


def test_a_reason_carries_the_evidence_of_its_window():
    drifted = child("drift", "intent", DRIFT, band=True)
    reason = trigger_of(KEY, decision(("drift",), drifted), [drifted], Detector()).reasons[0]
    assert reason.window_ns == (END - 2 * HOUR, END - HOUR)
    assert (reason.value, reason.bound, reason.p_value) == (0.31, 0.2, 1e-6)
    assert (reason.n, reason.m, reason.reference_id) == (300, 2900, "ref_1")
    assert reason.contributions[0] == Contribution("orders", 0.2, 0.5, 0.27)
    # Asking for retraining took the retrain band (0.25), not only the alarm's threshold (0.10).
    assert reason.threshold == 0.25


def test_drift_below_the_retrain_band_is_no_deciding_reason():
    strong = child("drift", "strong", DRIFT, band=True)
    weak = child("drift", "weak", DRIFT | {"value": 5.0})
    made = trigger_of(KEY, decision(("drift",), weak, strong), [weak, strong], Detector())
    assert [reason.feature for reason in made.reasons] == ["strong", "weak"]
    assert made.reasons[1].threshold == 0.1


def test_a_schedule_without_alarm_is_the_one_reason():
    made = trigger_of(KEY, decision(("schedule",), episode=""), [], Detector())
    assert [reason.kind for reason in made.reasons] == ["schedule"]
    assert (made.series, made.children, made.episode_id) == (None, (), "")


def test_a_schedule_beside_alarms_stands_after_those_that_decided():
    failing = child("eval_fail_rate", "grounded", RATE)
    drifted = child("drift", "intent", DRIFT)
    made = trigger_of(
        KEY, decision(("eval_fail_rate", "schedule"), failing, drifted), [failing, drifted],
        Detector(),
    )  # fmt: skip
    assert [reason.kind for reason in made.reasons] == ["eval_fail_rate", "schedule", "drift"]


def test_what_is_left_out_of_a_large_episode_is_counted():
    many = [child("drift", f"f{number}", DRIFT, band=True) for number in range(80)]
    made = trigger_of(KEY, decision(("drift",), *many), many, Detector())
    assert (len(made.reasons), made.reasons_omitted) == (20, 60)
    assert (len(made.children), made.children_omitted) == (50, 30)


def test_the_event_is_a_cloudevent_whose_data_is_the_published_message():
    failing = child("eval_fail_rate", "grounded", RATE)
    made = trigger_of(KEY, decision(("eval_fail_rate",), failing), [failing], Detector())
    body = build_event(
        made, created_at_ns=END, expires_at_ns=END + 24 * HOUR, source="/retraind/prod/my bot é"
    )
    event = from_json(body)
    assert event.get_attributes() == {
        "specversion": "1.0",
        "id": "rt_1",
        "source": "/retraind/prod/my%20bot%20%C3%A9",
        "type": "dev.retraind.retrain.requested.v1",
        "subject": "gpt",
        "time": "2024-10-04T00:00:00Z",
        "expirytime": "2024-10-05T00:00:00Z",
        "datacontenttype": "application/json",
    }
    data = json_format.ParseDict(json.loads(body)["data"], trigger_pb2.RetrainRequested())
    assert data.reasons[0].series.cohort == "emea"
    assert data.reasons[0].window.start.ToNanoseconds() == END - 2 * HOUR
    assert not data.reasons[0].HasField("p_value")
    assert data.children[0].state == "firing"
    assert data.children[0].firing_since.ToNanoseconds() == END - HOUR
    assert data.decided_for.ToNanoseconds() == END


def test_suspected_causes_travel_in_the_order_of_the_decision_and_bounded():
    failing = child("eval_fail_rate", "grounded", RATE)
    holds = tuple(
        Hold(f"hold_{i}", "deploy", *KEY[:3], None, f"bot {i} " + "x" * 400, END - i * HOUR, END)
        for i in range(12)
    )
    decided = replace(decision(("eval_fail_rate",), failing), holds=holds)
    made = trigger_of(KEY, decided, [failing], Detector())
    body = build_event(made, created_at_ns=END, expires_at_ns=END + HOUR, source="/retraind/x")
    sent = json_format.ParseDict(json.loads(body)["data"], trigger_pb2.RetrainRequested())
    causes = sent.suspected_causes
    assert [cause.at.ToNanoseconds() for cause in causes] == [END - i * HOUR for i in range(10)]
    assert {cause.kind for cause in causes} == {"deploy"}
    assert causes[3].detail == ("bot 3 " + "x" * 400)[:300]
