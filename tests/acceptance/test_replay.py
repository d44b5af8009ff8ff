"""`retraind replay` beside a running daemon, and on the folder that it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acceptance_harness import cli
from evaluate_harness import MONITOR, an_hour
from harness import Daemon, eventually

SETTINGS: dict[str, Any] = {
    "monitors": [MONITOR | {"policy": {"any": ["eval_fail_rate"]}}],
    "store": {
        "snapshot_interval": "1s",
        "segment_bytes": "1B",
        "retention_age": "1000d",
        "min_free_bytes": "0B",
    },
}


def ask(daemon: Daemon, *more: str) -> dict[str, Any]:
    done = cli("replay", "--config", daemon.config_file, "--json", *more, check=False)
    assert done.returncode in (0, 1), done.stderr.decode()
    body: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == any(row["side"] != "both" for row in body["triggers"])
    return body


def test_beside_a_running_daemon_and_after_it_has_stopped(tmp_path: Path) -> None:
    """While it runs what is sealed can be replayed, by the newest snapshot; then all of it."""
    with Daemon(tmp_path / "data", SETTINGS) as daemon:
        for hour in range(9):
            daemon.export(an_hour(hour, failing=0.04 if hour < 6 else 0.6).SerializeToString())
        (fired,) = eventually(lambda: daemon.sql("select id from triggers"))
        eventually(lambda: list((daemon.data / "snapshots").glob("state-*.duckdb")))
        body = eventually(lambda: _of_snapshot(ask(daemon)), seconds=60, every=1)
        assert [(row["side"], row["id"]) for row in body["triggers"]] == [("both", fired["id"])]
        as_of = ask(daemon, "--as-of", "2100-01-01")
        assert [(row["side"], row["id"]) for row in as_of["triggers"]] == [("both", fired["id"])]
        daemon.export(an_hour(9, failing=0.6).SerializeToString())
    stopped = ask(daemon)
    assert stopped["snapshot"] is None
    assert stopped["through_seq"] > body["through_seq"]
    assert [(row["side"], row["id"]) for row in stopped["triggers"]] == [("both", fired["id"])]


def _of_snapshot(body: dict[str, Any]) -> dict[str, Any] | None:
    """Once the snapshot has the trigger."""
    assert body["snapshot"].startswith("state-")
    return body if body["triggers"] else None
