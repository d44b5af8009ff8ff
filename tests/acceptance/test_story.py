"""The main job, small: a quiet reference, then drift and failures, one trigger, and recovery.

Two models of one service; only gpt-4o changes. Hours are sent one by one as a backfill.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from acceptance_harness import Receiver, cli, secret_file
from builders import HOUR_NS, a_request, a_span
from harness import Daemon, eventually
from traffic import NOW_NS, SESSIONS, an_hour, in_order, wait_closed

SECRET = "whsec_" + "c2VjcmV0" * 6
QUIET_HOURS, DRIFTED_HOURS, RECOVERED_HOURS = 22, 6, 10
REFERENCE_HOURS = 12
HOURS = QUIET_HOURS + DRIFTED_HOURS + RECOVERED_HOURS
BEGIN_NS = NOW_NS - (HOURS + 2) * HOUR_NS
MODELS = ("gpt-4o", "gpt-4o-mini")

STATE = 'retraind_monitor_state{cohort="",deployment_environment="prod",feature="%s",model="%s",monitor="support",service_name="shop",state="%s"}'  # noqa: E501

WINDOWS = """
select series.model, windows.* exclude (through_seq, evaluated_at)
from windows join series on windows.series_id = series.id order by all
"""
DECISIONS = {
    "windows": WINDOWS,
    "episodes": "from episodes order by all",
    "triggers": "select * exclude (created_at, event) from triggers order by all",
    "references": 'select * exclude (created_at) from "references" order by all',
    "alarms": "select * exclude (memory) from alarms order by all",
    "outbox": "select trigger_id, destination, status from outbox order by all",
}


def config(url: str, secret: Path) -> dict[str, Any]:
    monitor = {
        "name": "support",
        "match": {"service_name": "shop"},
        "features": ["input_tokens", "output_tokens"],
        "window": {"min_sessions": SESSIONS, "min_sessions_at_max_length": 20},
        "reference": {"min_age": f"{REFERENCE_HOURS}h", "min_sessions": 700},
    }
    destination = {"name": "pipeline", "url": url, "secret_file": str(secret)}
    return {"tick": "100ms", "monitors": [monitor], "destinations": [destination]}


def send_hours(daemon: Daemon, first: int, last: int) -> None:
    for hour in range(first, last):
        drifted = QUIET_HOURS <= hour < QUIET_HOURS + DRIFTED_HOURS
        start_ns = BEGIN_NS + hour * HOUR_NS
        changing = an_hour(
            start_ns, hour, fail_rate=0.6 if drifted else 0.05, tokens=2.0 if drifted else 1.0
        )
        daemon.export(in_order(changing, an_hour(start_ns, hour, model="gpt-4o-mini")))


def close_hours(daemon: Daemon, hours: int) -> None:
    """The first moments of the next hour, so that `hours` hours are complete."""
    at = BEGIN_NS + hours * HOUR_NS + HOUR_NS // 10
    daemon.export(a_request([a_span(hours, start_ns=at)], service="shop"))
    wait_closed(daemon, BEGIN_NS + hours * HOUR_NS)


def tables(daemon: Daemon) -> dict[str, list[dict[str, Any]]]:
    return {name: daemon.sql(query) for name, query in DECISIONS.items()}


@dataclass
class Story:
    """What was seen at the end of each part, and the daemon after the last."""

    daemon: Daemon
    seen: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


PARTS = {
    "quiet": QUIET_HOURS,
    "drifted": QUIET_HOURS + DRIFTED_HOURS,
    "recovered": HOURS,
}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    with Receiver() as receiver:
        daemon = Daemon(folder / "data", config(receiver.url, secret_file(folder, SECRET)))
        with daemon:
            told = Story(daemon, received=receiver.received)
            first = 0
            for part, last in PARTS.items():
                send_hours(daemon, first, last)
                close_hours(daemon, last)
                told.seen[part] = tables(daemon)
                told.metrics[part] = daemon.metrics()
                first = last
            eventually(lambda: daemon.sql("from outbox where status = 'delivered'"))
            told.seen["recovered"] = tables(daemon)
            yield told


def test_the_quiet_part_pins_a_reference_and_fires_nothing(story: Story) -> None:
    seen = story.seen["quiet"]
    references = seen["references"]
    assert [row["active"] for row in references] == [True, True]
    assert {row["sessions"] for row in references} == {REFERENCE_HOURS * SESSIONS}
    assert {row["source"] for row in references} == {"auto"}
    tested = [row for row in seen["windows"] if row["reference_id"] and row["kind"] != "context"]
    assert len({(row["model"], row["window_end"]) for row in tested}) == 2 * (
        QUIET_HOURS - REFERENCE_HOURS
    )
    assert not [row for row in seen["windows"] if row["verdict"] in ("alarm", "retrain")]
    assert seen["triggers"] == seen["episodes"] == []
    before = [row for row in seen["windows"] if row["reference_id"] is None]
    assert {row["verdict"] for row in before} <= {"immature", "context"}


def test_windows_follow_each_other_without_overlap(story: Story) -> None:
    for model in MODELS:
        spans = sorted(
            {
                (row["window_start"], row["window_end"])
                for row in story.seen["recovered"]["windows"]
                if row["model"] == model
            }
        )
        assert len(spans) >= HOURS
        for (_, end), (start, _) in pairwise(spans):
            assert end == start


def test_the_drift_opens_one_episode_and_asks_once(story: Story) -> None:
    seen = story.seen["drifted"]
    (trigger,) = seen["triggers"]
    assert (trigger["service_name"], trigger["model"]) == ("shop", "gpt-4o")
    assert trigger["reason"] == "eval_fail_rate"
    (episode,) = seen["episodes"]
    assert (episode["id"], episode["status"]) == (trigger["episode_id"], "open")
    children = json.dumps(episode["children"])
    assert "groundedness" in children
    assert "output_tokens" in children, "the drift joins the episode"
    assert "input_tokens" not in children
    changed = {
        (row["model"], row["feature"])
        for row in seen["windows"]
        if row["verdict"] in ("alarm", "retrain")
    }
    assert changed <= {("gpt-4o", "groundedness"), ("gpt-4o", "output_tokens")}


def test_the_metrics_say_what_fires(story: Story) -> None:
    drifted, quiet = story.metrics["drifted"], story.metrics["quiet"]
    for feature in ("groundedness", "output_tokens"):
        assert quiet[STATE % (feature, "gpt-4o", "firing")] == 0
        assert drifted[STATE % (feature, "gpt-4o", "firing")] == 1
        assert drifted[STATE % (feature, "gpt-4o", "ok")] == 0
        assert drifted[STATE % (feature, "gpt-4o-mini", "firing")] == 0
    assert sum(v for k, v in drifted.items() if k.startswith("retraind_triggers_total")) == 1
    ratio = {
        k: v
        for k, v in drifted.items()
        if k.startswith("retraind_eval_fail_ratio{") and 'model="gpt-4o"' in k
    }
    (value,) = ratio.values()
    assert 0.4 < value < 0.8
    scores = [
        (v, drifted[k.replace("retraind_drift_score", "retraind_drift_threshold")])
        for k, v in drifted.items()
        if k.startswith("retraind_drift_score")
        and 'model="gpt-4o"' in k
        and 'feature="output_tokens"' in k
    ]
    assert len(scores) == 1
    assert scores[0][0] > scores[0][1]


def test_the_trigger_was_delivered_once_signed_and_with_its_evidence(story: Story) -> None:
    ((headers, body),) = story.received
    Webhook(SECRET).verify(body, headers)
    event = json.loads(body)
    (trigger,) = story.seen["recovered"]["triggers"]
    assert event["id"] == headers["webhook-id"] == trigger["id"]
    assert event["type"] == "dev.retraind.retrain.requested.v1"
    data = event["data"]
    assert data["scope"] == {"serviceName": "shop", "environment": "prod", "model": "gpt-4o"}
    reason = data["reasons"][0]
    assert (reason["kind"], reason["feature"]) == ("eval_fail_rate", "groundedness")
    assert 0.4 < reason["value"] < 0.8
    assert reason["n"] == SESSIONS
    assert reason["referenceId"] in {row["id"] for row in story.seen["quiet"]["references"]}
    assert story.seen["recovered"]["outbox"] == [
        {"trigger_id": trigger["id"], "destination": "pipeline", "status": "delivered"}
    ]


def test_the_alarm_resolves_and_nothing_more_is_sent(story: Story) -> None:
    seen = story.seen["recovered"]
    (episode,) = seen["episodes"]
    assert episode["status"] == "closed"
    assert {row["state"] for row in seen["alarms"]} == {"ok"}
    assert len(seen["triggers"]) == 1
    assert story.metrics["recovered"][STATE % ("groundedness", "gpt-4o", "ok")] == 1


def test_restarts_in_the_middle_change_nothing(tmp_path: Path, story: Story) -> None:
    """Stopped or killed while the reference ripens, around the drift, and while it fades."""
    cuts = {
        5: Daemon.kill,
        QUIET_HOURS: Daemon.stop,
        QUIET_HOURS + 2: Daemon.kill,
        PARTS["drifted"]: Daemon.kill,
        HOURS - 8: Daemon.stop,
        HOURS: None,
    }
    with Receiver() as receiver:
        daemon = Daemon(tmp_path / "data", config(receiver.url, secret_file(tmp_path, SECRET)))
        daemon.start()
        first = 0
        for last, end in cuts.items():
            send_hours(daemon, first, last)
            if last in PARTS.values():
                close_hours(daemon, last)
            if end is not None:
                end(daemon)
                daemon.start()
            first = last
        eventually(lambda: daemon.sql("from outbox where status = 'delivered'"))
        found = tables(daemon)
        daemon.stop()
    for name, table in story.seen["recovered"].items():
        assert found[name] == table, name
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1


def test_the_command_line_shows_references_and_deliveries(story: Story) -> None:
    data = story.daemon.data
    listed = json.loads(cli("reference", "list", "--data", data, "--json").stdout)
    assert {row["model"] for row in listed} == set(MODELS)
    shown = json.loads(cli("reference", "show", listed[0]["id"], "--data", data).stdout)
    assert shown["sessions"] == REFERENCE_HOURS * SESSIONS
    assert {row["feature"] for row in shown["features"]} >= {"output_tokens", "groundedness"}
    (delivery,) = json.loads(cli("webhook", "list", "--data", data, "--json").stdout)
    assert delivery["status"] == "delivered"
    status = json.loads(cli("status", "--data", data, "--json").stdout)
    assert status["ready"]
    assert {row["series"]["model"] for row in status["series"]} == set(MODELS)
    assert [row["reason"] for row in status["triggers"]] == ["eval_fail_rate"]
    missing = cli("reference", "show", "none", "--data", data, check=False)
    assert missing.returncode == 1
    assert b"none" in missing.stderr


def test_a_test_event_and_no_second_delivery(story: Story) -> None:
    data, before = story.daemon.data, len(story.received)
    cli("webhook", "test", "pipeline", "--data", data)
    assert len(story.received) == before + 1
    headers, body = story.received[-1]
    Webhook(SECRET).verify(body, headers)
    assert json.loads(body)["type"] != "dev.retraind.retrain.requested.v1"
    assert cli("webhook", "test", "nowhere", "--data", data, check=False).returncode == 1
    trigger_id = story.seen["recovered"]["triggers"][0]["id"]
    again = cli("webhook", "retry", trigger_id, "--data", data, check=False)
    assert again.returncode == 1, "what was delivered is not sent again"
    assert trigger_id.encode() in again.stderr


def test_a_delivered_trigger_is_sent_again_when_asked(story: Story) -> None:
    data, n = story.daemon.data, len(story.received)
    trigger_id = story.seen["recovered"]["triggers"][0]["id"]
    first = next(body for headers, body in story.received if headers["webhook-id"] == trigger_id)
    cli("webhook", "retry", trigger_id, "--delivered", "--data", data)
    eventually(lambda: len(story.received) == n + 1)
    headers, body = story.received[-1]
    Webhook(SECRET).verify(body, headers)
    assert (headers["webhook-id"], body) == (trigger_id, first)


def test_late_spans(story: Story) -> None:
    """Two hours late: the pane is built again. Thirty hours late: it stays, and that is counted."""
    daemon = story.daemon
    newest_ns = BEGIN_NS + HOURS * HOUR_NS

    def sessions(hour_ns: int) -> int:
        (row,) = daemon.sql(
            "select max(sessions) as n from panes join series on series.id = series_id where "
            f"model = 'gpt-4o' and epoch_ns(pane_start) = {hour_ns}",
        )
        return int(row["n"])

    for hours, rebuilt in ((2, True), (30, False)):
        hour_ns = newest_ns - hours * HOUR_NS
        before, n = daemon.metrics(), sessions(hour_ns)
        span = a_span(f"late {hours}", start_ns=hour_ns + HOUR_NS // 2)  # type: ignore[arg-type]
        daemon.export(a_request([span], service="shop"))
        wait_closed(daemon, newest_ns)
        after = daemon.metrics()
        assert sessions(hour_ns) == n + rebuilt
        late = after["retraind_late_panes_total"] - before["retraind_late_panes_total"]
        frozen = "retraind_late_panes_frozen_total"
        assert (late > 0) == rebuilt
        assert (after[frozen] - before[frozen] > 0) == (not rebuilt)
    assert daemon.sql("select count(*) as n from triggers") == [{"n": 1}]
