"""Fixed limits before a reference, schedules, references from files, series and their limits.

One daemon; each monitor watches a service of its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acceptance_harness import cli
from builders import HOUR_NS, a_request, a_span
from harness import Daemon
from traffic import NOW_NS, SESSIONS, an_hour, in_order, wait_closed

HOURS = 24
CHANGE = 15
BEGIN_NS = NOW_NS - (HOURS + 8) * HOUR_NS
REFERENCE = {"min_age": "12h", "min_sessions": 700}
WINDOW = {"min_sessions": SESSIONS, "min_sessions_at_max_length": 20}
COHORTS = 5
KEPT_COHORTS = 3
SHOP_HOURS = 4

MONITORS: list[dict[str, Any]] = [
    {"name": "limit", "evals": {"groundedness": {"max_fail_rate": 0.2}}},
    {"name": "noticed", "policy": {"schedule": "4h"}, "reference": REFERENCE},
    {"name": "unnoticed", "policy": {"schedule": "4h"}, "reference": REFERENCE},
    {"name": "always", "policy": {"schedule": "6h", "always": True, "cooldown": "1h"}},
    {"name": "drift", "policy": {"any": ["drift"]}, "reference": REFERENCE},
    {
        "name": "filed",
        "features": [
            "output_tokens",
            {"name": "intent", "from": 'attributes["app.intent"]', "type": "category"},
        ],
    },
    {"name": "tiers", "cohort": 'attributes["user.tier"]'},
    {"name": "threshold", "evals": {"groundedness": {"threshold": 0.95, "max_fail_rate": 0.5}}},
]


def monitor_of(settings: dict[str, Any]) -> dict[str, Any]:
    common = {
        "match": {"service_name": settings["name"]},
        "features": ["output_tokens"],
        "window": WINDOW,
    }
    return common | settings


def triggers(daemon: Daemon, monitor: str) -> list[dict[str, Any]]:
    return daemon.sql(
        "select *, epoch_ns(decided_for) as at_ns, event::json as parsed from triggers "
        f"where monitor = '{monitor}' order by decided_for",
    )


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """All services' traffic is in and its hours are closed."""
    settings = {
        "tick": "100ms",
        "monitors": [monitor_of(monitor) for monitor in MONITORS],
        "limits": {"cohorts": KEPT_COHORTS},
    }
    with Daemon(tmp_path_factory.mktemp("policies") / "data", settings) as running:
        send_all(running)
        yield running


