"""The shipped scrape configuration, rules and dashboards' queries, in the real Prometheus.

It scrapes a daemon that is fed with drift. Only the scrape interval is shortened and the target is
this daemon; the rules and queries are not touched.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from builders import HOUR_NS, a_request, a_span
from grafana_dashboards import FILES, STEP, Asked, as_regex, asked, read, source, variables
from harness import Daemon, eventually, free_port, plain_http
from retraind.config.settings import Admin
from traffic import NOW_NS, SESSIONS, an_hour, in_order, wait_closed

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "prometheus"
QUIET_HOURS, DRIFTED_HOURS = 22, 6
BEGIN_NS = NOW_NS - (QUIET_HOURS + DRIFTED_HOURS + 2) * HOUR_NS
RATIO = "series_feature:retraind_drift_score_per_threshold:ratio"
DRIFT = "RetraindDriftDetected"
BURN = "RetraindEvalFailRateBurn"
RULES_SECONDS = 60
"""Two evaluations at the shipped interval of 15 s, for a group that reads another group's rules."""

pytestmark = pytest.mark.real


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("RETRAIND_REQUIRE_PROGRAMS") == "1":
            pytest.fail(f"{name} is not installed and RETRAIND_REQUIRE_PROGRAMS=1")
        pytest.skip(f"{name} is not installed")
    return found


