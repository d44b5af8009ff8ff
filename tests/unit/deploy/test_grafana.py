"""The committed dashboards and their provisioning, without Grafana and without Prometheus."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana_dashboards import FILES, GRAFANA, ROOT, Asked, asked, panels, read
from retraind.metrics.catalogue import STATES

RUNBOOKS = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")}
OF_GRAFANA = {"__all", "__interval", "__rate_interval", "__url_time_range", "__data", "__value"}
WIDTH = 24

every_dashboard = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_the_committed_dashboards_are_fresh(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "deploy.grafana", tmp_path], cwd=ROOT, check=True)
    generated = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert len(generated) == 3
    for name, text in generated.items():
        committed = (GRAFANA / "dashboards" / name).read_text(encoding="utf-8")
        assert committed == text, f"{name} is stale; run `make dashboards`"
    assert set(generated) == {file.name for file in FILES}


@every_dashboard
def test_grafanas_types_hold_all_of_it(file: Path) -> None:
    """What the types of the dashboard schema do not know would be lost on the way through them."""
    plugins.register_default_plugins()
    dashboard = read(file)
    again = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    assert lost(dashboard, again) == []


def lost(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Places where `theirs` lacks or changes something of `ours`; it may have more."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        pairs = [(key, value, theirs.get(key, ...)) for key, value in ours.items()]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(str(at), *pair) for at, pair in enumerate(zip(ours, theirs, strict=True))]
    else:
        return [] if ours == theirs else [where]
    return [place for key, a, b in pairs for place in lost(a, b, f"{where}/{key}")]


def test_names_by_which_others_link_here_are_stable() -> None:
    uids = {file.stem: read(file)["uid"] for file in FILES}
    assert uids == {
        "overview": "retraind-overview", "monitor": "retraind-monitor", "ingest": "retraind-ingest",
    }  # fmt: skip
    for file in FILES:
        assert set(re.findall(r'"/d/([\w-]+)', file.read_text())) <= set(uids.values())
        ids = [panel["id"] for panel in read(file)["panels"]]
        assert ids == list(range(1, len(ids) + 1))


@every_dashboard
def test_no_data_source_is_fixed(file: Path) -> None:
    dashboard = read(file)
    (chosen,) = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
    assert (chosen["name"], chosen["query"]) == ("datasource", "prometheus")
    named = [value for key, value in entries(dashboard) if key == "datasource"]
    assert named
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in named)


def entries(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from entries(value)
    elif isinstance(node, list):
        for each in node:
            yield from entries(each)


@every_dashboard
def test_every_variable_that_is_used_is_declared(file: Path) -> None:
    dashboard = read(file)
    declared = {each["name"] for each in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", file.read_text()))
    assert used <= declared | OF_GRAFANA
    assert declared <= used, "a choice that changes nothing"


@every_dashboard
def test_every_panel_says_what_it_means_and_fits(file: Path) -> None:
    ends: dict[int, int] = {}
    for panel in panels(read(file)):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        if panel["type"] in {"timeseries", "stat"}:
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        place = panel["gridPos"]
        assert place["x"] == ends.get(place["y"], 0), f"{panel['title']}: a gap or an overlap"
        ends[place["y"]] = place["x"] + place["w"]
    assert set(ends.values()) == {WIDTH}


def test_every_alert_is_explained_by_a_panel() -> None:
    linked = {
        alert
        for file in FILES
        for alert in re.findall(r"\$\{runbooks\}/(\w+)\.md", file.read_text())
    }
    assert linked == RUNBOOKS


def test_every_state_of_the_daemon_has_a_number() -> None:
    """One without would be missing from the table of what is not ok."""
    expression = question("overview", "Not ok / A").expr
    numbered = re.findall(r'(\d) \* retraind_monitor_state\{.*?state="(\w+)"', expression)
    assert sorted(state for _, state in numbered) == sorted(STATES)
    assert len({number for number, _ in numbered}) == len(STATES)


def test_provisioning_finds_the_dashboards() -> None:
    """Grafana reads variables of the environment in values; the README names both."""
    (source,) = provisioned("datasources")["datasources"]
    assert (source["type"], source["access"]) == ("prometheus", "proxy")
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    (provider,) = provisioned("dashboards")["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    readme = (GRAFANA / "README.md").read_text()
    for value in (source["url"], provider["options"]["path"]):
        (name,) = re.fullmatch(r"\$\{(\w+)\}", value).groups()  # type: ignore[union-attr]
        assert f"{name}=" in readme


def provisioned(kind: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(
        (GRAFANA / "provisioning" / kind / "retraind.yaml").read_text()
    )
    assert document["apiVersion"] == 1
    return document


def test_each_trigger_is_marked_once(tmp_path: Path) -> None:
    """Minute by minute: a first trigger, a failed scrape, a second, a restart, a third."""
    counted = "_ _ 1 1 stale 1 2 2 stale 1"
    marked = {2, 6, 9}
    annotation = question("overview", "annotation Retrain triggers")
    expression = annotation.expr.replace("$__interval", "1m").replace("$monitor", ".*")
    labels = 'job="retraind", instance="a"'
    checks = [
        {
            "expr": expression,
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": '{monitor="m", reason="drift"}', "value": 1}]
            if minute in marked
            else [],
        }
        for minute in range(len(counted.split()))
    ]
    series = {
        f"up{{{labels}}}": "1x9",
        f'retraind_triggers_total{{{labels}, monitor="m", reason="drift"}}': counted,
        # There before Prometheus was: how long before, nobody knows.
        f'retraind_triggers_total{{{labels}, monitor="old", reason="drift"}}': "5x9",
    }
    given = [{"series": name, "values": values} for name, values in series.items()]
    file = tmp_path / "triggers.yml"
    file.write_text(
        yaml.safe_dump(
            {"tests": [{"interval": "1m", "input_series": given, "promql_expr_test": checks}]}
        )
    )
    promtool = shutil.which("promtool")
    if promtool is None:
        assert os.environ.get("RETRAIND_REQUIRE_PROGRAMS") != "1", "promtool is not installed"
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def question(dashboard: str, where: str) -> Asked:
    (file,) = [file for file in FILES if file.stem == dashboard]
    (found,) = [each for each in asked(read(file)) if each.where.endswith(where)]
    return found
