"""What moved, told by a real evaluation of planted changes; expected shares are worked by hand."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from builders import HOUR_NS, a_request, a_span
from evaluate_harness import MONITOR, START_NS, World, a_config
from retraind.evaluate import telling

Make = Callable[..., World]
HOOK = {"name": "hook", "url": "http://127.0.0.1:1/"}
TIERS = MONITOR | {
    "cohort": 'attributes["user.tier"]',
    "policy": {"any": ["drift", "eval_fail_rate"]},
}
CALM = {"gold": (80, 0.1), "free": (40, 0.5)}


def an_hour(
    hour: int, tiers: dict[str, tuple[int, float]], *, shifted: tuple[str, ...] = ()
) -> ExportTraceServiceRequest:
    """Sessions of one hour: how many of each tier, and the share of them whose answer failed."""
    rng = random.Random(hour)
    spans = []
    for tier, (sessions, failing) in sorted(tiers.items()):
        for i in range(sessions):
            intents = ["refund"] * 8 + ["order"] if tier in shifted else ["order", "ask", "refund"]
            spans.append(
                a_span(
                    rng,
                    start_ns=START_NS + hour * HOUR_NS + rng.randrange(HOUR_NS // 2),
                    attributes={
                        "user.tier": tier,
                        "app.intent": rng.choice(intents),
                        "gen_ai.usage.input_tokens": rng.randrange(100, 1000),
                    },
                    evaluations=[("grounded", 0.0 if i < failing * sessions else 1.0, "")],
                )
            )
    return a_request(sorted(spans, key=lambda span: span.start_time_unix_nano))


def play(make_world: Make, *hours: Any) -> World:
    world = make_world(a_config(TIERS, destinations=[HOOK]))
    for hour in hours:
        world.send(hour)
        world.tick()
    return world


def of_the_trigger(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attribution of the only episode, and the event of its trigger."""
    (row,) = world.rows(
        "select attribution, event from triggers t join episodes e on t.episode_id = e.id"
    )
    return json.loads(row["attribution"]), json.loads(row["event"])["data"]


def shift_of(found: dict[str, Any], kind: str) -> dict[str, Any]:
    (shift,) = [each for each in found["shifts"] if each["kind"] == kind]
    return dict(shift)


def test_other_shares_of_cohorts_with_constant_rates_are_a_mix_change(make_world: Make) -> None:
    other = {"gold": (40, 0.1), "free": (80, 0.5)}
    world = play(
        make_world,
        *(an_hour(hour, CALM) for hour in range(6)),
        *(an_hour(hour, other, shifted=("gold", "free")) for hour in range(6, 10)),
    )
    found, event = of_the_trigger(world)
    rate = shift_of(found, "rate")
    # 2/3 x .1 + 1/3 x .5 before, 1/3 x .1 + 2/3 x .5 now
    assert rate["change"] == pytest.approx(0.4 / 3)
    assert rate["mix"] == pytest.approx(0.4 / 3)
    assert rate["within"] == pytest.approx(0.0, abs=1e-9)
    assert rate["cause"] == "mix"
    shares = {c["cohort"]: (c["reference_share"], c["current_share"]) for c in rate["cohorts"]}
    assert shares["gold"] == pytest.approx((2 / 3, 1 / 3))
    assert shares["free"] == pytest.approx((1 / 3, 2 / 3))
    assert shift_of(found, "score")["mix"] == pytest.approx(-0.4 / 3)
    sent = {each["kind"]: each for each in event["meanShifts"]}
    assert sent["rate"]["cause"] == "mix"
    assert sent["rate"]["mix"] == pytest.approx(0.4 / 3)
    assert {each["cohort"] for each in sent["rate"]["cohorts"]} == {"gold", "free"}


