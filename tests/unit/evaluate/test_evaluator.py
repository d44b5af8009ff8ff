"""Ticks on a real store: restarts, failures and reloads change nothing that is decided."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from builders import HOUR_NS, a_request, a_span
from evaluate_harness import MONITOR, NOW_NS, START_NS, World, a_config, an_hour
from retraind.errors import StoreFatal, StoreUnavailable
from retraind.evaluate import windows
from retraind.evaluate.findings import Outcome

Make = Callable[..., World]
HOOK = {"name": "hook", "url": "http://127.0.0.1:1/"}
EAGER = MONITOR | {"policy": {"any": ["drift", "eval_fail_rate"]}}


def story() -> list[Any]:
    """Calm hours, then other questions and failing answers; one request a tick."""
    calm = [an_hour(hour, failing=0.04) for hour in range(6)]
    return [*calm, *(an_hour(hour, failing=0.6, shifted=True) for hour in range(6, 11))]


def play(world: World, requests: list[Any]) -> World:
    for request in requests:
        world.send(request)
        world.tick_until_done()
    return world


def test_failures_and_restarts_change_no_row_of_any_table(make_world: Make) -> None:
    config = a_config(EAGER, destinations=[HOOK])
    calm = play(make_world(config), story())
    assert len(calm.rows("select * from triggers")) == 1
    assert len(calm.rows("select * from outbox")) == 1
    expected = calm.dump()
    for seed in range(3):
        rng = random.Random(seed)
        world = make_world(config)
        world.state.fail_before = {i for i in range(300) if rng.random() < 0.2}
        world.state.fail_after = {i for i in range(300) if rng.random() < 0.2}
        for request in story():
            world.send(request)
            world.tick_until_done()
            if rng.random() < 0.3:
                world.restart()
        assert world.dump() == expected


def test_a_late_span_of_another_service_changes_the_panes_of_its_traces(make_world: Make) -> None:
    """The session stands on the gateway's spans, and those come hours after the bot's calls."""
    rng = random.Random(3)
    calls, gateways = [], []
    for number in range(20):
        trace, start = rng.randbytes(16), START_NS + number * 60_000_000_000
        nothing = {"gen_ai.conversation.id": None}
        calls.append(a_span(rng, start_ns=start, trace_id=trace, attributes=nothing))
        gateway = {"gen_ai.operation.name": "invoke_agent", "session.id": f"s{number // 4}"}
        gateways.append(a_span(rng, start_ns=start, trace_id=trace, attributes=nothing | gateway))
    bots, late = a_request(calls, service="bot"), a_request(gateways, service="gateway")
    hours = [
        a_request([a_span(rng, start_ns=START_NS + hour * HOUR_NS)], service=service)
        for hour in (3, 30)
        for service in ("bot", "gateway")
    ]
    sessions = "select sessions from panes join series on series.id = panes.series_id where feature"
    sessions += (
        f" = 'sessions' and service_name = 'bot' and pane_start = make_timestamp_ns({START_NS})"
    )

    together = play(make_world(), [bots, late, *hours])
    apart = play(make_world(), [bots, *hours[:2], late, *hours[2:]])
    assert together.rows(sessions) == [{"sessions": 5}]
    assert apart.rows(sessions) == [{"sessions": 5}]


def test_panes_are_those_of_one_build_whatever_came_when(make_world: Make) -> None:
    spans = [span for hour in range(6) for span in _spans(an_hour(hour, 24, failing=0.2))]
    last = an_hour(30, 1)
    whole = play(make_world(), [a_request(spans), last])
    cut = f"select * from panes where pane_start < make_timestamp_ns({START_NS + 20 * HOUR_NS})"

    def panes(world: World) -> list[str]:
        return sorted(
            repr([value for name, value in row.items() if name != "through_seq"])
            for row in world.rows(cut)
        )

    assert panes(whole)
    for seed in range(2):
        rng = random.Random(seed)
        # Up to three hours late, in requests of any size, a few of them twice in other company.
        mixed = sorted(spans, key=lambda s: s.start_time_unix_nano + rng.randrange(3 * HOUR_NS))
        world = make_world()
        while mixed:
            size = rng.randrange(1, 40)
            sent, mixed = mixed[:size], mixed[size:]
            world.send(a_request([*sent, *rng.sample(spans, 2)]))
            if rng.random() < 0.5:
                world.tick()
            if rng.random() < 0.2:
                world.restart()
        world.send(last)
        world.tick()
        assert panes(world) == panes(whole)


def _spans(request: Any) -> list[Any]:
    return list(request.resource_spans[0].scope_spans[0].spans)


def test_a_late_span_rebuilds_its_hour_and_the_two_that_see_it(make_world: Make) -> None:
    world = make_world()
    world.send(*(an_hour(hour, 12) for hour in range(8)))
    world.tick()
    before = world.rows("select max(through_seq) as seq from panes")[0]["seq"]
    world.send(an_hour(2, 1, salt="late"))
    world.tick()
    rebuilt = world.rows(
        "select distinct epoch_ns(pane_start) as start from panes where through_seq > $seq "
        "order by all", seq=before,
    )  # fmt: skip
    assert [row["start"] for row in rebuilt] == [START_NS + hour * HOUR_NS for hour in (2, 3, 4)]
    assert world.value("late_panes_total") == 3


def test_a_span_more_than_a_day_late_changes_nothing(make_world: Make) -> None:
    world = make_world()
    world.send(*(an_hour(hour, 12) for hour in (0, 1, 2, 40)))
    world.tick()
    before = world.dump(["panes"])
    world.send(an_hour(1, 5, salt="late"))
    world.tick()
    assert world.dump(["panes"]) == before
    assert world.value("late_panes_frozen_total") == 3


def test_a_pane_whose_rows_retention_deleted_is_not_built_again(make_world: Make) -> None:
    world = make_world()
    world.send(*(an_hour(hour, 12) for hour in range(8)))
    world.tick()
    with world.database.state.transaction() as tx:
        tx._cursor.execute(
            "update segments set status = 'dropped', sealed_at = now()::timestamp, "
            f"last_time = make_timestamp_ns({START_NS + 4 * HOUR_NS})"
        )
    before = world.dump(["panes"])
    world.send(an_hour(2, 1, salt="late"))
    world.tick()
    assert world.dump(["panes"]) == before


def test_the_family_is_one_monitor_source_and_window_end(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    families: list[list[Outcome]] = []
    real = windows.decide_family
    monkeypatch.setattr(windows, "decide_family", lambda o, d: (families.append(o), real(o, d)))
    config = a_config(MONITOR, MONITOR | {"name": "n", "cohort": 'attributes["app.intent"]'})
    world = make_world(config)
    for hour in range(3):
        world.send(an_hour(hour, 200), an_hour(hour, 200, service="other"))
    world.tick()
    named = [
        {(o.window.series.monitor, o.window.series.service_name, o.window.end_ns) for o in family}
        for family in families
    ]
    assert all(len(name) == 1 for name in named)
    assert len({next(iter(name)) for name in named}) == len(named) == 2 * 2 * 2
    cohorts = {o.window.series.cohort for o in families[-1]}
    assert len(cohorts) > 1 or len({o.window.series.cohort for o in families[1]}) > 1


def test_the_reference_pins_itself_at_the_first_mature_window_end(make_world: Make) -> None:
    """Four hours and 100 sessions are asked for; windows of 50 sessions end every hour."""
    world = make_world()
    for hour in range(5):
        world.send(an_hour(hour, 50))
        world.tick()
        pinned = world.rows('select count(*) as n from "references"')[0]["n"]
        assert pinned == (0 if hour < 4 else 1)  # hour 3 closes when hour 4 has begun
    (row,) = world.rows('select *, epoch_ns(last_time) as last_ns from "references"')
    assert (row["source"], row["sessions"]) == ("auto", 200)
    assert row["last_ns"] == START_NS + 4 * HOUR_NS


def test_a_trigger_is_durable_with_all_that_follows_from_it_or_not_at_all(
    make_world: Make,
) -> None:
    world = make_world(a_config(EAGER, destinations=[HOOK]))
    world.state.fail_if = lambda tx: tx.read("newest_triggers", limit=1).num_rows > 0
    requests = story()
    failed = 0
    for request in requests:
        world.send(request)
        try:
            world.tick()
        except StoreUnavailable:
            failed += 1
    assert failed
    for table in ("triggers", "outbox"):
        assert world.rows(f"select * from {table}") == []
    assert world.value("triggers_total", monitor="m", reason="eval_fail_rate") == 0
    world.state.fail_if = lambda _: False
    world.tick()
    (trigger,) = world.rows("select id, event from triggers")
    (row,) = world.rows("select trigger_id, body, status from outbox")
    assert (row["trigger_id"], row["body"]) == (trigger["id"], trigger["event"])
    assert world.value("triggers_total", monitor="m", reason="eval_fail_rate") == 1


def test_metrics_after_a_restart_are_those_before(make_world: Make) -> None:
    world = play(make_world(a_config(EAGER)), story())
    before = world.snapshots[-1]
    assert before.drift
    assert before.rates
    assert before.states
    world.restart()
    world.tick()
    assert world.snapshots[-1] == before


def test_a_reload_to_other_monitors_shows_those_only(make_world: Make) -> None:
    world = play(make_world(a_config(EAGER)), story()[:7])
    other = MONITOR | {"name": "other"}
    world.evaluator.configure(a_config(other))
    play(world, story()[7:9])
    after = world.snapshots[-1]
    rows = (*after.drift, *after.rates, *after.windows, *after.states, *after.references)
    assert {row.series.monitor for row in rows} == {"other"}
    assert {row.monitor for row in after.episodes} == {"other"}
    world.evaluator.configure(a_config(EAGER))
    play(world, story()[9:])
    assert {row.series.monitor for row in world.snapshots[-1].states} == {"m"}


def test_the_alarm_of_a_version_that_is_gone_ends_and_its_episode_closes(make_world: Make) -> None:
    short = {"min_sessions": 40, "min_sessions_at_max_length": 10, "max_length": "4h"}
    world = make_world(a_config(EAGER | {"window": short}))
    play(world, story())
    assert world.rows("select status from episodes") == [{"status": "open"}]
    new = [an_hour(hour, failing=0.04, version="v2") for hour in range(11, 24)]
    play(world, new)
    assert {row["status"] for row in world.rows("select status from episodes")} == {"closed"}
    versions = world.rows("select distinct version from alarms where kind = 'rate'")
    assert versions == [{"version": "v2"}]


def test_a_series_that_falls_silent_has_no_data_and_then_no_alarm(make_world: Make) -> None:
    short = {"min_sessions": 40, "min_sessions_at_max_length": 10, "max_length": "4h"}
    world = make_world(a_config(MONITOR | {"window": short}))
    play(world, [an_hour(hour) for hour in range(6)])

    # Another model keeps the source's clock going.
    def alive(hour: int) -> Any:
        span = a_span(
            hour, start_ns=START_NS + hour * HOUR_NS, attributes={"gen_ai.request.model": "o"}
        )
        return a_request([span])

    play(world, [alive(hour) for hour in (8, 11)])
    states = {(row.series.model, row.state) for row in world.snapshots[-1].states}
    assert ("gpt-4o", "no_data") in states
    play(world, [alive(hour) for hour in (14, 17)])
    assert not [row for row in world.snapshots[-1].states if row.series.model == "gpt-4o"]


def test_a_service_with_a_very_long_name_is_watched_under_its_first_128_characters(
    make_world: Make,
) -> None:
    world = make_world()
    play(world, [an_hour(hour, 50, service="é" * 200) for hour in range(3)])
    assert world.rows("select distinct service_name from series") == [{"service_name": "é" * 128}]
    assert world.rows("select count(distinct window_end) as n from windows") == [{"n": 2}]


def test_sources_are_bounded(make_world: Make) -> None:
    world = make_world(a_config(MONITOR, limits={"series": 2}))
    world.send(*(an_hour(0, 5, service=f"pod-{i}") for i in range(4)))
    world.tick()
    assert len(world.rows("select * from watermarks")) == 2
    assert world.value("series_limited_total", limit="series") == 2


def test_a_clock_that_stood_at_1970_does_not_open_decades(make_world: Make) -> None:
    world = make_world()
    world.send(a_request([a_span(1, start_ns=HOUR_NS)]), an_hour(0), an_hour(1))
    world.tick()
    (row,) = world.rows("select min(epoch_ns(pane_start)) as first from panes")
    assert row["first"] == START_NS


def test_a_first_span_from_the_future_is_waited_out(make_world: Make) -> None:
    world = make_world()
    world.send(a_request([a_span(1, start_ns=NOW_NS + HOUR_NS)]))
    world.tick()
    assert world.rows("select * from watermarks") == []
    world.send(an_hour(0), an_hour(1))
    world.tick()
    assert world.rows("select service_name from watermarks") == [{"service_name": "rag-api"}]


def test_a_job_whose_caller_has_gone_does_not_end_evaluation(make_world: Make) -> None:
    world = make_world()
    gone = world.evaluator.submit(lambda *_: 1)
    gone.cancel()
    failing = world.evaluator.submit(lambda *_: 1 / 0)
    kept = world.evaluator.submit(lambda _, config: config.monitors[0].name)
    world.evaluator.start()
    assert kept.result(timeout=30) == "m"
    with pytest.raises(ZeroDivisionError):
        failing.result(timeout=30)
    world.evaluator.stop()
    with pytest.raises(StoreUnavailable):
        world.evaluator.submit(lambda *_: 1).result(timeout=30)


def test_a_dead_engine_is_reported_and_leaves_no_job_waiting(make_world: Make) -> None:
    world = make_world()

    def dead(_: Any) -> bool:
        raise StoreFatal("gone")

    world.state.fail_if = dead
    world.send(an_hour(0), an_hour(2))
    job = world.evaluator.submit(lambda *_: 1)
    world.evaluator.start()
    with pytest.raises(StoreUnavailable):
        job.result(timeout=30)
    assert [str(error) for error in world.fatal] == ["gone"]
    world.evaluator.stop()
