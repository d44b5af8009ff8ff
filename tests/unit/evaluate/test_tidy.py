"""What is too old leaves the state file, and nothing that is still read goes with it."""

from __future__ import annotations

from collections.abc import Callable

from builders import HOUR_NS
from evaluate_harness import START_NS, World, an_hour

DAY = 24 * HOUR_NS
Make = Callable[..., World]


def test_a_year_is_kept_and_counters_of_results_never_fall(make_world: Make) -> None:
    world = make_world()
    for hour in range(6):
        world.send(an_hour(hour, 50, failing=0.1))
        world.tick()
    later = START_NS + 367 * DAY
    world.clock.advance(seconds=366 * 86400)
    world.send(*(an_hour(hour, 50, failing=0.1, salt="next", start_ns=later) for hour in range(3)))
    world.tick()
    before = world.snapshots[-1]
    world.clock.advance(seconds=2 * 86400)
    world.send(
        *(an_hour(hour, 50, failing=0.1, salt="then", start_ns=later) for hour in range(3, 5))
    )
    world.tick()
    oldest = world.rows("select min(epoch_ns(pane_start)) as first from panes")[0]["first"]
    assert oldest >= START_NS + DAY - 12 * HOUR_NS
    assert world.rows("select min(epoch_ns(window_end)) as first from windows")[0]["first"] > oldest
    world.restart()
    world.tick()
    (old,), (new,) = (snapshot.rates for snapshot in (before, world.snapshots[-1]))
    assert (old.results, old.failures) == (6 * 50 + 2 * 50, 6 * 5 + 2 * 5)
    assert new.results >= old.results
    assert new.failures == new.results // 10
    assert world.rows('select count(*) as n from "references"')[0]["n"] == 1


def test_a_source_silent_for_a_year_is_forgotten_and_may_come_back(make_world: Make) -> None:
    world = make_world()
    for hour in range(6):
        world.send(an_hour(hour, 50), an_hour(hour, 50, service="gone"))
        world.tick()
    world.clock.advance(seconds=367 * 86400)
    later = START_NS + 367 * DAY
    world.send(an_hour(0, 50, start_ns=later), an_hour(1, 50, start_ns=later))
    world.tick()
    for table in ("watermarks", "series", "policies"):
        rows = world.rows(f"select distinct service_name from {table}")
        assert rows == [{"service_name": "rag-api"}]
    for table in ("panes", "windows", "alarms", '"references"', "reference_counts"):
        assert (
            world.rows(f"select * from {table} where series_id not in (select id from series)")
            == []
        )
    world.send(an_hour(0, 50, service="gone", start_ns=later, salt="back"))
    world.send(an_hour(1, 50, service="gone", start_ns=later, salt="back"))
    world.tick()
    assert len(world.rows("select * from watermarks")) == 2