def test_more_failures_within_a_cohort_are_a_within_change(make_world: Make) -> None:
    """Free calls are as before, and have no alarm: they count all the same."""
    worse = {"gold": (80, 0.5), "free": (40, 0.5)}
    world = play(
        make_world,
        *(an_hour(hour, CALM) for hour in range(6)),
        *(an_hour(hour, worse) for hour in range(6, 9)),
    )
    found, _ = of_the_trigger(world)
    rate = shift_of(found, "rate")
    assert rate["within"] == pytest.approx(0.4 * 2 / 3)
    assert rate["mix"] == pytest.approx(0.0, abs=1e-9)
    assert rate["cause"] == "within"
    assert rate["within_p"] < 1e-6
    assert rate["cohorts"][0]["cohort"] == "gold"
    assert found["shifts"][0]["feature"] == "grounded"


def test_a_cohort_that_came_after_the_references_is_mix_and_one_too_small_is_left_out(
    make_world: Make,
) -> None:
    """`trial` is new; `beta` was always there, but is too small for a reference of its own."""
    before = CALM | {"beta": (4, 1.0)}
    after = before | {"trial": (40, 1.0)}
    world = play(
        make_world,
        *(an_hour(hour, before) for hour in range(6)),
        *(an_hour(hour, after, shifted=("gold",)) for hour in range(6, 10)),
    )
    found, _ = of_the_trigger(world)
    rate = shift_of(found, "rate")
    cohorts = {each["cohort"]: each for each in rate["cohorts"]}
    assert set(cohorts) == {"gold", "free", "trial"}
    assert cohorts["trial"]["reference_share"] == 0
    assert cohorts["trial"]["current_share"] == pytest.approx(40 / 160)
    # (80 x .1 + 40 x .5 + 40 x 1) / 160 - (80 x .1 + 40 x .5) / 120
    assert rate["change"] == pytest.approx(68 / 160 - 28 / 120)
    assert rate["cause"] == "mix"


def test_the_planted_feature_of_the_planted_cohort_ranks_first(make_world: Make) -> None:
    world = play(
        make_world,
        *(an_hour(hour, CALM) for hour in range(6)),
        *(an_hour(hour, CALM, shifted=("free",)) for hour in range(6, 10)),
    )
    found, event = of_the_trigger(world)
    first, second = found["features"][:2]
    assert (first["feature"], first["cohort"]) == ("intent", "free")
    assert first["psi_corrected"] > 5 * second["psi_corrected"]
    assert event["movedFeatures"][0] | {"value": 0, "pValue": 0} == {
        "feature": "intent", "cohort": "free", "value": 0, "pValue": 0,
    }  # fmt: skip


def test_windows_keep_what_moved(make_world: Make) -> None:
    world = play(
        make_world,
        *(an_hour(hour, CALM) for hour in range(6)),
        *(an_hour(hour, CALM, shifted=("free",)) for hour in range(6, 8)),
    )
    rows = world.rows(
        "select w.*, s.cohort from windows w join series s on s.id = w.series_id "
        "where p_value is not null order by window_end"
    )
    last = {(row["feature"], row["kind"], row["cohort"]): row for row in rows}
    intent = json.loads(last["intent", "category", "free"]["contributions"])
    moved = {part["label"]: (part["direction"], part["residual"] > 0) for part in intent}
    assert moved == {"refund": ("up", True), "order": ("down", False), "ask": ("down", False)}
    assert sum(part["part"] for part in intent) == pytest.approx(1.0)
    assert last["intent", "category", "free"]["components"] is None
    tokens = last["input_tokens", "number", "free"]
    assert set(json.loads(tokens["components"])) == {"location", "spread", "skew", "tail"}
    assert tokens["change"] is None