def send_all(daemon: Daemon) -> None:
    for hour in range(HOURS):
        start_ns, changed = BEGIN_NS + hour * HOUR_NS, hour >= CHANGE
        tokens = 2.0 if changed else 1.0
        daemon.export(an_hour(start_ns, hour, service="noticed", tokens=tokens))
        daemon.export(an_hour(start_ns, hour, service="unnoticed"))
        daemon.export(an_hour(start_ns, hour, service="drift", tokens=tokens))
        daemon.export(an_hour(start_ns, hour, service="always"))
    for hour in range(HOURS - SHOP_HOURS, HOURS):
        start_ns = BEGIN_NS + hour * HOUR_NS
        daemon.export(an_hour(start_ns, hour, service="limit", fail_rate=0.5))
        daemon.export(an_hour(start_ns, hour, service="threshold"))
        daemon.export(with_intents(start_ns, hour))
        daemon.export(tiers(start_ns, hour))
    services = [monitor["name"] for monitor in MONITORS]
    end_ns = BEGIN_NS + HOURS * HOUR_NS
    for service in services:
        environments = ("prod", "staging") if service == "tiers" else ("prod",)
        for environment in environments:
            last = [a_span(1, start_ns=end_ns + HOUR_NS // 10)]
            daemon.export(a_request(last, service=service, environment=environment))
    wait_closed(daemon, end_ns, services)


def with_intents(start_ns: int, seed: int) -> Any:
    """Calls about orders, refunds and the rest: half, a third, a sixth."""
    hour = an_hour(start_ns, seed, service="filed")
    for number, span in enumerate(hour.resource_spans[0].scope_spans[0].spans):
        pair = span.attributes.add(key="app.intent")
        pair.value.string_value = ["order", "order", "order", "refund", "refund", "other"][
            number % 6
        ]
    return hour


def tiers(start_ns: int, seed: int) -> Any:
    """Five cohorts of 60 calls in production, and one in staging: an environment of its own."""
    production = [
        an_hour(
            start_ns,
            seed,
            service="tiers",
            attributes={"user.tier": f"tier-{tier}", "gen_ai.conversation.id": None},
        )
        for tier in range(COHORTS)
    ]
    for number, part in enumerate(production):  # the same seed gave the same ids
        for span in part.resource_spans[0].scope_spans[0].spans:
            span.trace_id = bytes([number]) + span.trace_id[1:]
    staging = an_hour(
        start_ns, seed, service="tiers", environment="staging", attributes={"user.tier": "tier-0"}
    )
    merged = in_order(*production)
    merged.MergeFrom(staging)
    return merged


def test_a_fixed_limit_fires_before_there_is_a_reference(daemon: Daemon) -> None:
    (trigger,) = triggers(daemon, "limit")
    assert trigger["reason"] == "eval_fail_rate"
    reason = json.loads(trigger["event"])["data"]["reasons"][0]
    assert reason["feature"] == "groundedness"
    assert reason["threshold"] == 0.2
    assert reason["bound"] > 0.2, "the lower bound is over the limit"
    query = (
        "select distinct verdict from windows join series on series.id = series_id "
        "where monitor = 'limit' and windows.feature = 'groundedness' and windows.kind = 'rate'"
    )
    assert daemon.sql(query) == [{"verdict": "immature"}]
    assert trigger["at_ns"] <= BEGIN_NS + (HOURS - SHOP_HOURS + 2) * HOUR_NS


def test_a_threshold_outvotes_nothing_that_was_labelled(daemon: Daemon) -> None:
    """The label says pass at 0.9; the configured threshold decides only what nobody labelled."""
    assert triggers(daemon, "threshold") == []


def test_a_schedule_asks_only_when_something_was_noticed(daemon: Daemon) -> None:
    (first, *_) = triggers(daemon, "noticed")
    assert first["reason"] == "schedule"
    assert first["at_ns"] > BEGIN_NS + CHANGE * HOUR_NS
    assert triggers(daemon, "unnoticed") == []


def test_a_schedule_that_always_asks(daemon: Daemon) -> None:
    found = triggers(daemon, "always")
    assert {row["reason"] for row in found} == {"schedule"}
    at = [(row["at_ns"] - BEGIN_NS) // HOUR_NS for row in found]
    assert at == [7, 13, 19], "every six hours from the first window on"


def test_drift_asks_where_the_policy_says_so(daemon: Daemon) -> None:
    (trigger,) = triggers(daemon, "drift")
    reason = json.loads(trigger["event"])["data"]["reasons"][0]
    assert (reason["kind"], reason["feature"]) == ("drift", "output_tokens")
    assert reason["value"] > reason["threshold"] == 0.25
    assert reason["m"] >= 10 * reason["n"]
    assert reason["contributions"]
    assert trigger["at_ns"] == BEGIN_NS + (CHANGE + 2) * HOUR_NS, "two of three windows"


def training(tokens: float, intents: list[str], n: int = 800) -> pa.Table:
    rng = random.Random(3)
    return pa.table(
        {
            "output_tokens": [max(1, round(rng.gauss(200, 40) * tokens)) for _ in range(n)],
            "intent": [intents[i % len(intents)] for i in range(n)],
            "unrelated": ["x"] * n,
        }
    )


LIKE_TRAFFIC = ["order", "order", "order", "refund", "refund", "other"]


@pytest.mark.parametrize(
    ("suffix", "tokens", "intents", "drifted"),
    [
        ("parquet", 1.0, LIKE_TRAFFIC, set()),
        ("jsonl", 2.0, ["order"] * 5 + ["refund"], {"output_tokens", "intent"}),
    ],
)
def test_a_training_distribution_becomes_the_reference(
    daemon: Daemon,
    tmp_path: Path,
    suffix: str,
    tokens: float,
    intents: list[str],
    drifted: set[str],
) -> None:
    table = training(tokens, intents)
    file = tmp_path / f"training.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    pin = ("reference", "pin", "--data", daemon.data, "--json", "--monitor", "filed")
    (pinned,) = json.loads(cli(*pin, "--from", file).stdout)
    assert (pinned["source"], pinned["sessions"]) == (file.name, 800)
    active = daemon.sql(
        'select "references".id from "references" join series on series.id = series_id '
        "where active and monitor = 'filed'",
    )
    assert active == [{"id": pinned["id"]}]
    shown = json.loads(cli("reference", "show", pinned["id"], "--data", daemon.data).stdout)
    assert {row["feature"] for row in shown["features"]} == {"output_tokens", "intent"}

    (newest,) = daemon.sql(
        "select max(epoch_ns(window_end)) as at from windows join series on series.id = series_id "
        "where monitor = 'filed'",
    )
    for hour in range(2):
        daemon.export(with_intents(newest["at"] + hour * HOUR_NS, len(suffix) * 100 + hour))
    end_ns = newest["at"] + 2 * HOUR_NS
    last = [a_span(hour, start_ns=end_ns + HOUR_NS // 10, attributes={"app.intent": "order"})]
    daemon.export(a_request(last, service="filed"))
    wait_closed(daemon, end_ns, ["filed"])
    found = daemon.sql(
        "select windows.feature, verdict, reference_id, m from windows "
        "join series on series.id = series_id where monitor = 'filed' "
        f"and epoch_ns(window_end) > {newest['at']} "
        "and windows.feature in ('output_tokens', 'intent')",
    )
    assert len(found) >= 2
    assert {(row["reference_id"], row["m"]) for row in found} == {(pinned["id"], 800)}
    assert {row["feature"] for row in found if row["verdict"] == "retrain"} == drifted


def test_a_file_without_a_feature_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "wrong.jsonl"
    file.write_text('{"x": 1}\n')
    pin = ("reference", "pin", "--data", daemon.data, "--monitor", "filed", "--from", file)
    refused = cli(*pin, check=False)
    assert refused.returncode == 1
    assert b"output_tokens" in refused.stderr, "it names the features"


def test_cohorts_come_from_attributes_and_are_limited(daemon: Daemon) -> None:
    found = daemon.sql(
        "select environment, cohort from series where monitor = 'tiers' and cohort <> '' "
        "order by all",
    )
    production = {row["cohort"] for row in found if row["environment"] == "prod"}
    assert len(production) == KEPT_COHORTS + 1
    assert "__other__" in production
    assert {row["cohort"] for row in found if row["environment"] == "staging"} == {"tier-0"}
    assert daemon.metrics()['retraind_series_limited_total{limit="cohorts"}'] > 0
    (row,) = daemon.sql(
        "select sum(sessions)::bigint as n from panes join series on series.id = series_id "
        "where monitor = 'tiers' and environment = 'prod' and feature = 'output_tokens'"
        "and cohort <> ''",
    )
    assert row["n"] == COHORTS * SESSIONS * SHOP_HOURS, "folded, not lost"


def test_a_service_is_watched_by_its_own_monitor_only(daemon: Daemon) -> None:
    pairs = daemon.sql("select distinct monitor, service_name from series")
    assert all(pair["monitor"] == pair["service_name"] for pair in pairs)
    assert {pair["monitor"] for pair in pairs} == {monitor["name"] for monitor in MONITORS}
