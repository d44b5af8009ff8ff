"""What appears after a series has its reference: it waits, joins when mature, and is then judged.

Four hours and 100 sessions make a reference here; windows of 50 sessions end every hour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from builders import HOUR_NS, a_request, a_span
from evaluate_harness import MONITOR, START_NS, World, a_config, an_hour
from retraind.config.settings import Config
from retraind.evaluate.memory import Memory
from retraind.evaluate.references import NewReference, write_references
from retraind.window.plan import MonitorPlan
from retraind.window.reference import counts_from_table, freeze

Make = Callable[..., World]


def play(world: World, hours: range, **options: Any) -> None:
    for hour in hours:
        world.send(an_hour(hour, **options))
        world.tick()


def verdicts(world: World, feature: str, kind: str, version: str = "v1") -> list[str]:
    rows = world.rows(
        "select verdict from windows where feature = $feature and kind = $kind "
        "and version = $version order by window_end",
        feature=feature, kind=kind, version=version,
    )  # fmt: skip
    return [row["verdict"] for row in rows]


def references(world: World) -> list[dict[str, Any]]:
    return world.rows('select * from "references" order by created_at, active')


def test_an_evaluation_that_begins_later_gets_a_baseline_of_its_own(make_world: Make) -> None:
    world = make_world()
    play(world, range(6))
    (first,) = references(world)
    before = world.rows(
        "select * exclude (reference_id) from reference_counts order by feature, hour_of_week"
    )
    world.clock.advance(seconds=60)
    play(world, range(6, 13), failing=0.1)  # hours 6 to 9 are its first four
    old, new = references(world)
    assert (old["id"], old["active"]) == (first["id"], False)
    assert new["id"] != first["id"]
    assert (new["active"], new["source"], new["sessions"]) == (True, "auto", first["sessions"])
    assert verdicts(world, "grounded", "rate") == ["immature"] * 4 + ["ok"] * 2
    assert verdicts(world, "grounded", "score") == ["immature"] * 4 + ["ok"] * 2
    # 50 sessions in each of the hours 6 to 9, of which one in ten failed.
    (rate,) = world.rows(
        "select m, baseline_rate from windows where feature = 'grounded' and kind = 'rate' "
        "and window_end = make_timestamp_ns($end)",
        end=START_NS + 11 * HOUR_NS,
    )
    assert (rate["m"], rate["baseline_rate"]) == (200, pytest.approx(0.1))
    after = world.rows(
        "select * exclude (reference_id) from reference_counts where reference_id = $id "
        "and feature <> 'grounded' order by feature, hour_of_week",
        id=new["id"],
    )
    assert after == before
    world.restart()
    play(world, range(13, 16), failing=0.1)
    assert len(references(world)) == 2
    assert verdicts(world, "grounded", "rate")[4:] == ["ok"] * 5


def test_a_fail_rate_that_rises_after_its_late_baseline_alarms(make_world: Make) -> None:
    world = make_world()
    play(world, range(6))
    play(world, range(6, 12), failing=0.04)
    play(world, range(12, 18), failing=0.9)
    assert "alarm" in verdicts(world, "grounded", "rate")


def test_evaluations_that_have_a_baseline_keep_their_evidence_when_another_joins(
    make_world: Make,
) -> None:
    """The detector of `grounded` goes on; nothing about its baseline has changed."""

    def both(hour: int, *names: str) -> Any:
        spans = [
            a_span(
                hour * 1000 + i,
                start_ns=START_NS + hour * HOUR_NS + i * 10**9,
                attributes={"gen_ai.response.model": "v1"},
                evaluations=[(name, 0.0 if i < 15 and hour > 4 else 1.0, "") for name in names],
            )
            for i in range(50)
        ]
        return a_request(spans)

    def evidence(names: tuple[str, ...]) -> list[float]:
        world = make_world(a_config(MONITOR | {"evals": {"a": {"threshold": 0.5}}}))
        for hour in range(12):
            world.send(both(hour, "a", *(names if hour > 4 else ())))
            world.tick()
        rows = world.rows(
            "select log_e_value from windows where feature = 'a' and kind = 'rate' "
            "and baseline_rate is not null order by window_end"
        )
        assert len(references(world)) == (2 if names else 1)
        return [row["log_e_value"] for row in rows]

    assert evidence(("b",)) == evidence(())


def test_evaluations_of_a_series_whose_reference_is_a_file_get_a_baseline(make_world: Make) -> None:
    world = make_world()
    play(world, range(2), failing=0.1)
    table = pa.table({"input_tokens": list(range(100, 1000)), "intent": ["order"] * 900})

    def pin(memory: Memory, config: Config) -> None:
        counts = counts_from_table(table, MonitorPlan.from_settings(config.monitors[0]))
        (series,) = memory.series.values()
        with world.state.transaction() as tx:
            new = NewReference(series, freeze("pinned", counts), 900, None, None)
            write_references(tx, memory, [new], source="training.parquet", now_ns=1)

    pin(world.evaluator._current()[1], world.config)
    play(world, range(2, 8), failing=0.1)
    rates = verdicts(world, "grounded", "rate")
    assert rates[:4] == ["immature"] * 4
    assert set(rates[4:]) == {"ok"}
    active = references(world)[-1]
    assert (active["source"], active["sessions"]) == ("training.parquet + auto", 900)
    (tokens,) = world.rows(
        "select distinct m from windows where feature = 'input_tokens' and m is not null"
    )
    assert tokens["m"] == 900


def test_a_new_version_of_a_model_is_held_against_the_old_ones_baseline(make_world: Make) -> None:
    """It has one: nothing joins, or a worse model would become its own measure."""
    world = make_world()
    play(world, range(6), failing=0.1)
    play(world, range(6, 12), failing=0.1, version="v2")
    assert len(references(world)) == 1
    assert set(verdicts(world, "grounded", "rate", "v2")) == {"ok"}