def with_planted(hour: int) -> ExportTraceServiceRequest:
    """A calm hour, and 16 free sessions that ask something new in much longer prompts."""
    request = an_hour(hour, CALM)
    rng = random.Random(f"planted {hour}")
    spans = request.resource_spans[0].scope_spans[0].spans
    for i in range(16):
        start_ns = START_NS + hour * HOUR_NS + rng.randrange(HOUR_NS // 2)
        planted = {
            "user.tier": "free",
            "app.intent": "chargeback",
            "gen_ai.usage.input_tokens": 5000 + i,
            "gen_ai.conversation.id": f"planted-{hour}-{i:02}",
        }
        good = [("grounded", 1.0, "")]
        spans.append(a_span(rng, start_ns=start_ns, attributes=planted, evaluations=good))
    return request


def planted_world(make_world: Make) -> tuple[World, dict[str, str]]:
    """The world, and the traces of the planted sessions."""
    hours = [with_planted(hour) for hour in range(6, 9)]
    traces = {
        text.value.string_value: span.trace_id.hex()
        for hour in hours
        for span in hour.resource_spans[0].scope_spans[0].spans
        for text in span.attributes
        if text.key == "gen_ai.conversation.id"
    }
    return play(make_world, *(an_hour(hour, CALM) for hour in range(6)), *hours), traces


def test_the_telling_sessions_are_planted_ones(make_world: Make) -> None:
    world, traces = planted_world(make_world)
    found, event = of_the_trigger(world)
    # All planted ones of the deciding window, hour 7, are alike: ties go to the smaller id.
    expected = [f"planted-7-{i:02}" for i in range(5)]
    assert [each["session_id"] for each in found["sessions"]] == expected
    assert [each["trace_ids"] for each in found["sessions"]] == [[traces[id_]] for id_ in expected]
    assert {each["cohort"] for each in found["sessions"]} == {"free"}
    # intent: 16 of 56 are new where none of the 160 of four hours were (three known intents and
    # the new one: 16.5/58 against 0.5/162).
    for each in found["sessions"]:
        assert each["parts"]["intent"] == pytest.approx(math.log((16.5 / 58) / (0.5 / 162)))
        assert each["score"] == pytest.approx(sum(each["parts"].values()))
    assert [each["sessionId"] for each in event["tellingSessions"]] == expected
    assert event["tellingSessions"][0]["traceIds"] == [traces[expected[0]]]


def test_a_fail_rate_names_sessions_by_features_that_have_not_alarmed_yet(
    make_world: Make,
) -> None:
    """The rate fires in its first window; the drift beside it has one window of two."""
    bad = with_planted(6)
    for span in bad.resource_spans[0].scope_spans[0].spans:
        for event in span.events:
            for field in event.attributes:
                if field.key == "gen_ai.evaluation.score.value":
                    field.value.double_value = 0.0
    world = play(make_world, *(an_hour(hour, CALM) for hour in range(6)), bad, an_hour(7, CALM))
    found, event = of_the_trigger(world)
    assert {reason["kind"] for reason in event["reasons"]} == {"eval_fail_rate"}
    sessions = [each["session_id"] for each in found["sessions"]]
    # Which of the two cohorts leads is a matter of their rates: gold's rose further.
    assert event["reasons"][0]["series"]["cohort"] == "gold"
    assert sessions == [f"planted-6-{i:02}" for i in range(5)]


def test_of_a_large_window_sessions_are_sampled_by_their_hash(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hours 5 to 7 are read: 120 + 136 + 136 spans, so one session in ceil(392 / 100) = 4.
    monkeypatch.setattr(telling, "READ_SPANS", 100)
    first, _ = planted_world(make_world)
    second, _ = planted_world(make_world)
    expected = [
        id_
        for id_ in (f"planted-7-{i:02}" for i in range(16))
        if int(hashlib.md5(id_.encode()).hexdigest()[:8], 16) < 2**32 // 4
    ]
    assert 0 < len(expected) < 16
    found = [each["session_id"] for each in of_the_trigger(first)[0]["sessions"]]
    assert [id_ for id_ in found if id_.startswith("planted")] == expected[:5]
    assert of_the_trigger(second)[0]["sessions"] == of_the_trigger(first)[0]["sessions"]
