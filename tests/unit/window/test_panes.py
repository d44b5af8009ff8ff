"""Sentences of the window design, each by one example."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from retraind.config.settings import Limits, Match, Monitor
from retraind.model import SeriesKey
from retraind.window.panes import PaneBuild, build_panes
from retraind.window.plan import MonitorPlan
from retraind.window.reference import references_from_panes
from window_oracle import HOUR, Row, as_rows, eval_table, log_bucket, span_id, span_table, trace_id


def span(trace: int, span_: int, parent: int | None = None, **fields: Any) -> Row:
    row = {
        "seq": 1000 * trace + span_, "trace_id": trace_id(trace), "span_id": span_id(span_),
        "parent_span_id": None if parent is None else span_id(parent), "start_time": HOUR + span_,
        "service_name": "bot", "environment": "prod", "operation": "chat", "request_model": "x",
    }  # fmt: skip
    if "input_tokens" in fields:
        fields["usage:input_total"] = fields.pop("input_tokens")
    return {**row, **fields}


def judged(trace: int, span_: int | None, **fields: Any) -> Row:
    row = {
        "seq": 5000 + trace, "time": HOUR + 99, "trace_id": trace_id(trace), "name": "groundedness",
        "span_id": None if span_ is None else span_id(span_), "kind": "automated",
    }  # fmt: skip
    return {**row, **fields}


def build(spans: list[Row], evals: list[Row] = [], *, monitor: Monitor | None = None,  # noqa: B006
          limits: Limits | None = None, **more: Any) -> PaneBuild:  # fmt: skip
    plan = MonitorPlan.from_settings(monitor or Monitor(name="m"))
    return build_panes(
        span_table(spans), eval_table(evals), [plan], first_ns=HOUR, last_ns=3 * HOUR,
        limits=limits or Limits(), **more,
    )  # fmt: skip


def found(result: PaneBuild, feature: str, kind: str | None = None, **key: Any) -> list[Row]:
    names = ("service_name", "environment", "model", "cohort", "hour", "feature", "version", "kind")
    wanted = {"feature": feature, **({"kind": kind} if kind else {}), **key}
    return [
        row for at, row in as_rows(result.rows).items()
        if wanted.items() <= dict(zip(names, at, strict=True)).items()
    ]  # fmt: skip


def test_a_duration_below_zero_is_missing() -> None:
    spans = [span(1, 1, duration_ns=-5), span(2, 1, duration_ns=0)]
    (row,) = found(build(spans), "duration_seconds")
    assert (sum(row["values"].values()), row["missing"]) == (1, 1)


def test_the_unit_is_the_session() -> None:
    spans = [span(t, 1, session_id="s", input_tokens=100) for t in (1, 2, 3)] + [span(4, 1)]
    (row,) = found(build(spans), "sessions")
    assert row["values"] == {"session": 2}
    (row,) = found(build(spans), "input_tokens")
    assert (row["values"], row["missing"]) == ({5079: 1}, 1)


def test_a_longer_session_is_cut_at_the_hour() -> None:
    spans = [span(1, 1, session_id="s"), span(2, 1, session_id="s", start_time=2 * HOUR)]
    assert [row["sessions"] for row in found(build(spans), "sessions")] == [1, 1]


def test_a_session_with_two_models_counts_in_both_series() -> None:
    spans = [span(1, 1, operation="agent"), span(1, 2, 1), span(1, 3, 1, request_model="y")]
    result = build(spans)
    assert [key.model for key in result.new_series] == ["x", "y"]
    assert all(row["sessions"] == 1 for row in found(result, "sessions"))


def test_a_wrapper_around_a_call_is_not_a_call() -> None:
    spans = [span(1, 1, input_tokens=100), span(1, 2, 1, input_tokens=50)]
    (row,) = found(build(spans), "input_tokens")
    assert row["values"] == {log_bucket(50): 1}


def test_cohort_comes_from_the_root_when_the_call_does_not_say() -> None:
    monitor = Monitor(name="m", cohort='attributes["tier"]')
    spans = [
        span(1, 1, operation="agent", **{"attribute:tier": "gold"}),
        span(1, 2, 1, operation="chain"),
        span(1, 3, 2),
        span(1, 4, 2, **{"attribute:tier": "free"}),
    ]
    assert [key.cohort for key in build(spans, monitor=monitor).new_series] == ["free", "gold"]


def test_circles_and_missing_parents_do_no_harm() -> None:
    spans = [
        span(1, 1, 2, operation="chain", session_id=None),
        span(1, 2, 1),
        span(1, 3, 3),
        span(1, 4, 99),
    ]
    (row,) = found(build(spans), "sessions")
    assert row["sessions"] == 1


def test_span_ids_repeat_between_traces() -> None:
    spans = [span(1, 7, input_tokens=1), span(2, 7, input_tokens=2)]
    (row,) = found(build(spans), "input_tokens")
    assert row["values"] == {log_bucket(1): 1, log_bucket(2): 1}


def test_the_tool_of_a_trace_belongs_to_the_series_of_its_calls() -> None:
    spans = [
        span(1, 1, operation="agent", request_model=None), span(1, 2, 1),
        span(1, 3, 1, operation="tool", tool_name="search", request_model=None), span(2, 1),
    ]  # fmt: skip
    (row,) = found(build(spans), "tool_name", model="x")
    assert (row["values"], row["missing"]) == ({"search": 1}, 1)


@pytest.mark.parametrize(
    "field", [{"run_id": "r"}, {"variant": "shadow"}, {"variant": "candidate"}]
)
def test_offline_and_shadow_rows_never_enter(field: Row) -> None:
    spans = [span(1, 1), span(2, 1, **field)]
    evals = [
        judged(1, 1, passed=True),
        judged(2, 1, passed=False),
        judged(1, 1, passed=False, **field),
    ]
    result = build(spans, evals)
    (row,) = found(result, "sessions")
    assert row["sessions"] == 1
    (row,) = found(result, "groundedness", "rate")
    assert (row["results"], row["failures"]) == (1, 0)


def test_the_rate_is_the_mean_over_sessions_of_the_failed_share() -> None:
    spans = [span(t, 1, session_id="a" if t < 4 else "b") for t in (1, 2, 3, 4)]
    evals = [judged(t, 1, score=s) for t, s in ((1, 0.1), (2, 0.9), (3, 0.9), (4, 0.2))]
    result = build(spans, evals)
    (row,) = found(result, "groundedness", "rate")
    assert row["values"] == {333_333: 1, 1_000_000: 1}
    assert (row["total"], row["total_squares"]) == (1_333_333, 111_111 + 1_000_000)
    assert (row["results"], row["failures"]) == (4, 2)
    (row,) = found(result, "groundedness", "score")
    assert row["total"] == 633_333 + 200_000


def test_an_evaluation_without_a_verdict_is_a_score_only() -> None:
    evals = [
        judged(1, 1, name="mystery", score=0.1),
        judged(1, 1, error_type="timeout", passed=False),
    ]
    result = build([span(1, 1)], evals)
    assert len(found(result, "mystery", "score")) == 1
    assert not found(result, "mystery", "rate")
    assert not found(result, "groundedness")


def test_an_evaluation_of_the_root_goes_to_the_call_below_it() -> None:
    spans = [
        span(1, 1, operation="agent", request_model=None),
        span(1, 2, 1, request_model="far", start_time=HOUR),
        span(1, 3, 1, operation="chain", request_model=None), span(1, 4, 3, request_model="near"),
    ]  # fmt: skip
    result = build(spans, [judged(1, 3, passed=True), judged(1, None, passed=True, seq=1)])
    assert len(found(result, "groundedness", "rate", model="near")) == 1
    assert len(found(result, "groundedness", "rate", model="far")) == 1


def test_an_evaluation_that_waits_for_its_span_is_counted() -> None:
    result = build([span(1, 1)], [judged(9, 1, passed=True), judged(1, 5, passed=True)])
    assert result.waiting == 2
    assert not found(result, "groundedness")


def test_automated_evaluations_have_their_own_time_and_feedback_that_of_the_call() -> None:
    late = {"time": 2 * HOUR + 5, "passed": True}
    result = build(
        [span(1, 1)], [judged(1, 1, **late), judged(1, 1, name="thumbs", kind="human", **late)]
    )
    assert len(found(result, "groundedness", "rate", hour=2)) == 1
    assert len(found(result, "thumbs", "rate", hour=1)) == 1


def test_a_judge_and_a_version_are_part_of_the_key() -> None:
    spans = [span(1, 1, response_model="x-1"), span(2, 1, response_model="x-2")]
    evals = [judged(t, 1, passed=True, evaluator_version=v, seq=n) for n, (t, v) in
             enumerate([(1, "1"), (1, "2"), (2, "1")])]  # fmt: skip
    rows = build(spans, evals).rows.to_pylist()
    assert [row["version"] for row in rows if row["kind"] == "rate"] == [
        "x-1|judge:1", "x-1|judge:2", "x-2|judge:1",
    ]  # fmt: skip


def test_a_session_id_that_holds_most_traces_is_no_session_id() -> None:
    spans = [span(t, 1, session_id="constant") for t in range(1, 21)]
    result = build(spans)
    (row,) = found(result, "sessions")
    assert row["values"] == {"trace": 20}
    assert result.by_trace == {(SeriesKey("m", "bot", "prod", "x", ""), HOUR)}
    (row,) = found(build(spans[:19]), "sessions")
    assert row["values"] == {"session": 1}


def test_what_is_over_the_limits_is_folded() -> None:
    spans = [span(t, 1, request_model=f"m{t}") for t in range(1, 5)]
    result = build(spans, limits=Limits(models=2))
    assert [key.model for key in result.new_series] == ["m1", "m2", "__other__"]
    assert result.folded == {"models": 2, "cohorts": 0, "series": 0}
    (row,) = found(result, "sessions", model="__other__")
    assert row["sessions"] == 2
    known = [SeriesKey("m", "bot", "prod", "m4", "")]
    kept = build(spans, limits=Limits(series=2), known_series=known)
    assert [key.model for key in kept.new_series] == ["m1", "__other__"]


def test_categories_over_the_limit_leave_only_a_marker() -> None:
    spans = [span(t, 1, **{"first:finish_reasons": f"r{t}"}) for t in range(1, 5)]
    (row,) = found(build(spans, limits=Limits(categories=3)), "finish_reason")
    assert row["values"] == {"__high_cardinality__": 4}
    (row,) = found(build(spans, limits=Limits(categories=4)), "finish_reason")
    assert len(row["values"]) == 4


def test_labels_are_cut_at_128_characters() -> None:
    assert build([span(1, 1, request_model="é" * 300)]).new_series[0].model == "é" * 128


def test_a_monitor_watches_what_it_matches() -> None:
    monitor = Monitor(name="m", match=Match(service_name="bot", environment="prod"))
    spans = [span(1, 1), span(2, 1, service_name="other"), span(3, 1, environment="dev")]
    assert build(spans, monitor=monitor).new_series == (SeriesKey("m", "bot", "prod", "x", ""),)


def test_a_call_without_a_request_model_is_of_the_model_that_answered() -> None:
    spans = [span(1, 1, request_model=None, response_model="y")]
    assert build(spans).new_series[0].model == "y"


def test_panes_become_a_reference_by_hour_of_the_week() -> None:
    spans = [span(t, 1, input_tokens=100, start_time=t * HOUR) for t in (1, 1 + 168, 2)]
    plan = MonitorPlan.from_settings(Monitor(name="m"))
    rows = build_panes(
        span_table([{**row, "trace_id": trace_id(n + 1)} for n, row in enumerate(spans)]),
        eval_table([]), [plan], first_ns=0, last_ns=200 * HOUR, limits=Limits(),
    ).rows  # fmt: skip
    rows = rows.append_column("series_id", pa.repeat("s", rows.num_rows))
    reference = references_from_panes(rows)["s"]
    # the epoch was a Thursday: 01:00 is hour 3 * 24 + 1 of the week
    assert {h: c.n for h, c in reference.counts["input_tokens", "", "number"].items()} == {
        73: 2,
        74: 1,
    }
