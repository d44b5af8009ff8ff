"""Feedback becomes fail rates per series: of the call it judges, in the hour of that call.

All of it is said long after the call; what is expected is counted by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from acceptance_harness import cli, trace_id
from builders import HOUR_NS, a_request, a_span
from harness import Daemon, eventually, plain_http
from traffic import NOW_NS, wait_closed

HOUR = NOW_NS - 6 * HOUR_NS
CALLS = 50
MINI = range(40, CALLS)
WINDOW = {"min_sessions": 5, "min_sessions_at_max_length": 2}
MONITOR = {
    "name": "support",
    "features": ["input_tokens"],
    "window": WINDOW,
    "evals": {"rating": {"threshold": 0.8}},
}
LABELS = (
    'cohort="",deployment_environment="prod",eval="{eval}",model="{model}",monitor="support",'
    'service_name="shop",version="{model}"'
)


def span_of(i: int) -> Any:
    model = "gpt-4o-mini" if i in MINI else "gpt-4o"
    return a_span(
        i,
        start_ns=HOUR + i * 60 * 10**9,
        trace_id=trace_id(f"call {i}"),
        attributes={
            "gen_ai.conversation.id": f"session {i}",
            "gen_ai.response.id": f"response {i}",
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
        },
    )


def call(i: int) -> dict[str, str]:
    span = span_of(i)
    return {"trace_id": span.trace_id.hex(), "span_id": span.span_id.hex()}


def thumbs(i: int, value: str) -> dict[str, Any]:
    return {"kind": "thumbs", "value": value, **call(i)}


SAID_BEFORE = [thumbs(0, "down"), {"kind": "escalation", "response_id": "response 20"}]
SAID = [
    *(thumbs(i, "down" if i < 4 else "up") for i in range(1, 10)),
    *(
        {"kind": "rating", "value": (i - 10) % 5 + 1, "session_id": f"session {i}"}
        for i in range(10, 20)
    ),
    *(
        {"kind": "escalation", "value": i < 23, "response_id": f"response {i}"}
        for i in range(21, 30)
    ),
    *(
        {"kind": "label", "value": "x", "passed": i < 34, "trace_id": call(i)["trace_id"]}
        for i in range(30, 36)
    ),
    *(thumbs(i, "down") for i in range(40, 45)),
    {"kind": "thumbs", "value": "down", "trace_id": "ab" * 16},  # of a trace that never comes
    {"kind": "correction", "value": "nine", **call(36)},
]
HALF_PAST = f"{datetime.fromtimestamp(HOUR // 10**9 + 1800, UTC):%Y-%m-%dT%H:%M:%SZ}"
TONE = [
    {"name": "tone", "passed": i > 36, "time": HALF_PAST, **call(i)} for i in range(36, 40)
]  # fmt: skip
OFFLINE = [{"name": "tone", "passed": False, "run_id": "golden", **call(i)} for i in range(20)]

EXPECTED = {  # (eval, model): failures, results, of as many sessions
    ("thumbs", "gpt-4o"): (4, 10),
    ("rating", "gpt-4o"): (6, 10),
    ("escalation", "gpt-4o"): (3, 10),
    ("label", "gpt-4o"): (2, 6),
    ("tone", "gpt-4o"): (1, 4),
    ("thumbs", "gpt-4o-mini"): (5, 5),
}


def post(daemon: Daemon, items: list[dict[str, Any]], api: str = "feedback") -> None:
    answer = plain_http.post(f"{daemon.admin}/api/v1/{api}", json=items, timeout=30)
    assert answer.json() == {"accepted": len(items), "rejected": 0, "errors": []}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = {"tick": "100ms", "monitors": [MONITOR]}
    with Daemon(tmp_path_factory.mktemp("told") / "data", config) as daemon:
        post(daemon, SAID_BEFORE)
        daemon.export(a_request([span_of(i) for i in range(CALLS)], service="shop"))
        post(daemon, SAID)
        post(daemon, TONE + OFFLINE, "evaluations")
        later = HOUR + HOUR_NS + 10**9
        nobody = a_span(
            999, start_ns=later + HOUR_NS, attributes={"gen_ai.request.model": "gpt-4o"}
        )
        daemon.export(a_request([nobody], service="shop"))
        wait_closed(daemon, HOUR + HOUR_NS)
        yield daemon


def panes(daemon: Daemon) -> dict[tuple[str, str], tuple[int, int]]:
    """(failures, results) of the rates of the hour, by eval and model."""
    query = (
        "select feature, model, failures, results, epoch_ns(pane_start) as at from panes "
        "join series on panes.series_id = series.id where panes.kind = 'rate'"
    )
    found = daemon.sql(query)
    assert {row["at"] for row in found} == {HOUR}, "feedback is of the hour of the call"
    return {(row["feature"], row["model"]): (row["failures"], row["results"]) for row in found}


def test_rates_are_of_the_judged_calls(told: Daemon) -> None:
    assert panes(told) == EXPECTED


@pytest.mark.parametrize(("name", "model"), list(EXPECTED), ids=str)
def test_rates_are_shown_at_metrics(told: Daemon, name: str, model: str) -> None:
    metrics = told.metrics()
    labels = LABELS.format(eval=name, model=model)
    failures, results = EXPECTED[name, model]
    shown = f'{{{labels},window="decision"}}'
    assert metrics[f"retraind_eval_failures_total{{{labels}}}"] == failures
    assert metrics[f"retraind_eval_results_total{{{labels}}}"] == results
    assert metrics["retraind_eval_fail_ratio" + shown] == pytest.approx(failures / results)
    assert (
        metrics["retraind_eval_fail_ratio_lower_bound" + shown]
        <= failures / results
        <= metrics["retraind_eval_fail_ratio_upper_bound" + shown]
    )


def test_the_mean_rating_is_shown(told: Daemon) -> None:
    labels = LABELS.format(eval="rating", model="gpt-4o")
    mean = told.metrics()[f'retraind_eval_score_mean{{{labels},window="decision"}}']
    assert mean == pytest.approx((1 + 2 + 3 + 4 + 5) / 5 / 5)


def test_feedback_of_a_closed_hour_changes_its_pane(told: Daemon) -> None:
    """Said by the command line, after the decision; by someone else about a call judged before."""
    wanted = EXPECTED["thumbs", "gpt-4o"]
    where = ("--trace", call(5)["trace_id"], "--span", call(5)["span_id"], "--data", told.data)
    done = cli("feedback", "thumbs", "down", "--user", "other", "--json", *where)
    assert json.loads(done.stdout)["accepted"] == 1
    more = (wanted[0] + 1, wanted[1] + 1)
    eventually(lambda: panes(told)["thumbs", "gpt-4o"] == more)
    assert panes(told) == EXPECTED | {("thumbs", "gpt-4o"): more}
