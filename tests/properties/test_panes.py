"""Panes against a slow reimplementation, and their independence of order, batches and strangers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retraind.config.settings import EvalSettings, Feature, Limits, Monitor
from retraind.window import panes
from retraind.window.panes import PaneBuild, build_panes
from retraind.window.plan import MonitorPlan
from window_oracle import (
    EVAL_TYPES,
    HOUR,
    SPAN_TYPES,
    Row,
    Slow,
    as_rows,
    eval_table,
    full,
    span_id,
    span_table,
    trace_id,
)

FEATURES = [
    ("input_tokens", "number", "usage:input_total", False),
    ("finish_reason", "category", "first:finish_reasons", False),
    ("tool_name", "category", "tool_name", True),
    ("intent", "category", "attribute:intent", True),
]
PLAN = MonitorPlan.from_settings(
    Monitor(
        name="m",
        cohort='attributes["tier"]',
        features=(
            "input_tokens",
            "finish_reason",
            "tool_name",
            Feature.model_validate(
                {"name": "intent", "from": 'attributes["intent"]', "type": "category"}
            ),
        ),
        evals={"own": EvalSettings(threshold=0.5, direction="lower")},
    )
)
FIRST, LAST = 1, 3
DOMINATED = 3
CHECK = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def _few_traces_dominate() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panes, "DOMINATED_TRACES", DOMINATED)
        yield


def passes(name: str, score: float | None) -> bool | None:
    if name == "own" and score is not None:
        return score <= 0.5
    return None


times = st.builds(
    lambda hour, offset: hour * HOUR + offset,
    st.integers(0, 3), st.sampled_from([0, 1, 2, HOUR - 1]),
)  # fmt: skip
span_rows = st.fixed_dictionaries(
    {
        "trace_id": st.integers(1, 4).map(trace_id),
        "span_id": st.integers(1, 6).map(span_id),
        "parent_span_id": st.none() | st.integers(1, 7).map(span_id),
        "start_time": times,
        "service_name": st.sampled_from(["a", "a", "b"]),
        "environment": st.sampled_from([None, "prod", "prod", "dev"]),
        "operation": st.sampled_from(
            ["chat", "chat", "embeddings", "tool", "chain", "evaluator", None]
        ),
        "request_model": st.sampled_from([None, "x", "x", "y"]),
        "response_model": st.sampled_from([None, "x", "x-1"]),
        "session_id": st.sampled_from([None, None, "", "s", "t"]),
        "run_id": st.sampled_from([None] * 8 + ["r"]),
        "variant": st.sampled_from([None, None, None, "production", "blue", "shadow"]),
        "duration_ns": st.sampled_from([None, -1, 0, 1, 2, HOUR]),
        "part": st.sampled_from([None] * 6 + ["pending", "request"]),
        "usage:input_total": st.none() | st.integers(-5, 5000) | st.sampled_from([7, 8]),
        "usage:response": st.sampled_from([None, None, 2**62, 3]),
        "usage:emitter": st.sampled_from([1, 2**62]),
        "output_tokens": st.sampled_from([None, 0, 0, 5]),
        "cost": st.sampled_from([None, 0.5]),
        "first:finish_reasons": st.sampled_from([None, "stop", "length"]),
        "tool_name": st.sampled_from([None, None, "search", "calc"]),
        "attribute:tier": st.sampled_from([None, None, "gold", "free"]),
        "attribute:intent": st.sampled_from([None, None, "buy", "ask"]),
    }
)
eval_rows = st.fixed_dictionaries(
    {
        "time": st.none() | times,
        "trace_id": st.none() | st.integers(1, 4).map(trace_id),
        "span_id": st.none() | st.integers(1, 7).map(span_id),
        "name": st.sampled_from(["own", "other"]),
        "score": st.sampled_from([None, 0.0, 0.25, 0.3, 0.7, 1.0]),
        "label": st.sampled_from([None, "good"]),
        "passed": st.sampled_from([None, True, False]),
        "error_type": st.sampled_from([None, None, None, "timeout"]),
        "evaluator_version": st.sampled_from([None, "1", "2"]),
        "kind": st.sampled_from(["automated", "automated", "human"]),
        "evaluator": st.sampled_from([None, None, "judge"]),
        "source": st.sampled_from(["log:a", "event:a", "attribute:b", "span:c", "api:feedback"]),
        "idempotency_key": st.sampled_from([None, None, None, "once"]),
        "variant": st.sampled_from([None, None, None, "candidate"]),
    }
)


def numbered(rows: list[Row]) -> list[Row]:
    return [{**row, "seq": at} for at, row in enumerate(rows)]


spans_of = st.lists(span_rows, min_size=1, max_size=22).map(numbered)
evals_of = st.lists(eval_rows, max_size=10).map(numbered)


def build(
    spans: list[Row], evals: list[Row], first: int = FIRST, last: int = LAST, **more: Any
) -> PaneBuild:
    more = {"limits": Limits(), **more}
    return build_panes(
        span_table(spans), eval_table(evals), [PLAN],
        first_ns=first * HOUR, last_ns=last * HOUR, **more,
    )  # fmt: skip


@CHECK
@given(spans_of, evals_of)
def test_panes_are_those_of_the_slow_count(spans: list[Row], evals: list[Row]) -> None:
    expected = Slow(spans, evals, FIRST, LAST).rows(
        FEATURES, "attribute:tier", dominated=DOMINATED, passes=passes
    )
    assert as_rows(build(spans, evals).rows) == {key: full(row) for key, row in expected.items()}


@CHECK
@given(spans_of, evals_of, st.randoms())
def test_order_of_rows_does_not_matter(spans: list[Row], evals: list[Row], random: Any) -> None:
    once = build(spans, evals)
    shuffled = random.sample(spans, len(spans)), random.sample(evals, len(evals))
    assert build(*shuffled).rows.equals(once.rows)


@CHECK
@given(spans_of, evals_of)
def test_rows_stored_twice_count_once(spans: list[Row], evals: list[Row]) -> None:
    again = [{**row, "seq": row["seq"] + 1000} for row in spans]
    judged = [
        {**row, "seq": row["seq"] + 1000} for row in evals if row["source"] != "api:feedback"
    ]  # what the API takes is there once: it knows its own repetitions
    assert build(spans + again, evals + judged).rows.equals(build(spans, evals).rows)


@CHECK
@given(spans_of, evals_of)
def test_building_hour_by_hour_gives_the_same(spans: list[Row], evals: list[Row]) -> None:
    """Each hour is built from its own and the two hours before it, never from a later one.

    Of the traces that its evaluations judge it needs all that was before. A span stored twice has
    one start time: rows that differ in it are not both read.
    """
    spans = list({(row["trace_id"], row["span_id"]): row for row in spans}.values())
    limits = Limits(series=3, models=1, cohorts=2)
    whole = build(spans, evals, limits=limits)
    known: tuple[Any, ...] = ()
    parts: dict[Any, Row] = {}
    for hour in range(FIRST, LAST):
        judged = {row["trace_id"] for row in evals if (row["time"] or 0) // HOUR == hour}
        near = [
            row for row in spans
            if 0 <= hour - row["start_time"] // HOUR <= (hour if row["trace_id"] in judged else 2)
        ]  # fmt: skip
        part = build(near, evals, hour, hour + 1, limits=limits, known_series=known)
        known += part.new_series
        parts |= as_rows(part.rows)
    assert parts == as_rows(whole.rows)
    assert sorted(known) == sorted(whole.new_series)


@CHECK
@given(spans_of, evals_of, spans_of)
def test_traces_of_another_service_change_nothing(
    spans: list[Row], evals: list[Row], others: list[Row]
) -> None:
    strangers = [
        {
            **row,
            "seq": row["seq"] + 1000,
            "service_name": "stranger",
            "trace_id": "f" + row["trace_id"][1:],
        }
        for row in others
    ]  # fmt: skip
    both = as_rows(build(spans + strangers, evals).rows)
    assert {key: row for key, row in both.items() if key[0] != "stranger"} == as_rows(
        build(spans, evals).rows
    )


def test_an_empty_table_has_no_panes() -> None:
    assert build([], []).rows.num_rows == 0
    assert set(EVAL_TYPES) <= set(eval_table([]).column_names)
    assert set(SPAN_TYPES) <= set(span_table([]).column_names)
