"""What an operator asks of a running evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from builders import HOUR_NS
from evaluate_harness import MONITOR, START_NS, World, a_config, an_hour
from retraind.console.daemon import PinReference
from retraind.control import Control
from retraind.errors import QueryError
from retraind.model import Json
from retraind.policy.mutes import MuteRequest


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    yield world
    world.evaluator.stop()
    world.close()


TRAINING = pa.table({"intent": ["order"] * 40 + [None] * 2, "input_tokens": [5] * 42})


def control(world: World) -> Control:
    def reload() -> list[str]:
        world.evaluator.configure(world.config)
        return []

    return Control(
        config=lambda: world.config,
        database=world.database,
        evaluator=world.evaluator,
        delivery=cast(Any, None),
        telemetry=world.telemetry,
        clock=world.clock,
        snapshot=lambda: world.snapshots[-1],
        readiness=list,
        reload=reload,
    )


def fed(world: World) -> World:
    for hour in range(8):
        world.send(an_hour(hour, 50, failing=0.1), an_hour(hour, 50, service="other"))
    world.tick()
    world.evaluator.start()
    return world


def pin(world: World, **asked: Any) -> list[Json]:
    request = PinReference(**{"source": "by hand", **asked})
    return list(asyncio.run(control(world).pin_reference(request)).references)


def active(world: World) -> list[Json]:
    return world.rows(
        "select r.*, epoch_ns(first_time) as first_ns, epoch_ns(last_time) as last_ns, "
        'service_name from "references" r join series s on s.id = r.series_id where active '
        "order by service_name"
    )


def test_a_range_of_panes_becomes_the_reference_of_the_series_that_fit(world: World) -> None:
    fed(world)
    start, end = START_NS + 5 * HOUR_NS, START_NS + 7 * HOUR_NS
    (row,) = pin(world, service_name="rag-api", start_ns=start, end_ns=end)
    assert (row["service_name"], row["sessions"], row["source"]) == ("rag-api", 100, "by hand")
    other, ours = active(world)
    assert other["source"] == "auto"
    assert (ours["first_ns"], ours["last_ns"], ours["id"]) == (start, end, row["id"])


def test_without_a_range_the_newest_panes_are_pinned(world: World) -> None:
    """reference.min_age is four hours; hours 3 to 6 are the last that have closed."""
    fed(world)
    (row,) = pin(world, service_name="other")
    assert row["sessions"] == 200
    assert active(world)[0]["first_ns"] == START_NS + 3 * HOUR_NS


def test_a_training_distribution_becomes_the_reference(world: World) -> None:
    fed(world)
    rows = pin(world, table=TRAINING)
    assert [row["sessions"] for row in rows] == [42, 42]  # one for each series
    (ours,) = (row for row in rows if row["service_name"] == "rag-api")
    found = asyncio.run(control(world).reference(ours["id"]))
    assert found is not None
    shown = {row["feature"]: (row["sessions"], row["missing"]) for row in found["features"]}
    assert shown["input_tokens"] == (42, 0)
    assert shown["intent"] == (40, 2)
    assert set(shown) == {"input_tokens", "intent", "grounded"}, "nothing else of the old one"


def test_a_training_distribution_leaves_fail_rates_their_baseline(world: World) -> None:
    """Of 50 sessions an hour 5 fail; the file says nothing about evaluations."""
    fed(world)
    pin(world, table=TRAINING)
    newest = "select max(epoch_ns(window_end)) as at from windows"
    before = world.rows(newest)[0]["at"]
    world.evaluator.stop()
    for hour in range(8, 11):
        world.send(an_hour(hour, 50, failing=0.1))
    world.tick()
    rates = world.rows(
        "select verdict, baseline_rate from windows join series on series.id = series_id "
        f"where kind = 'rate' and epoch_ns(window_end) > {before} and service_name = 'rag-api'"
    )
    assert rates
    assert {row["verdict"] for row in rates} == {"ok"}
    assert all(row["baseline_rate"] == pytest.approx(0.1) for row in rates)


def test_only_what_was_pinned_is_answered(world: World) -> None:
    fed(world)
    pin(world, table=TRAINING, service_name="other")
    rows = pin(world, table=TRAINING, service_name="rag-api")
    assert [row["service_name"] for row in rows] == ["rag-api"]
    listed = asyncio.run(control(world).references())
    assert [row["active"] for row in listed] == [True, True, False, False]


def test_a_pinned_reference_starts_detectors_anew_for_good(world: World) -> None:
    fed(world)
    rates = "select detector from alarms where kind = 'rate'"
    assert [len(row["detector"]) for row in world.rows(rates)] == [5]
    pin(world, service_name="rag-api")
    assert world.rows(rates) == [{"detector": []}]


@pytest.mark.parametrize(
    "asked",
    [
        {"service_name": "nobody"},
        {"start_ns": START_NS - 9 * HOUR_NS, "end_ns": START_NS - HOUR_NS},
        {"table": pa.table({"colour": ["red"]})},
        {"table": TRAINING.slice(0, 0)},
        {"table": TRAINING.slice(0, 39)},
    ],
)
def test_what_cannot_be_pinned_is_said_and_changes_nothing(world: World, asked: Any) -> None:
    fed(world)
    before = world.dump(["references", "reference_counts", "alarms"])
    with pytest.raises(QueryError):
        pin(world, **asked)
    assert world.dump(["references", "reference_counts", "alarms"]) == before


def test_what_is_too_small_for_the_windows_is_refused_unless_one_insists(world: World) -> None:
    """Windows have 40 sessions and reference.ratio is 1: 39 rows would leave them immature."""
    fed(world)
    few = TRAINING.slice(0, 39)
    with pytest.raises(QueryError) as caught:
        pin(world, table=few, service_name="rag-api")
    assert "rag-api/prod/gpt-4o (monitor m) would have 39 sessions" in str(caught.value)
    assert "need 40 (reference.ratio x window.min_sessions)" in str(caught.value)
    assert "--force" in str(caught.value)
    (row,) = pin(world, table=few, service_name="rag-api", force=True)
    assert row["sessions"] == 39


def test_series_with_too_little_are_left_out_and_named(world: World) -> None:
    world.send(an_hour(0, 50), an_hour(0, 20, service="small"))
    world.send(an_hour(3, 1), an_hour(3, 1, service="small"))
    world.tick()
    world.evaluator.start()
    pinned = asyncio.run(control(world).pin_reference(PinReference()))
    assert [row["service_name"] for row in pinned.references] == ["rag-api"]
    (note,) = pinned.notes
    assert note.startswith("left out: small/prod/gpt-4o (monitor m) would have 20 sessions")
    assert [row["service_name"] for row in active(world)] == ["rag-api"]


def test_columns_that_are_no_features_are_named(world: World) -> None:
    fed(world)
    table = TRAINING.append_column("grounded", pa.array([0.9] * TRAINING.num_rows))
    pinned = asyncio.run(control(world).pin_reference(PinReference(table=table)))
    (note,) = pinned.notes
    assert note.startswith(
        "ignored, because no feature is called so: grounded. Evaluations are not"
    )
    pinned = asyncio.run(control(world).pin_reference(PinReference(table=TRAINING)))
    assert pinned.notes == []


def test_the_beginning_of_an_id_shows_a_reference(world: World) -> None:
    fed(world)
    first, second = (row["id"] for row in active(world))
    show = control(world).reference
    for id_ in (first, second):
        shortest = next(
            n for n in range(33) if (first[:n] == id_[:n]) + (second[:n] == id_[:n]) == 1
        )
        found = asyncio.run(show(id_[:shortest]))
        assert found is not None
        assert found["id"] == id_
    with pytest.raises(QueryError, match="2 references begin with"):
        asyncio.run(show(""))
    assert asyncio.run(show("none")) is None


def test_series_of_monitors_that_are_gone_are_left_alone(world: World) -> None:
    fed(world)
    world.config = a_config(MONITOR | {"name": "new"})
    asyncio.run(control(world).reload())
    with pytest.raises(QueryError, match="no series fits"):
        pin(world)


def test_status_shows_series_windows_and_what_came_in(world: World) -> None:
    fed(world)
    status = asyncio.run(control(world).status())
    assert {series.series.service_name for series in status.series} == {"rag-api", "other"}
    states = {dict(series.states)["intent"] for series in status.series}
    assert states <= {"ok", "pending", "immature"}
    assert all(series.reference for series in status.series)
    assert status.windows[0].end_ns == START_NS + 7 * HOUR_NS


def test_a_mute_is_in_the_status_until_it_is_ended(world: World) -> None:
    fed(world)
    asked = MuteRequest("m", "rag-api", None, None, None, "grounded", 3600, "a load test", "ann")
    made = asyncio.run(control(world).mute(asked))
    assert made["alarms"] == 1
    (listed,) = asyncio.run(control(world).mutes())
    assert (listed["id"], listed["created_by"]) == (made["id"], "ann")
    status = asyncio.run(control(world).status())
    states = {each.series.service_name: dict(each.states) for each in status.series}
    assert states["rag-api"]["grounded"] == "muted"
    assert states["rag-api"]["input_tokens"] != "muted"
    assert "muted" not in states["other"].values()
    assert [(each.id, each.reason) for each in status.mutes] == [(made["id"], "a load test")]
    assert asyncio.run(control(world).unmute(made["id"], "bob")) == [made["id"]]
    status = asyncio.run(control(world).status())
    assert "muted" not in {state for each in status.series for _, state in each.states}
    assert status.mutes == ()
