"""deploy/prometheus and docs/runbooks: judged by promtool, held against the metrics there are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client import generate_latest

from retraind.cli import cli
from retraind.metrics.catalogue import CATALOGUE
from retraind.metrics.collector import SnapshotCollector
from retraind.metrics.snapshot import (
    DeployRow,
    DriftRow,
    EpisodeRow,
    HeldRow,
    RateRow,
    ReferenceRow,
    ScoreRow,
    Snapshot,
    StateRow,
    WindowRow,
)
from retraind.model import SeriesKey
from retraind.normalise import rejects
from retraind.policy.holds import Hold
from retraind.receive import admit
from retraind.telemetry import REFUSED, REJECTED, Telemetry

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = [DEPLOY / "recording.yml", DEPLOY / "alerts.yml"]
TESTS = sorted((DEPLOY / "tests").glob("*.yml"))
HEADINGS = ["What it means", "How to confirm", "What to do", "When to silence"]
TARGET_LABELS = {"job", "instance"}
NAME = re.compile(r"[a-z_]+:retraind_\w+:\w+|\bretraind_\w+")


def promtool(*arguments: object, stdin: bytes = b"") -> str:
    """What promtool printed; fails when it found something wrong."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("RETRAIND_REQUIRE_PROGRAMS") == "1":
            pytest.fail("promtool is not installed and RETRAIND_REQUIRE_PROGRAMS=1")
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [found, *map(str, arguments)], input=stdin, capture_output=True, check=False
    )
    printed = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, printed
    return printed


def rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in RULES]
    return [rule for each in documents for group in each["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def exported() -> dict[str, set[str]]:
    """Labels of every sample that the daemon can export, by name."""
    labels = {metric.name: set(metric.labels) for metric in CATALOGUE}
    for instrument in vars(Telemetry()).values():
        if not hasattr(instrument, "_labelnames"):
            continue
        (family,) = instrument.describe()
        own = set(instrument._labelnames)
        if family.type == "counter":
            labels[f"{family.name}_total"] = own
        elif family.type == "histogram":
            labels |= {f"{family.name}_{part}": own for part in ("sum", "count")}
            labels |= {f"{family.name}_bucket": own | {"le"}, family.name: own}
        else:
            labels[family.name] = own
    return labels


def test_rules_and_configuration_are_valid() -> None:
    assert "FAILED" not in promtool("check", "rules", *RULES)
    printed = promtool("check", "config", DEPLOY / "prometheus.yml")
    assert "FAILED" not in printed
    assert f"{len(RULES)} rule files found" in printed


def test_every_metric_passes_the_linter() -> None:
    series = SeriesKey("m", "shop", "prod", "x", "eu")
    scores = {"psi": 0.3, "kl_reference_current": 0.2, "kl_current_reference": 0.3, "js": 0.1}
    telemetry = Telemetry()
    SnapshotCollector(telemetry, 1000, tuple(scores)).snapshot = Snapshot(
        drift=(DriftRow(series, "tokens", "", scores, 0.25, 0.001),),
        rates=(RateRow(series, "faithfulness", "1", 10, 1, 0.1, 0.05, 0.2),),
        scores=(ScoreRow(series, "faithfulness", "1", 0.7),),
        windows=(WindowRow(series, 280, 1),),
        states=(StateRow(series, "tokens", "ok"),),
        references=(ReferenceRow(series, "pinned", 1, 2800),),
        episodes=(EpisodeRow("m", "shop", "prod", "x", 1),),
        holds=(Hold("hold_1", "deploy", "m", "shop", "prod", None, "shop 2 is new", 1, 2),),
        held=(HeldRow("m", "shop", "prod", "x", 2),),
        deploys=(DeployRow("shop", "prod", "2", 1),),
    )
    for instrument in vars(telemetry).values():
        if names := getattr(instrument, "_labelnames", ()):
            instrument.labels(*("x" for _ in names))
    text = generate_latest(telemetry.registry)
    families = set(re.findall(rb"^# TYPE (\w+)", text, flags=re.MULTILINE))
    assert {metric.name.encode() for metric in CATALOGUE} <= families
    assert promtool("check", "metrics", stdin=text).strip() == ""


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_rules_do_what_their_tests_say(file: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", file)


def test_every_alert_is_tested_on_and_off() -> None:
    seen: dict[str, set[bool]] = {name: set() for name in ALERTS}
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for check in test.get("alert_rule_test", []):
                seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert seen == {name: {True, False} for name in ALERTS}


def test_rules_use_only_what_the_daemon_exports() -> None:
    known = set(exported()) | RECORDED
    for rule in rules():
        named = set(NAME.findall(rule["expr"]))
        assert named <= known, rule.get("alert") or rule["record"]


def test_the_series_of_the_tests_have_the_labels_of_the_metrics() -> None:
    labels = exported()
    checked = 0
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for series in test["input_series"]:
                name, inside = re.fullmatch(r"(\w+){(.*)}", series["series"]).groups()  # type: ignore[union-attr]
                used = set(re.findall(r'(\w+)="', inside))
                if name != "up":
                    assert used == labels[name] | TARGET_LABELS, series["series"]
                    checked += 1
    assert checked > 0


def test_every_alert_has_its_runbook() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        page = (RUNBOOKS / f"{name}.md").read_text()
        assert page.startswith(f"# {name}\n")
        assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE) == HEADINGS
        confirm = page.split("## How to confirm")[1].split("## What to do")[0]
        assert "```sh\n" in confirm, name


def test_runbooks_name_alerts_metrics_and_commands_that_exist() -> None:
    known = set(exported()) | RECORDED
    for path in RUNBOOKS.glob("*.md"):
        page = path.read_text()
        assert set(re.findall(r"\bRetraind[A-Z]\w+", page)) <= set(ALERTS), path.name
        for quoted in re.findall(r"`([^`\n]+)`", page):
            if NAME.fullmatch(quoted):
                assert quoted in known, f"{path.name}: {quoted}"
        for words in commands(page):
            resolve(words)


def commands(page: str) -> Iterator[list[str]]:
    """The words of every `retraind …`, in blocks and in the text."""
    for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL):
        yield from (line.split()[1:] for line in block.splitlines() if line.startswith("retraind "))
    yield from (text.split() for text in re.findall(r"`retraind ([^`]+)`", page))


def resolve(words: list[str]) -> None:
    """Fails unless the words begin with a command of ours and use only its options."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options, words


def test_reasons_shown_from_the_start_are_those_in_use() -> None:
    """increase() does not see the step from absent to 1: the alerts need the zeros."""
    assert set(REFUSED) == set(admit._MESSAGES) | {"store"}
    assert set(REJECTED) == set(rejects.REASONS) - {""}
    text = generate_latest(Telemetry().registry).decode()
    for reason in REFUSED:
        assert f'retraind_receiver_refused_requests_total{{reason="{reason}"}} 0.0' in text
    for reason in REJECTED:
        assert f'retraind_receiver_rejected_spans_total{{reason="{reason}"}} 0.0' in text
