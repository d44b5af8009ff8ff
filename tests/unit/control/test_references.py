"""Proposing, accepting and comparing references through the running evaluation."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from builders import HOUR_NS
from evaluate_harness import START_NS, World, an_hour
from retraind.console.daemon import PinReference
from retraind.control import Control
from retraind.errors import QueryError
from retraind.model import Json

TRAINING = pa.table({"input_tokens": [500] * 60, "intent": ["order"] * 40 + ["refund"] * 20})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    for hour in range(8):
        world.send(an_hour(hour, 50, failing=0.1))
    world.tick()
    world.evaluator.start()
    yield world
    world.evaluator.stop()
    world.close()


def control(world: World) -> Control:
    return Control(
        config=lambda: world.config,
        database=world.database,
        evaluator=world.evaluator,
        delivery=cast(Any, None),
        telemetry=world.telemetry,
        clock=world.clock,
        snapshot=lambda: world.snapshots[-1],
        readiness=list,
        reload=list,
    )


def propose(world: World, **asked: Any) -> list[Json]:
    request = PinReference(**{"propose": True, "by": "ana", "source": "by hand", **asked})
    return list(asyncio.run(control(world).pin_reference(request)).references)


def accept(world: World, reference_id: str, by: str = "ben") -> list[Json]:
    return list(asyncio.run(control(world).accept_reference(reference_id, by)))


def states(world: World) -> dict[str, str]:
    return {row["id"]: row["state"] for row in asyncio.run(control(world).references())}


def active(world: World) -> str:
    (row,) = world.rows('select id from "references" where active')
    return str(row["id"])


def logged(world: World) -> list[tuple[Any, ...]]:
    rows = world.rows("select * from reference_log order by logged_at, action desc")
    return [(r["action"], r["reference_id"], r["replaced"], r["actor"]) for r in rows]


def test_what_is_proposed_changes_nothing_until_it_is_accepted(world: World) -> None:
    first = active(world)
    world.clock.advance(seconds=60)
    (proposed,) = propose(world, table=TRAINING)
    assert (proposed["state"], proposed["sessions"]) == ("proposed", 60)
    assert active(world) == first
    world.clock.advance(seconds=60)
    (accepted,) = accept(world, proposed["id"][:8])
    assert (accepted["id"], accepted["state"]) == (proposed["id"], "active")
    assert states(world) == {proposed["id"]: "active", first: "superseded"}
    assert logged(world) == [
        ("pinned", first, None, "auto"),
        ("proposed", proposed["id"], None, "ana"),
        ("accepted", proposed["id"], first, "ben"),
    ]


def test_windows_are_compared_with_it_from_then_on_also_after_a_restart(world: World) -> None:
    (proposed,) = propose(world, table=TRAINING)
    accept(world, proposed["id"])
    world.evaluator.stop()
    newest = world.rows("select max(epoch_ns(window_end)) as end_ns from windows")[0]["end_ns"]
    (row,) = world.rows('select epoch_ns(active_from) as first from "references" where active')
    assert row["first"] == newest
    world.restart()
    for hour in range(8, 11):
        world.send(an_hour(hour, 50))
    world.tick()
    rows = world.rows(
        "select distinct reference_id, m from windows where feature = 'intent' "
        f"and epoch_ns(window_end) > {newest}"
    )
    assert rows == [{"reference_id": proposed["id"], "m": 60}]


def test_detectors_start_anew_when_it_is_accepted_not_when_it_is_proposed(world: World) -> None:
    rates = "select detector from alarms where kind = 'rate'"
    (proposed,) = propose(world, start_ns=START_NS + HOUR_NS)
    assert len(world.rows(rates)[0]["detector"]) == 5
    accept(world, proposed["id"])
    assert world.rows(rates) == [{"detector": []}]


def test_a_series_has_one_proposal_and_an_earlier_one_may_be_taken_up_again(world: World) -> None:
    first = active(world)
    (older,) = propose(world, table=TRAINING)
    (newer,) = propose(world, table=TRAINING.slice(0, 50))
    assert states(world) == {first: "active", older["id"]: "superseded", newer["id"]: "proposed"}
    accept(world, newer["id"])
    accept(world, first)
    assert states(world)[first] == "active"
    assert Counter(states(world).values()) == {"active": 1, "superseded": 2}


def test_what_cannot_be_accepted_or_proposed_is_said(world: World) -> None:
    with pytest.raises(QueryError, match="there is no reference"):
        accept(world, "nope")
    with pytest.raises(QueryError, match="active one already"):
        accept(world, active(world))
    (row,) = world.rows(
        'select epoch_ns(first_time) as first, epoch_ns(last_time) as last from "references"'
    )
    with pytest.raises(QueryError, match="nothing to propose"):
        propose(world, start_ns=row["first"], end_ns=row["last"])
    assert list(states(world).values()) == ["active"]


def test_the_difference_of_two_references(world: World) -> None:
    """Shares of intent: those that were sent in the first hours, and 40 and 20 of 60."""
    (proposed,) = propose(world, table=TRAINING)
    found = asyncio.run(control(world).compare_references(active(world), proposed["id"][:9]))
    assert (found["reference"], found["other"]) == (active(world), proposed["id"])
    (row,) = (each for each in found["features"] if each["feature"] == "intent")
    (own,) = world.rows(
        'select epoch_ns(first_time) as first, epoch_ns(last_time) as last from "references" '
        "where active"
    )
    hours = range((own["first"] - START_NS) // HOUR_NS, (own["last"] - START_NS) // HOUR_NS)
    sent = Counter(
        pair.value.string_value
        for hour in hours
        for span in an_hour(hour, 50, failing=0.1).resource_spans[0].scope_spans[0].spans
        for pair in span.attributes
        if pair.key == "app.intent"
    )
    a = np.array([sent["order"], sent["refund"], sent["ask"]])
    b = np.array([40, 20, 0])
    p, q = ((counts + 0.5) / (counts.sum() + 1.5) for counts in (a, b))
    psi = float(stats.entropy(p, q) + stats.entropy(q, p))
    scale = 1 / a.sum() + 1 / b.sum()
    assert (row["m"], row["n"]) == (a.sum(), 60)
    assert row["psi_corrected"] == pytest.approx(psi - 2 * scale)
    assert row["p_value"] == pytest.approx(stats.chi2.sf(psi / scale, 2))


def test_the_difference_of_current_traffic(world: World) -> None:
    """The newest four hours (reference.min_age) with the same share of failures."""
    found = asyncio.run(control(world).compare_references(active(world), None))
    assert found["other"] == "current"
    rows = {(each["feature"], each["kind"]): each for each in found["features"]}
    rate = rows[("grounded", "rate")]
    assert (rate["rate"], rate["other_rate"], rate["n"]) == (0.1, 0.1, 200)
    assert rows[("input_tokens", "number")]["p_value"] > 0.001
    with pytest.raises(QueryError, match="there is no reference"):
        asyncio.run(control(world).compare_references("nope", None))
