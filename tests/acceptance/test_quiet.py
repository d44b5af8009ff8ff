"""Mutes and holds as an operator sees them, on a daemon that is killed in between."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from acceptance_harness import cli
from builders import HOUR_NS, a_request, a_span
from harness import Daemon, eventually


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """As the common one, but the tests of this module may kill it."""
    with Daemon(tmp_path_factory.mktemp("quiet") / "data") as running:
        yield running


def test_a_mute_survives_a_kill(daemon: Daemon) -> None:
    where = ("--data", daemon.data)
    said = cli("mute", "default", "--model", "gpt-4o", "--for", "2h", "--reason", "a test", *where)
    mute_id = said.stdout.decode().partition(":")[0]
    refused = cli("mute", "nobody", "--for", "2h", "--reason", "a test", *where, check=False)
    assert refused.returncode == 1
    assert b"there is no monitor nobody; there are: default" in refused.stderr
    daemon.kill()
    daemon.start()
    (mute,) = eventually(lambda: json.loads(cli("mute", "--list", "--json", *where).stdout))
    assert (mute["id"], mute["model"], mute["reason"]) == (mute_id, "gpt-4o", "a test")
    assert b"a test" in cli("status", *where).stdout
    assert json.loads(cli("unmute", "--all", "--json", *where).stdout) == {"ended": [mute_id]}
    assert json.loads(cli("mute", "--list", "--json", *where).stdout) == []
    (row,) = daemon.sql("select created_by, ended_by from mutes")
    assert row["created_by"] == row["ended_by"] != ""


def test_a_deploy_is_seen_and_its_hold_can_be_released(daemon: Daemon) -> None:
    where = ("--data", daemon.data)
    now_ns = time.time_ns()
    for number, hours_ago in enumerate((2, 1)):
        span = a_span(number, start_ns=now_ns - hours_ago * HOUR_NS)
        daemon.export(a_request([span], service="shop", service_version=f"1.{number}"))
        eventually(lambda: len(daemon.sql("select * from deploys")) == number + 1)  # noqa: B023
    (hold,) = eventually(lambda: json.loads(cli("hold", "list", "--json", *where).stdout))
    assert (hold["kind"], hold["service_name"], hold["waiting"]) == ("deploy", "shop", 0)
    assert hold["cause"].startswith("shop 1.1 was first seen at ")
    sample = "retraind_deploy_timestamp_seconds{"
    seen = [value for name, value in daemon.metrics().items() if name.startswith(sample)]
    assert sorted(seen) == pytest.approx([now_ns / 1e9 - 7200, now_ns / 1e9 - 3600])
    assert json.loads(cli("hold", "release", hold["id"], "--json", *where).stdout) == {
        "released": hold["id"]
    }
    assert json.loads(cli("hold", "list", "--json", *where).stdout) == []
