"""Seasonal, trailing and deploy references on a store: what they hold, and what they say.

Traffic comes at 10 and at 22 o'clock, 100 sessions each, so a window ends after each of the two.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from builders import HOUR_NS, a_request, a_span
from evaluate_harness import MONITOR, NOW_NS, World, a_config

Make = Callable[..., World]
Values = Callable[[random.Random, int, int], int]
DAY_NS = 24 * HOUR_NS
SESSIONS = 100
MONDAY_NS = (NOW_NS // DAY_NS - 40) * DAY_NS
MONDAY_NS -= dt.datetime.fromtimestamp(MONDAY_NS / 1e9, dt.UTC).weekday() * DAY_NS
BUSY = (10, 22)


def monitor(**reference: Any) -> dict[str, Any]:
    settings = {"min_age": "7d", "min_sessions": 100, "ratio": 10, "seasonal_weeks": 2}
    return MONITOR | {"features": ["input_tokens"], "reference": settings | reference}


def v1(_day: int, _hour: int) -> str:
    return "v1"


def cyclic(rng: random.Random, _day: int, hour: int) -> int:
    """By day anything, at night little variation: the same every day."""
    return rng.randrange(100, 1000) if hour == BUSY[0] else rng.randrange(400, 500)


def tokens(values: Values, day: int, hour: int) -> list[int]:
    rng = random.Random(f"{day} {hour}")
    return [values(rng, day, hour) for _ in range(SESSIONS)]


def send(
    world: World,
    days: Iterable[int],
    values: Values = cyclic,
    hours: Iterable[int] = BUSY,
    version: Callable[[int, int], str] = v1,
) -> None:
    for day in days:
        for hour in hours:
            start_ns = MONDAY_NS + day * DAY_NS + hour * HOUR_NS
            rng = random.Random(f"ids {day} {hour}")
            spans = [
                a_span(
                    rng,
                    start_ns=start_ns + i * 10**9,
                    attributes={
                        "gen_ai.usage.input_tokens": value,
                        "gen_ai.response.model": version(day, hour),
                    },
                )
                for i, value in enumerate(tokens(values, day, hour))
            ]
            world.send(a_request(spans))


def results(world: World, kind: str, first_day: int = 0) -> list[dict[str, Any]]:
    return world.rows(
        "select *, epoch_ns(window_end) as end_ns from windows where feature = 'input_tokens' "
        "and reference_kind = $kind and epoch_ns(window_end) >= $first order by window_end",
        kind=kind, first=MONDAY_NS + first_day * DAY_NS,
    )  # fmt: skip


def end_ns(day: int, hour: int) -> int:
    return MONDAY_NS + day * DAY_NS + (hour + 1) * HOUR_NS


def psi(reference: list[int], current: list[int]) -> float:
    """On deciles of the reference; values are counted in buckets 0.5 % wide (docs/drift.md)."""

    def bucket(values: list[int]) -> Any:
        return np.floor(np.log(np.array(values) / 1e-9) / np.log(1.005) + 1e-9)

    def share(values: list[int]) -> Any:
        counts = np.bincount(np.searchsorted(edges, bucket(values)), minlength=10)
        return (counts + 0.5) / (counts.sum() + 5)

    edges = np.quantile(bucket(reference), np.arange(1, 10) / 10, method="inverted_cdf")
    assert len(set(edges)) == 9
    p, q = share(reference), share(current)
    return float(stats.entropy(p, q) + stats.entropy(q, p))


def test_a_season_is_quiet_where_the_pinned_reference_alarms(make_world: Make) -> None:
    """A week has too little of each hour for the ratio of 10, so the pinned one pools all hours."""
    world = make_world(a_config(monitor()))
    send(world, range(21))
    world.tick()
    pinned = results(world, "pinned", 15)
    assert {row["verdict"] for row in pinned} & {"investigate", "retrain"}
    seasonal = results(world, "seasonal", 15)
    assert len(seasonal) == len(pinned) == 11
    assert {row["verdict"] for row in seasonal} == {"ok"}
    assert {row["alarm_state"] for row in seasonal} == {"ok"}
    assert {row["m"] for row in seasonal} == {2 * SESSIONS}
    assert len({row["reference_id"] for row in seasonal}) == 11, "each has its own contents"


def test_the_seasonal_reference_is_the_same_hours_of_the_last_weeks(make_world: Make) -> None:
    world = make_world(a_config(monitor()))
    send(world, range(17))
    world.tick()
    (row,) = (row for row in results(world, "seasonal") if row["end_ns"] == end_ns(15, 10))
    before = tokens(cyclic, 1, 10) + tokens(cyclic, 8, 10)
    assert (row["n"], row["m"]) == (SESSIONS, 2 * SESSIONS)
    assert row["psi"] == pytest.approx(psi(before, tokens(cyclic, 15, 10)), rel=1e-9)


def test_it_is_immature_until_the_weeks_exist_and_says_nothing(make_world: Make) -> None:
    """Until then its score is against the same hours of days of the same kind."""
    world = make_world(a_config(monitor()))
    send(world, range(9), lambda rng, day, _: rng.randrange(100, 1000) * (9 if day > 7 else 1))
    world.tick()
    early = results(world, "seasonal")
    assert {(row["verdict"], row["alarm_state"]) for row in early} == {("immature", None)}
    assert early[-1]["psi_corrected"] > 1, "shown, though it fires nothing"
    # The last window, Monday night, is widened to 20:00 to 12:00: of the nights before, those from
    # Monday to Thursday are weekday nights, too, each with traffic at 22 and at 10.
    assert early[-1]["m"] == 4 * 2 * SESSIONS
    assert world.rows("select * from alarms where reference_kind = 'seasonal'") == []


def shifted(rng: random.Random, day: int, hour: int) -> int:
    return cyclic(rng, day, hour) * (5 if day == 15 else 1)


def test_windows_of_an_open_alarm_are_left_out(make_world: Make) -> None:
    """Both windows of day 15 are shifted and fire; a week later only day 8 is like them."""
    world = make_world(a_config(monitor(ratio=1)))
    send(world, range(24), shifted)
    world.tick()
    fired = [row for row in results(world, "seasonal", 15) if row["alarm_state"] == "firing"]
    assert fired[0]["end_ns"] == end_ns(15, 22)
    by_end = {row["end_ns"]: row["m"] for row in results(world, "seasonal", 22)}
    assert by_end[end_ns(22, 10)] == by_end[end_ns(22, 22)] == SESSIONS


def frog(rng: random.Random, day: int, _: int) -> int:
    return round(rng.randrange(100, 1000) * 1.02**day)


def test_slow_drift_is_held_against_what_was_accepted(make_world: Make) -> None:
    """Two per cent a day: each week is like the one before, and none like the first."""
    kinds = ["pinned", "trailing"]
    world = make_world(a_config(monitor(ratio=1, kinds=kinds)))
    send(world, range(38), frog, hours=[10])
    world.tick()
    assert results(world, "pinned")[-1]["alarm_state"] == "firing"
    trailing = results(world, "trailing")
    assert trailing
    assert {row["verdict"] for row in trailing} <= {"ok", "notice"}
    assert {row["alarm_state"] for row in trailing} == {None}
    assert world.rows("select distinct reference_kind as kind from alarms") == [{"kind": "pinned"}]
    first = min(row["end_ns"] for row in trailing)
    fired = min(row["end_ns"] for row in results(world, "pinned") if row["alarm_state"] == "firing")
    later = [row for row in trailing if row["end_ns"] > fired + 9 * DAY_NS]
    assert first < fired
    assert later == [], "an open alarm leaves no week to be compared with"


def with_v2(rng: random.Random, day: int, _: int) -> int:
    return rng.randrange(900, 1000) if day >= 10 else rng.randrange(100, 1000)


def v2_on_day_10(day: int, _: int) -> str:
    return "v2" if day >= 10 else "v1"


def test_a_new_version_that_differs_is_found_on_its_first_day(make_world: Make) -> None:
    """Day 10 is a Thursday; its first window begins on Wednesday at 23:00. Of the days before
    five have such a night without an hour of a weekend within eight days.
    """
    world = make_world(a_config(monitor(ratio=1)))
    send(world, range(13), with_v2, version=v2_on_day_10)
    world.tick()
    found = results(world, "deploy")
    assert [row["end_ns"] for row in found] == [end_ns(10, 10), end_ns(10, 22), end_ns(11, 10)]
    assert [row["alarm_state"] for row in found] == ["pending", "firing", "firing"]
    assert found[0]["m"] == 5 * SESSIONS
    assert world.rows("select * from alarms where reference_kind = 'deploy'") == []
    assert world.rows("select version, epoch_ns(first_time) as first from versions order by 1") == [
        {"version": "v1", "first": MONDAY_NS + 10 * HOUR_NS},
        {"version": "v2", "first": MONDAY_NS + 10 * DAY_NS + 10 * HOUR_NS},
    ]


def test_a_new_version_that_does_not_differ_is_silent(make_world: Make) -> None:
    world = make_world(a_config(monitor(ratio=1)))
    send(world, range(13), version=v2_on_day_10)
    world.tick()
    found = results(world, "deploy")
    assert [(row["verdict"], row["alarm_state"]) for row in found] == [("ok", "ok")] * 3


def test_of_a_canary_the_scores_are_compared(make_world: Make) -> None:
    """From day 10 on 30 of 100 sessions have v2: too few to compare what all sessions share."""
    world = make_world(a_config(monitor(ratio=1)))
    for day in range(12):
        for hour in BUSY:
            rng = random.Random(f"canary {day} {hour}")
            start_ns = MONDAY_NS + day * DAY_NS + hour * HOUR_NS
            versions = ["v2" if day >= 10 and i < 30 else "v1" for i in range(SESSIONS)]
            world.send(
                a_request(
                    a_span(
                        rng,
                        start_ns=start_ns + i * 10**9,
                        attributes={
                            "gen_ai.usage.input_tokens": rng.randrange(100, 1000),
                            "gen_ai.response.model": version,
                        },
                        evaluations=[("grounded", rng.random() / (1 + (version == "v2")), "")],
                    )
                    for i, version in enumerate(versions)
                )
            )
    world.tick()
    rows = world.rows(
        "select feature, version, kind, n, m, alarm_state from windows "
        "where reference_kind = 'deploy' order by window_end"
    )
    assert {(row["feature"], row["version"], row["kind"]) for row in rows} == {
        ("grounded", "v2", "score")
    }
    assert [row["n"] for row in rows] == [30] * 3
    assert rows[0]["m"] == 5 * SESSIONS, "as many as v1 had in the same hours"
    assert rows[-1]["alarm_state"] == "firing"


def test_the_deploys_alarm_is_in_the_trigger_that_the_pinned_reference_asks_for(
    make_world: Make,
) -> None:
    """The second window of v2 is the second that is hot, against both references."""
    world = make_world(a_config(monitor(ratio=1)))
    send(world, range(13), with_v2, version=v2_on_day_10)
    world.tick()
    (row,) = world.rows("select event, epoch_ns(decided_for) as end_ns from triggers")
    assert row["end_ns"] == end_ns(10, 22)
    event = json.loads(row["event"])["data"]
    assert [each["referenceKind"] for each in event["reasons"]] == ["pinned", "deploy"]
    assert [each["referenceKind"] for each in event["children"]] == ["pinned", "deploy"]


def test_restarts_decide_the_same(make_world: Make) -> None:
    settings = a_config(monitor(ratio=1, kinds=["pinned", "seasonal", "trailing", "deploy"]))
    tables = ["windows", "alarms", "policies", "episodes", "versions", "references"]
    at_once, often = make_world(settings), make_world(settings)
    send(at_once, range(18), shifted, version=v2_on_day_10)
    at_once.tick()
    for day in range(18):
        send(often, [day], shifted, version=v2_on_day_10)
        often.tick()
        often.restart()
    without = ["through_seq", "evaluated_at", "created_at"]
    assert at_once.dump(tables, without) == often.dump(tables, without)
    kinds = {
        row["kind"] for row in often.rows("select distinct reference_kind as kind from windows")
    }
    assert kinds == {"pinned", "seasonal", "trailing", "deploy"}
