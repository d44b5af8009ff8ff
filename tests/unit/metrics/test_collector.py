"""Window results at scrape time. promtool (Prometheus' own linter) judges the exposition."""

from __future__ import annotations

import math
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

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
from retraind.policy.holds import Hold
from retraind.telemetry import Telemetry

KEY = SeriesKey("default", "support-bot", "prod", "model-a", "premium")
LABELS = {
    "monitor": "default",
    "service_name": "support-bot",
    "deployment_environment": "prod",
    "model": "model-a",
    "cohort": "premium",
}
SCORES = {"psi": 0.31, "kl_reference_current": 0.2, "kl_current_reference": 0.3, "js": 0.1}
FULL = Snapshot(
    drift=(DriftRow(KEY, "input_tokens", "", SCORES, 0.25, 0.0004),),
    rates=(RateRow(KEY, "groundedness", "model-a-7", 200, 30, 0.15, 0.11, 0.2),),
    scores=(ScoreRow(KEY, "groundedness", "model-a-7", 0.71),),
    windows=(WindowRow(KEY, 281, 1_700_000_000_500_000_000),),
    states=(StateRow(KEY, "input_tokens", "firing"),),
    references=(ReferenceRow(KEY, "pinned", 1_690_000_000_000_000_000, 2800),),
    episodes=(EpisodeRow("default", "support-bot", "prod", "model-a", 1),),
    holds=(
        Hold("a", "deploy", "default", "support-bot", "prod", None, "7 is new", 1, 500_000_000),
        Hold("b", "deploy", "default", "support-bot", "prod", None, "8 is new", 1, 1_500_000_000),
    ),
    held=(HeldRow("default", "support-bot", "prod", "model-a", 2_500_000_000),),
    deploys=(DeployRow("support-bot", "prod", "8", 1_500_000_000),),
)


def scraped(telemetry: Telemetry) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(generate_latest(telemetry.registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def test_every_row_is_exported_with_its_labels(telemetry: Telemetry) -> None:
    SnapshotCollector(telemetry, 1000).snapshot = FULL
    found = scraped(telemetry)

    feature = LABELS | {"feature": "input_tokens", "version": ""}
    feature |= {"window": "decision", "reference": "pinned"}
    assert found["retraind_drift_score"] == [(feature | {"method": "psi"}, 0.31)]
    assert found["retraind_drift_threshold"] == [(feature | {"method": "psi"}, 0.25)]
    assert found["retraind_drift_p_value"] == [(feature, 0.0004)]
    rate = LABELS | {"eval": "groundedness", "version": "model-a-7"}
    assert found["retraind_eval_results_total"] == [(rate, 200)]
    assert found["retraind_eval_failures_total"] == [(rate, 30)]
    windowed = rate | {"window": "decision"}
    assert found["retraind_eval_fail_ratio"] == [(windowed, 0.15)]
    assert found["retraind_eval_fail_ratio_lower_bound"] == [(windowed, 0.11)]
    assert found["retraind_eval_fail_ratio_upper_bound"] == [(windowed, 0.2)]
    assert found["retraind_eval_score_mean"] == [(windowed, 0.71)]
    assert found["retraind_window_sessions"] == [(LABELS | {"window": "decision"}, 281)]
    end = [(LABELS | {"window": "decision"}, 1_700_000_000.5)]
    assert found["retraind_window_end_timestamp_seconds"] == end
    assert found["retraind_reference_sessions"] == [(LABELS | {"reference": "pinned"}, 2800)]
    assert [value for _, value in found["retraind_open_episodes"]] == [1]
    source = {"service_name": "support-bot", "deployment_environment": "prod"}
    policy = source | {"monitor": "default", "model": "model-a"}
    every_model = policy | {"model": "", "kind": "deploy"}
    assert found["retraind_hold_expires_timestamp_seconds"] == [(every_model, 1.5)]
    assert found["retraind_held_trigger_due_timestamp_seconds"] == [(policy, 2.5)]
    version = source | {"service_version": "8"}
    assert found["retraind_deploy_timestamp_seconds"] == [(version, 1.5)]


def test_a_state_is_one_of_all_states(telemetry: Telemetry) -> None:
    SnapshotCollector(telemetry, 1000).snapshot = FULL
    states = {
        labels["state"]: value for labels, value in scraped(telemetry)["retraind_monitor_state"]
    }
    assert states == {
        "ok": 0, "pending": 0, "firing": 1, "resolving": 0, "no_data": 0, "immature": 0,
        "muted": 0, "held": 0,
    }  # fmt: skip


def test_other_methods_only_when_asked_for(telemetry: Telemetry) -> None:
    SnapshotCollector(telemetry, 1000, ("psi", "js")).snapshot = FULL
    scores = scraped(telemetry)["retraind_drift_score"]
    assert {labels["method"]: value for labels, value in scores} == {"psi": 0.31, "js": 0.1}


def test_series_without_data_disappear(telemetry: Telemetry) -> None:
    collector = SnapshotCollector(telemetry, 1000)
    collector.snapshot = FULL
    assert "retraind_drift_score" in scraped(telemetry)
    collector.snapshot = Snapshot(
        drift=(DriftRow(KEY, "input_tokens", "", {"psi": math.nan}, 0.25, None),),
        rates=(RateRow(KEY, "groundedness", "", 0, 0, None, None, None),),
    )
    found = scraped(telemetry)
    assert "retraind_drift_score" not in found
    assert "retraind_drift_p_value" not in found
    assert "retraind_eval_fail_ratio" not in found
    assert found["retraind_eval_results_total"][0][1] == 0


def test_samples_over_the_limit_are_left_out_and_counted(telemetry: Telemetry) -> None:
    windows = tuple(
        WindowRow(SeriesKey("default", f"service-{i}", "", "", ""), 300, 10**18) for i in range(10)
    )
    SnapshotCollector(telemetry, 7).snapshot = Snapshot(windows=windows)
    before = telemetry.metric_series_limited._value.get()
    found = scraped(telemetry)
    names = ("retraind_window_sessions", "retraind_window_end_timestamp_seconds")
    assert sum(len(found[name]) for name in names) == 7
    assert telemetry.metric_series_limited._value.get() - before == 13


def test_labels_are_cut_and_stay_unique(telemetry: Telemetry) -> None:
    def rows(end: str) -> tuple[WindowRow, ...]:
        return (WindowRow(SeriesKey("default", "s", "", "m" * 200 + end, ""), 1, 1),)

    SnapshotCollector(telemetry, 1000).snapshot = Snapshot(windows=rows("a") + rows("b"))
    ((labels, _),) = scraped(telemetry)["retraind_window_sessions"]
    assert labels["model"] == "m" * 128
    assert telemetry.metric_series_limited._value.get() == 2


def fill(telemetry: Telemetry) -> None:
    """Gives every instrument of the daemon a value, so that the linter sees all of them."""
    for instrument in vars(telemetry).values():
        if not isinstance(instrument, Counter | Gauge | Histogram):
            continue
        child: Any = instrument
        if instrument._labelnames:
            child = instrument.labels(*["x"] * len(instrument._labelnames))
        if isinstance(instrument, Histogram):
            child.observe(0.1)
        else:
            child.inc()


@pytest.mark.real
def test_promtool_finds_nothing_to_complain_about(telemetry: Telemetry) -> None:
    SnapshotCollector(telemetry, 1000, tuple(SCORES)).snapshot = FULL
    fill(telemetry)
    promtool = shutil.which("promtool")
    assert promtool, "install Debian's package prometheus"
    exposition = generate_latest(telemetry.registry)
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
