"""Mutes, holds and deploys on a real store: through restarts, failures, and a person's words.

Windows of 50 sessions end every hour. Six calm hours make the reference; then every second answer
fails, and the fail rate fires with the first window of that kind.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from builders import HOUR_NS, a_request, a_span, attribute
from evaluate_harness import MONITOR, NOW_NS, START_NS, World, a_config, an_hour
from retraind.errors import QueryError
from retraind.evaluate import holds, mutes
from retraind.policy.mutes import Mute, MuteRequest

Make = Callable[..., World]
RATES = MONITOR | {"features": ["input_tokens"], "policy": {"any": ["eval_fail_rate"]}}
HELD = RATES | {"policy": {"any": ["eval_fail_rate"], "hold_for": "3h"}}
CALM = 6


def play(world: World, first: int, last: int, **options: Any) -> None:
    for hour in range(first, last):
        failing = 0.5 if hour >= CALM else 0.04
        world.send(an_hour(hour, failing=failing, **options))
        world.tick_until_done()


def set_mute(world: World, hours: float = 24, **selected: Any) -> Mute:
    names = ("service_name", "environment", "model", "cohort", "feature")
    wanted = MuteRequest(
        selected.pop("monitor", "m"), *(selected.get(name) for name in names),
        seconds=hours * 3600, reason="a test", by="ann",
    )  # fmt: skip
    return world.do(
        lambda memory, config: mutes.mute(
            world.state, memory, config.monitors_by_name, wanted, world.clock.now_ns()
        )
    )


def end_mutes(world: World, mute_id: str | None = None) -> list[Mute]:
    return world.do(
        lambda memory, _: mutes.unmute(world.state, memory, mute_id, "bob", world.clock.now_ns())
    )


def shown(world: World, feature: str = "grounded") -> str:
    (state,) = {row.state for row in world.snapshots[-1].states if row.feature == feature}
    return state


def triggers(world: World) -> list[dict[str, Any]]:
    return world.rows("select *, epoch_ns(decided_for) as decided_ns from triggers")


def hours_of(ns: int) -> float:
    return (ns - START_NS) / HOUR_NS


def test_a_mute_outlives_a_restart_and_its_end_brings_what_still_fires(make_world: Make) -> None:
    world = make_world(a_config(RATES))
    play(world, 0, CALM)
    made = set_mute(world, feature="grounded")
    assert world.do(lambda memory, _: mutes.muted_count(memory, made)) == 1
    play(world, CALM, CALM + 2)
    world.restart()
    play(world, CALM + 2, CALM + 4)
    assert world.rows("select * from episodes") == []
    assert shown(world) == "muted"
    assert shown(world, "input_tokens") == "ok"
    assert world.rows("select state from alarms where kind = 'rate'") == [{"state": "firing"}]
    (row,) = world.rows("select * from mutes")
    assert (row["created_by"], row["reason"], row["ended_by"]) == ("ann", "a test", None)

    assert [each.id for each in end_mutes(world)] == [made.id]
    assert shown(world) == "firing"
    assert world.snapshots[-1].mutes == ()
    world.restart()
    play(world, CALM + 4, CALM + 5)
    assert len(triggers(world)) == 1
    assert world.rows("select ended_by from mutes") == [{"ended_by": "bob"}]


def test_a_mute_ends_by_itself_when_events_have_come_to_its_end(make_world: Make) -> None:
    world = make_world(a_config(RATES))
    for hour in range(14):
        world.clock.advance(seconds=3600)
        play(world, hour, hour + 1, start_ns=NOW_NS)
        if hour == CALM - 1:
            made = set_mute(world, hours=4.5)
    assert (made.ends_ns - NOW_NS) / HOUR_NS == CALM + 4.5
    (trigger,) = triggers(world)
    assert trigger["decided_ns"] == NOW_NS + (CALM + 5) * HOUR_NS, "the first window after it"
    assert world.snapshots[-1].mutes == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"monitor": "n"}, "there is no monitor n; there are: m"),
        ({"hours": 0}, "at most 30d"),
        ({"hours": 24 * 31}, "at most 30d"),
    ],
)
def test_what_cannot_be_muted_is_said(make_world: Make, asked: Any, said: str) -> None:
    world = make_world(a_config(RATES))
    with pytest.raises(QueryError, match=said):
        set_mute(world, **asked)
    assert world.rows("select * from mutes") == []


def test_mutes_are_bounded_and_the_record_of_old_ones_is(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutes, "MOST", 2)
    monkeypatch.setattr(mutes, "KEPT", 3)
    world = make_world(a_config(RATES))
    first, second = set_mute(world), set_mute(world, cohort="eu")
    with pytest.raises(QueryError, match="2 mutes last already"):
        set_mute(world)
    with pytest.raises(QueryError, match="no mute that last begin with mute_x"):
        end_mutes(world, "mute_x")
    assert [each.id for each in end_mutes(world, first.id[:9])] == [first.id]
    for number in range(3):
        world.clock.advance(seconds=1)
        last = set_mute(world, cohort=str(number))
        if number < 2:
            end_mutes(world, last.id)
    kept = {row["id"] for row in world.rows("select id from mutes")}
    assert len(kept) == 3
    assert {second.id, last.id} <= kept
    assert set(world.do(lambda memory, _: list(memory.mutes))) == kept


def deploy_story(world: World, last: int) -> World:
    """Version 1 in the calm hours, then version 2, whose answers fail."""
    play(world, 0, CALM, service_version="1")
    play(world, CALM, last, service_version="2")
    return world


def test_a_new_version_holds_the_trigger_back_and_goes_with_it(make_world: Make) -> None:
    world = deploy_story(make_world(a_config(HELD)), CALM + 3)
    (hold,) = world.snapshots[-1].holds
    (held,) = world.snapshots[-1].held
    assert (hold.kind, hold.model) == ("deploy", None)
    assert hold.cause.startswith("rag-api 2 was first seen at ")
    assert CALM <= hours_of(hold.starts_ns) < CALM + 0.5
    assert hold.expires_ns == hold.starts_ns + 3 * HOUR_NS == held.due_ns
    assert len(world.rows("select * from episodes")) == 1
    assert triggers(world) == []
    assert shown(world) == "held"
    newest = world.snapshots[-1].deploys[0]
    assert (newest.version, newest.first_ns) == ("2", hold.starts_ns)

    play(world, CALM + 3, CALM + 6, service_version="2")
    (trigger,) = triggers(world)
    assert trigger["decided_ns"] == hold.expires_ns, "nobody waits for the window's end"
    (cause,) = json.loads(trigger["event"])["data"]["suspectedCauses"]
    assert (cause["kind"], cause["detail"]) == ("deploy", hold.cause)
    assert (world.snapshots[-1].holds, world.snapshots[-1].held) == ((), ())
    assert shown(world) == "firing"


def test_a_person_who_releases_a_hold_gets_the_trigger_at_once(make_world: Make) -> None:
    world = deploy_story(make_world(a_config(HELD)), CALM + 3)
    (hold,) = world.snapshots[-1].holds
    with pytest.raises(QueryError, match="no hold that stand begin with hold_x"):
        world.do(lambda memory, _: holds.release(world.state, memory, "hold_x", "ann"))
    world.do(lambda memory, _: holds.release(world.state, memory, hold.id[:8], "ann"))
    assert world.snapshots[-1].holds == ()
    world.tick()
    (trigger,) = triggers(world)
    assert trigger["decided_ns"] < hold.expires_ns
    assert json.loads(trigger["event"])["data"]["suspectedCauses"][0]["detail"] == hold.cause
    assert world.rows("select released_by from holds") == [{"released_by": "ann"}]
    world.restart()
    play(world, CALM + 3, CALM + 6, service_version="2")
    assert len(triggers(world)) == 1


def test_failures_and_restarts_change_nothing_of_holds(make_world: Make) -> None:
    calm = deploy_story(make_world(a_config(HELD)), CALM + 6)
    expected = calm.dump()
    assert len(expected["triggers"]) == len(expected["holds"]) == 1
    world = make_world(a_config(HELD))
    rng = random.Random(5)
    world.state.fail_before = {i for i in range(300) if rng.random() < 0.2}
    world.state.fail_after = {i for i in range(300) if rng.random() < 0.2}
    play(world, 0, CALM, service_version="1")
    for hour in range(CALM, CALM + 6):
        play(world, hour, hour + 1, service_version="2")
        if rng.random() < 0.5:
            world.restart()
    assert world.dump() == expected


def test_versions_are_bounded_and_the_first_one_is_no_deploy(make_world: Make) -> None:
    world = make_world(a_config(HELD))
    for number in range(60):
        world.send(an_hour(0, 1, salt=str(number), service_version=f"{number:02}"))
        world.tick()
    deploys = world.rows("select count(*) as n from deploys")
    assert deploys == [{"n": 50}]
    memory = world.do(lambda memory, _: memory)
    assert len(memory.holds) == len(world.rows("select * from holds")) == holds.KEPT
    world.send(an_hour(1, 1, service="other", service_version="1"))
    world.tick()
    assert world.rows("select * from holds where service_name = 'other'") == []


def judged_by(judge: str, hour: int, failing: float, second: str | None = None) -> Any:
    """Fifty calls of an hour whose answers this judge looked at; `second` looked at every other."""
    rng = random.Random(f"{hour}")
    spans = []
    for i in range(50):
        span = a_span(
            rng, start_ns=START_NS + hour * HOUR_NS + i * 10**9,
            evaluations=[("grounded", 0.0 if i < failing * 50 else 1.0, "")],
        )  # fmt: skip
        version = second if second is not None and i % 2 else judge
        span.events[0].attributes.append(attribute("gen_ai.evaluation.evaluator.version", version))
        spans.append(span)
    return a_request(spans)


LIMIT = HELD | {"evals": {"grounded": {"threshold": 0.5, "max_fail_rate": 0.2}}}


def test_another_judge_holds_what_its_results_ask_for(make_world: Make) -> None:
    world = make_world(a_config(LIMIT))
    for hour in range(CALM + 6):
        world.send(judged_by("a" if hour < CALM else "b", hour, 0.04 if hour < CALM else 0.6))
        world.tick()
    (hold,) = world.rows("select *, epoch_ns(starts_at) as at from holds")
    assert (hold["kind"], hold["model"]) == ("judge", "gpt-4o")
    assert hold["cause"] == "grounded is judged by b instead of a"
    assert hours_of(hold["at"]) == CALM + 1, "the end of the first window of the new judge"
    (trigger,) = triggers(world)
    assert hours_of(trigger["decided_ns"]) == CALM + 4
    (cause,) = json.loads(trigger["event"])["data"]["suspectedCauses"]
    assert cause["kind"] == "judge"


def test_judges_that_ran_beside_each_other_for_a_day_hold_nothing(make_world: Make) -> None:
    """The reference takes 30 hours here, so that it knows `a` alone all the time."""
    reference = {"min_age": "30h", "min_sessions": 100, "ratio": 1}
    world = make_world(a_config(HELD | {"reference": reference}))
    judges = [("a", None)] * 30 + [("a", "b")] * 25 + [("b", None)] * 2
    for hour, (judge, second) in enumerate(judges):
        world.send(judged_by(judge, hour, 0.04, second))
        world.tick()
    assert world.rows("select * from holds") == []
    for hour in range(len(judges), len(judges) + 3):
        world.send(judged_by("c", hour, 0.04))
        world.tick()
    (hold,) = world.rows("select cause from holds")
    assert hold == {"cause": "grounded is judged by c instead of a"}
