"""/metrics as Prometheus sees it: scraped and queried by the real server, checked by promtool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP
from typing import Any

import httpx2
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from acceptance_harness import post
from builders import HOUR_NS, a_request, a_span, attribute
from harness import Daemon, eventually, free_port, plain_http
from traffic import NOW_NS, an_hour, wait_closed

HOURS = 5
SECRET_TEXT = "my card number is 4111"
REQUIRED = os.environ.get("RETRAIND_REQUIRE_PROGRAMS") == "1"
LABELS = {
    "api", "cohort", "deployment_environment", "destination", "duckdb", "eval", "feature", "le",
    "limit", "method", "model", "monitor", "outcome", "python", "reason", "reference",
    "service_name", "signal", "state", "status", "transport", "version", "window",
}  # fmt: skip


def program(name: str) -> str:
    """The path of a program of the prometheus package; where it is required, it must be there."""
    found = shutil.which(name)
    if found is None:
        if REQUIRED:
            pytest.fail(f"{name} is not installed and RETRAIND_REQUIRE_PROGRAMS=1")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon after some hours of traffic, an alarm, a duplicate, a rejection and a failure."""
    monitor = {
        "name": "shop",
        "cohort": 'attributes["user.tier"]',
        "evals": {"groundedness": {"max_fail_rate": 0.2}},
        "window": {"min_sessions": 60, "min_sessions_at_max_length": 20},
        "reference": {"min_age": "2h", "min_sessions": 100, "ratio": 1},
    }
    dead_end = {"name": "nobody", "url": f"http://127.0.0.1:{free_port()}/"}
    config = {"tick": "100ms", "monitors": [monitor], "destinations": [dead_end]}
    with Daemon(tmp_path_factory.mktemp("metrics") / "data", config) as running:
        begin_ns = NOW_NS - (HOURS + 2) * HOUR_NS
        private: dict[str, object] = {
            "gen_ai.input.messages": SECRET_TEXT,
            "user.id": SECRET_TEXT,
            "user.tier": 'odd "tier"\n\\ äö',
        }
        for hour in range(HOURS):
            request = an_hour(begin_ns + hour * HOUR_NS, hour, fail_rate=0.5, attributes=private)
            judged_by_two(request)
            running.export(request)
        running.export(request)
        last = a_span(1, start_ns=begin_ns + HOURS * HOUR_NS + HOUR_NS // 10)
        last.span_id = b"\0" * 8
        good = a_span(2, start_ns=begin_ns + HOURS * HOUR_NS + HOUR_NS // 10)
        running.export(a_request([last, good], service="shop"))
        post(running, b"\xff")
        wait_closed(running, begin_ns + HOURS * HOUR_NS)
        failures = 'retraind_webhook_delivery_failures_total{destination="nobody"'
        eventually(lambda: any(key.startswith(failures) for key in running.metrics()))
        yield running


def judged_by_two(request: ExportTraceServiceRequest) -> None:
    """Every answer gets a second judgement, by another version of the evaluator."""
    for span in request.resource_spans[0].scope_spans[0].spans:
        second = span.events.add()
        second.CopyFrom(span.events[0])
        for event, version in zip(span.events, ("1", "2"), strict=True):
            event.attributes.append(attribute("gen_ai.evaluation.evaluator.version", version))


def exposition(daemon: Daemon) -> str:
    answer = plain_http.get(f"{daemon.admin}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.text


def test_promtool_finds_nothing_to_complain_about(daemon: Daemon) -> None:
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=exposition(daemon).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert (done.stdout + done.stderr).strip() == b""


def test_labels_are_bounded_and_nothing_private_is_shown(daemon: Daemon) -> None:
    text = exposition(daemon)
    assert not re.search(r"^\w+_created[ {]", text, flags=re.MULTILINE)
    assert SECRET_TEXT not in text
    families = list(text_string_to_metric_families(text))
    assert all(family.name.startswith("retraind_") for family in families)
    names = {label for family in families for sample in family.samples for label in sample.labels}
    assert names <= LABELS
    cohorts = {s.labels["cohort"] for f in families for s in f.samples if "cohort" in s.labels}
    assert 'odd "tier"\n\\ äö' in cohorts, "escaped, and read back as it was"
    documented = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    listed = set(re.findall(r"`(retraind_\w+)`", documented))
    shown = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert shown <= listed


def test_what_came_in_is_accounted_for(daemon: Daemon) -> None:
    """received = stored + duplicate + rejected."""
    sample = daemon.metrics()
    accepted = sample['retraind_receiver_accepted_spans_total{transport="grpc"}']
    rejected = sample['retraind_receiver_rejected_spans_total{reason="invalid_span_id"}']
    assert (accepted, rejected) == (HOURS * 60 + 1, 1)
    assert sample["retraind_receiver_duplicate_spans_total"] == 60
    (stored,) = daemon.sql("select count(*) as n from stored_spans")
    assert stored["n"] == accepted
    invalid = 'retraind_receiver_requests_total{outcome="invalid",signal="traces",transport="http"}'
    assert sample[invalid] == 1
    acknowledged = sample['retraind_ack_latency_seconds_count{signal="traces"}']
    assert acknowledged == HOURS + 2


def test_the_drift_of_scores_is_exported_by_version(daemon: Daemon) -> None:
    """Two judges of one model's answers are two series; both equal their newest `windows` row."""
    newest = daemon.sql(
        "select version, psi_corrected from windows where feature = 'groundedness' "
        "and kind = 'score' and psi_corrected is not null "
        "qualify window_end = max(window_end) over ()"
    )
    assert {row["version"] for row in newest} == {"gpt-4o|judge:1", "gpt-4o|judge:2"}
    exported = {
        sample.labels["version"]: sample.value
        for family in text_string_to_metric_families(exposition(daemon))
        for sample in family.samples
        if sample.name == "retraind_drift_score" and sample.labels["feature"] == "groundedness"
    }
    assert exported == {row["version"]: row["psi_corrected"] for row in newest}


def test_a_reload_changes_the_methods(daemon: Daemon) -> None:
    def methods() -> set[str]:
        return set(re.findall(r'retraind_drift_score{.*method="(\w+)"', exposition(daemon)))

    def reload(**changes: Any) -> None:
        daemon.config_file.write_text(yaml.safe_dump(daemon.config | changes))
        daemon.process.send_signal(SIGHUP)  # type: ignore[union-attr]

    assert methods() == {"psi"}
    reload(metrics={"methods": ["psi", "js"]})
    eventually(lambda: methods() == {"psi", "js"})
    reload()
    eventually(lambda: methods() == {"psi"})


@pytest.mark.real
def test_prometheus_scrapes_and_answers(daemon: Daemon, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "retraind",
                "static_configs": [{"targets": [f"127.0.0.1:{daemon.admin_port}"]}],
            }
        ],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    log = tmp_path / "prometheus.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        target = eventually(lambda: healthy_target(address), 60)
        assert target["lastError"] == ""
        assert query(address, "up") == [1.0]
        accepted = 'retraind_receiver_accepted_spans_total{transport="grpc"}'
        assert query(address, accepted) == [HOURS * 60 + 1]
        firing = 'retraind_monitor_state{feature="groundedness",state="firing"} == 1'
        assert eventually(lambda: query(address, firing)) == [1.0]
        assert query(address, 'retraind_drift_score{method!="psi"}') == []
        assert query(address, "sum(retraind_triggers_total)") == [1.0]
        over = "retraind_drift_score >= on(monitor,service_name,model,cohort,feature,version,window,reference,method) retraind_drift_threshold"  # noqa: E501
        query(address, over)
        rate = "rate(retraind_receiver_request_bytes_total[1m])"
        assert eventually(lambda: query(address, rate))
        help_text = plain_http.get(f"http://{address}/api/v1/metadata").json()["data"]
        assert help_text["retraind_drift_score"][0]["type"] == "gauge"
    finally:
        server.terminate()
        server.wait(20)


def healthy_target(address: str) -> dict[str, Any] | None:
    try:
        answer = plain_http.get(f"http://{address}/api/v1/targets", timeout=2)
        if answer.status_code != httpx2.codes.OK:  # it answers 503 in plain text while it starts
            return None
        body = answer.json()
    except httpx2.TransportError:
        return None
    targets: list[dict[str, Any]] = body["data"]["activeTargets"]
    return next((target for target in targets if target["health"] == "up"), None)


def query(address: str, expression: str) -> list[float]:
    answer = plain_http.get(
        f"http://{address}/api/v1/query", params={"query": expression, "time": time.time()}
    )
    assert answer.status_code == 200, answer.text
    return [float(series["value"][1]) for series in answer.json()["data"]["result"]]
