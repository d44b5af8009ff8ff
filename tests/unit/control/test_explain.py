"""Why something fired or did not, told from the tables of a real evaluation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from evaluate_harness import MONITOR, World, a_config, an_hour
from retraind.cli.explain import explanation
from retraind.console.body import json_response
from retraind.console.daemon import Watched
from retraind.console.encode import plain
from retraind.control import Control
from retraind.errors import QueryError
from retraind.explain import explain_watched, find_episode
from retraind.model import Json

EAGER = MONITOR | {"policy": {"any": ["drift", "eval_fail_rate"]}}


@pytest.fixture
def play(tmp_path: Path) -> Any:
    worlds: list[World] = []

    def make(monitor: dict[str, Any], *requests: Any, **more: Any) -> World:
        world = World(tmp_path / str(len(worlds)), a_config(monitor, **more))
        worlds.append(world)
        for request in requests:
            world.send(request)
            world.tick()
        return world

    yield make
    for world in worlds:
        world.close()


Play = Callable[..., World]


def told(body: Json | None) -> Json:
    """As it arrives over HTTP."""
    assert body is not None
    decoded: Json = json.loads(bytes(json_response(plain(body)).body))
    return decoded


def about(world: World, **asked: str) -> Json:
    return told(explain_watched(world.database.state, world.config, Watched(**asked)))


def alarm(body: Json, feature: str, kind: str = "category") -> Json:
    every = [found for each in body["series"] for found in each["alarms"]]
    (found,) = [each for each in every if (each["feature"], each["kind"]) == (feature, kind)]
    return dict(found)


def calm(hours: int, **more: Any) -> list[Any]:
    return [an_hour(hour, **more) for hour in range(hours)]


def shifted(first: int, last: int, **more: Any) -> list[Any]:
    return [an_hour(hour, shifted=True, **more) for hour in range(first, last)]


def test_before_the_first_reference_it_says_how_much_is_missing(play: Play) -> None:
    world = play(MONITOR | {"reference": {"min_age": "7d", "min_sessions": 1000}}, *calm(4))
    body = about(world, monitor="m", feature="intent")
    # Hours 0 to 2 are closed; 50 sessions each, and a window takes 40.
    assert body["series"][0]["maturity"] == (
        "immature: 0.125 of 7 days and 150 of 1,000 sessions for the first reference"
    )
    assert alarm(body, "intent")["state"] == "immature"
    assert alarm(body, "intent")["missing"] == [body["series"][0]["maturity"]]
    assert "reference pin" in body["next"][0]


def test_a_window_that_is_not_full_says_what_it_needs(play: Play) -> None:
    wide = MONITOR | {"window": {"min_sessions": 280, "min_sessions_at_max_length": 10}}
    world = play(wide, *calm(3, sessions=60))
    body = about(world, monitor="m")
    assert body["series"][0]["open_window"].startswith("280 sessions needed, 120 seen since ")
    assert body["series"][0]["alarms"] == []


def test_calm_traffic_says_that_p_is_not_small_enough(play: Play) -> None:
    body = about(play(MONITOR, *calm(9)), monitor="m", feature="intent")
    found = alarm(body, "intent")
    assert found["state"] == "ok"
    window = found["windows"][0]
    assert window["p_value"] >= 0.001
    first, second = found["missing"]
    assert first.startswith("p = .")
    assert first.endswith(" is not below .001")
    assert second == f"0 of the last {len(found['windows'][:3])} windows show it, 2 needed"
    assert found["holds"] == []


def test_one_window_of_two_is_missing_one(play: Play) -> None:
    body = about(play(MONITOR, *calm(6), *shifted(6, 8)), monitor="m", feature="intent")
    found = alarm(body, "intent")
    assert found["state"] == "pending"
    assert "1 of the last 3 windows shows it, 2 needed" in found["missing"]
    assert any(line.endswith("in the Benjamini-Hochberg set") for line in found["holds"])


def test_an_episode_tells_its_windows_rule_and_trigger(play: Play) -> None:
    hook = {"name": "hook", "url": "http://127.0.0.1:1/"}
    world = play(EAGER, *calm(6), *shifted(6, 12), destinations=[hook])
    (row,) = world.rows("select id from episodes")
    (trigger,) = world.rows("select id, decided_for from triggers")
    body = told(find_episode(world.database.state, world.config, row["id"][:12]))
    assert body == told(find_episode(world.database.state, world.config, trigger["id"]))
    assert body["episode"]["trigger_id"] == trigger["id"]
    assert body["reasons"] == ["drift"]
    assert body["deliveries"][0]["destination"] == "hook"
    (policy,) = body["policies"]
    assert policy["asks"]
    assert policy["holds"][0].startswith("drift: ")
    assert policy["missing"] == ["eval_fail_rate: no fail rate fires"]
    found = alarm(body, "intent")
    # Told as of the decision: nothing that came later.
    assert found["windows"][0]["window_end"] == f"{trigger['decided_for']:%Y-%m-%dT%H:%M:%SZ}"
    assert "2 of the last 3 windows show it, 2 needed" in found["holds"]
    assert found["moved"][0]["label"] == "refund"


def test_drift_that_the_default_policy_leaves_to_evaluations(play: Play) -> None:
    world = play(MONITOR, *calm(6, failing=0.1), *shifted(6, 11, failing=0.1))
    (row,) = world.rows("select id from episodes")
    assert world.rows("select id from triggers") == []
    body = told(find_episode(world.database.state, world.config, row["id"]))
    (policy,) = body["policies"]
    assert not policy["asks"]
    assert "eval_fail_rate: no fail rate fires" in policy["missing"]
    assert any("leaves the decision to the evaluations" in line for line in policy["missing"])
    assert any("any: [drift" in line for line in body["next"])


def test_the_cooldown_of_the_trigger_before_is_named(play: Play) -> None:
    """Two episodes: the second one comes within the seven days of the first trigger."""
    world = play(
        MONITOR,
        *calm(6, failing=0.02), *(an_hour(hour, failing=0.9) for hour in range(6, 9)),
        *(an_hour(hour, failing=0.0) for hour in range(9, 16)),
        *(an_hour(hour, failing=0.9) for hour in range(16, 20)),
    )  # fmt: skip
    first, second = world.rows("select id from episodes order by opened_at")
    (trigger,) = world.rows("select id, episode_id, decided_for from triggers")
    assert trigger["episode_id"] == first["id"]
    body = told(find_episode(world.database.state, world.config, second["id"]))
    (policy,) = body["policies"]
    assert policy["asks"]
    assert policy["cooldown"]["trigger_id"] == trigger["id"]
    assert "held back by the cooldown" in body["next"][0]
    found = alarm(body, "grounded", "rate")
    assert found["holds"][0].startswith("fail rate 90 % against ")


def test_the_attribution_is_part_of_the_explanation(play: Play) -> None:
    world = play(EAGER, *calm(6, failing=0.02), *shifted(6, 12, failing=0.02))
    operator = Control(
        config=lambda: world.config, database=world.database, evaluator=world.evaluator,
        delivery=cast(Any, None), telemetry=world.telemetry, clock=world.clock, readiness=list,
        snapshot=lambda: world.snapshots[-1], reload=list,
    )  # fmt: skip
    (listed,) = asyncio.run(operator.episodes(5))
    assert listed["status"] == "open"
    assert listed["alarms"] == 2
    body = told(asyncio.run(operator.episode(listed["trigger_id"])))
    assert {each["feature"] for each in body["attribution"]["features"][:2]} == {
        "input_tokens",
        "intent",
    }
    assert len(body["attribution"]["sessions"]) == 5
    assert alarm(body, "input_tokens", "number")["change"] == "higher"
    text = "\n".join(explanation(body))
    assert text.count("telling session: ") == 5
    assert "changed: higher" in text
    asked = asyncio.run(operator.explain(Watched(feature="input_tokens")))
    assert [each["feature"] for each in asked["series"][0]["alarms"]] == ["input_tokens"]


def test_ids_and_selections_that_do_not_fit(play: Play) -> None:
    world = play(EAGER, *calm(6), *shifted(6, 10))
    state = world.database.state
    assert find_episode(state, world.config, "ep_none") is None
    with pytest.raises(QueryError, match="no series"):
        explain_watched(state, world.config, Watched(model="gone"))


def test_an_explanation_fits_a_terminal_of_80_columns(play: Play) -> None:
    world = play(EAGER, *calm(6, failing=0.02), *shifted(6, 12, failing=0.7))
    (row,) = world.rows("select id from episodes")
    found = told(find_episode(world.database.state, world.config, row["id"]))
    for body in (found, about(world, monitor="m")):
        lines = explanation(body)
        assert max(map(len, lines)) <= 80
        assert not any(char in line for line in lines for char in "\n\x1b")
