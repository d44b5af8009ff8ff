"""`retraind demo` as a user runs it. The daemon is real, and sees the scenario only as OTLP."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.xdist_group("demo")


def retraind(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "retraind", *arguments],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def rows(folder, statement):
    answer = retraind("sql", "--data", str(folder), "--format", "json", statement)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_drift_of_one_series_is_named_and_nothing_else_alarms(tmp_path):
    folder = tmp_path / "demo"
    demo = retraind("demo", "--seed", "11", "--drift", "gpt-4o/apac", "--keep", str(folder))

    assert demo.returncode == 0, demo.stdout + demo.stderr
    (trigger,) = rows(folder, "select model, reason, event from triggers")
    assert (trigger["model"], trigger["reason"]) == ("gpt-4o", "eval_fail_rate")
    assert trigger["event"] is not None
    (spans,) = rows(
        folder, "select count(*) as n, date_trunc('day', min(start_time)) as first from spans"
    )
    assert spans["n"] <= 250_000
    calm = f"<= timestamp '{spans['first'][:19].replace('T', ' ')}' + interval 7 days"
    # The seed decides the traffic, whenever this runs: nothing may fire.
    (quiet,) = rows(
        folder,
        "select count(distinct (series_id, window_start)) as windows, "
        "count(*) filter (where alarm_state in ('firing', 'resolving')) as alarms from windows "
        f"where verdict not in ('immature', 'no_data', 'context') and window_end {calm}",
    )
    assert quiet["windows"] >= 100
    assert quiet["alarms"] == 0
    assert rows(folder, f"select id from episodes where opened_at {calm}") == []
    assert len(rows(folder, 'select id from "references" where active')) == 6


def test_without_drift_no_trigger_comes(tmp_path):
    folder = tmp_path / "demo"
    demo = retraind("demo", "--seed", "12", "--drift", "none", "--keep", str(folder))

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert rows(folder, "select id from triggers") == []