@dataclass(frozen=True)
class Prometheus:
    """A running server with the shipped files, and its API."""

    url: str

    def data(self, path: str, **parameters: str) -> Any:
        answer = plain_http.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        found = self.data("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def has_data(self, question: Asked, expression: str) -> bool:
        """Whether a panel of the last ten minutes would show a number."""
        if question.instant:
            return any(not math.isnan(value) for _, value in self.query(expression))
        now = time.time()
        found = self.data(
            "query_range", query=expression, start=f"{now - 600}", end=f"{now}", step=STEP
        )
        return any(value != "NaN" for each in found["result"] for _, value in each["values"])

    def firing(self) -> list[dict[str, str]]:
        """Labels of the alerts that fire; pending ones are not among them."""
        alerts = self.data("alerts")["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    def wait_evaluated(self) -> None:
        """Wait until every group has been evaluated again, with what is scraped now."""
        before = self._evaluated()
        eventually(lambda: not before & self._evaluated(), RULES_SECONDS)

    def _evaluated(self) -> set[tuple[str, str]]:
        groups = self.data("rules")["groups"]
        return {(group["name"], group["lastEvaluation"]) for group in groups}

    def is_scraping(self) -> bool:
        try:
            ready = plain_http.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False
        return ready and [value for _, value in self.query('up{job="retraind"}')] == [1.0]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    monitor = {
        "name": "support",
        "match": {"service_name": "shop"},
        "features": ["input_tokens", "output_tokens"],
        "window": {"min_sessions": SESSIONS, "min_sessions_at_max_length": 20},
        "reference": {"min_age": "12h", "min_sessions": 700},
    }
    dead_end = {"name": "nobody", "url": f"http://127.0.0.1:{free_port()}/"}
    config = {"tick": "100ms", "monitors": [monitor], "destinations": [dead_end]}
    with Daemon(tmp_path_factory.mktemp("rules") / "data", config) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus") / "etc"
    shutil.copytree(SHIPPED, folder)
    configuration = (folder / "prometheus.yml").read_text()
    for shipped, here in (
        ("scrape_interval: 15s", "scrape_interval: 1s"),
        (Admin().endpoint, f"127.0.0.1:{daemon.admin_port}"),
    ):
        assert configuration.count(shipped) == 1
        configuration = configuration.replace(shipped, here)
    (folder / "prometheus.yml").write_text(configuration)
    address = f"127.0.0.1:{free_port()}"
    with (folder.parent / "prometheus.log").open("wb") as output:
        server = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder.parent / 'tsdb'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        running = Prometheus(f"http://{address}")
        eventually(running.is_scraping, RULES_SECONDS)
        yield running
    finally:
        server.terminate()
        server.wait(20)


def send_hours(daemon: Daemon, first: int, last: int, *, drifted: bool) -> None:
    """Hours of two models, of which only gpt-4o changes; then the first moments of the next."""
    rate, tokens = (0.6, 2.0) if drifted else (0.05, 1.0)
    for hour in range(first, last):
        start_ns = BEGIN_NS + hour * HOUR_NS
        changing = an_hour(start_ns, hour, fail_rate=rate, tokens=tokens)
        daemon.export(in_order(changing, an_hour(start_ns, hour, model="gpt-4o-mini")))
    at_ns = BEGIN_NS + last * HOUR_NS + HOUR_NS // 10
    daemon.export(a_request([a_span(last, start_ns=at_ns)], service="shop"))
    wait_closed(daemon, BEGIN_NS + last * HOUR_NS)


@dataclass(frozen=True)
class Quiet:
    """What Prometheus said before the drift."""

    ratios: list[tuple[dict[str, str], float]]
    firing: list[dict[str, str]]


@pytest.fixture(scope="module")
def quiet(daemon: Daemon, prometheus: Prometheus) -> Quiet:
    """Quiet hours, a look at Prometheus, and then the hours that drift."""
    # The mark of a new version needs a scrape before it: at the first one all versions are new.
    eventually(lambda: prometheus.query(f'up{{job="retraind"}} offset {STEP} == 1'), RULES_SECONDS)
    send_hours(daemon, 0, QUIET_HOURS, drifted=False)
    ratios = eventually(lambda: prometheus.query(RATIO), RULES_SECONDS)
    prometheus.wait_evaluated()
    seen = Quiet(ratios, prometheus.firing())
    send_hours(daemon, QUIET_HOURS, QUIET_HOURS + DRIFTED_HOURS, drifted=True)
    return seen


def test_the_drift_alert_fires_for_what_drifts(
    daemon: Daemon, prometheus: Prometheus, quiet: Quiet
) -> None:
    assert {labels["model"] for labels, _ in quiet.ratios} == {"gpt-4o", "gpt-4o-mini"}
    assert all(value < 1 for _, value in quiet.ratios)
    assert quiet.firing == []

    expected = {
        (DRIFT, "gpt-4o", "output_tokens"),
        (DRIFT, "gpt-4o", "groundedness"),
        (BURN, "gpt-4o", "groundedness"),
    }

    def seen() -> set[tuple[str, str, str]]:
        return {
            (
                alert["alertname"],
                alert.get("model", ""),
                alert.get("feature") or alert.get("eval", ""),
            )
            for alert in prometheus.firing()
        }

    eventually(lambda: seen() >= expected, RULES_SECONDS)
    prometheus.wait_evaluated()
    assert seen() == expected, "the model that did not change, and all other alerts, stay silent"
    (drift,) = [
        alert
        for alert in prometheus.firing()
        if (alert["alertname"], alert.get("feature")) == (DRIFT, "output_tokens")
    ]
    assert drift["severity"] == "warning"
    assert (drift["monitor"], drift["service_name"]) == ("support", "shop")
    assert drift["deployment_environment"] == "prod"
    alarms = daemon.sql("select distinct feature from alarms where state = 'firing'")
    assert {row["feature"] for row in alarms} == {"output_tokens", "groundedness"}


def test_every_rule_is_evaluated_without_error(prometheus: Prometheus) -> None:
    groups = prometheus.data("rules")["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]
    shipped = [
        rule.get("alert") or rule["record"]
        for name in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((SHIPPED / name).read_text())["groups"]
        for rule in group["rules"]
    ]
    assert sorted(rule["name"] for rule in loaded) == sorted(shipped)
    eventually(
        lambda: all(
            rule["health"] == "ok"
            for group in prometheus.data("rules")["groups"]
            for rule in group["rules"]
        ),
        RULES_SECONDS,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("choice", ["all", "one"])
@pytest.mark.usefixtures("quiet")
def test_every_panel_and_annotation_has_data(
    prometheus: Prometheus, file: Path, choice: str
) -> None:
    """With every variable at All, and with one value chosen for each."""
    dashboard = read(file)
    questions = list(asked(dashboard))
    assert questions

    def without_data() -> list[str]:
        values = choose(prometheus, dashboard, choice)
        return [
            each.where for each in questions if not prometheus.has_data(each, each.filled(values))
        ]

    with suppress(AssertionError):
        eventually(lambda: not without_data(), RULES_SECONDS, every=5)
    assert without_data() == []


def choose(prometheus: Prometheus, dashboard: dict[str, Any], choice: str) -> dict[str, str]:
    """A value for each variable, out of those that Prometheus offers for it."""
    chosen: dict[str, str] = {}
    for variable in variables(dashboard):
        name = variable["name"]
        selector, label = source(variable, chosen)
        offered = prometheus.data(f"label/{label}/values", **{"match[]": selector})
        # The traffic has no cohorts, and a user would leave that variable at All.
        assert offered or name == "cohort", name
        take_all = variable["includeAll"] and (choice == "all" or not offered)
        chosen[name] = variable["allValue"] if take_all else as_regex(offered[0])
    return chosen


def test_the_queries_of_the_runbooks_run(daemon: Daemon) -> None:
    found = 0
    for page in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        for query in re.findall(r'retraind sql "(.*?)"', page.read_text(), flags=re.DOTALL):
            daemon.sql(query)
            found += 1
    assert found > 0
