"""Values of single sessions: the ones that panes have counted."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from retraind.config.settings import Limits, Monitor
from retraind.model import SeriesKey
from retraind.window.buckets import NO_BUCKET
from retraind.window.panes import build_panes
from retraind.window.plan import MonitorPlan
from retraind.window.sessions import SessionValues, session_values
from window_oracle import HOUR, Row, as_rows, eval_table, log_bucket, span_id, span_table, trace_id

PLAN = MonitorPlan.from_settings(Monitor(name="m", cohort='attributes["tier"]'))
FEATURES = ("input_tokens", "finish_reason")


def span(trace: int, number: int, **fields: Any) -> Row:
    row = {
        "seq": 1000 * trace + number, "trace_id": trace_id(trace), "span_id": span_id(number),
        "parent_span_id": None, "start_time": HOUR + number, "service_name": "bot",
        "environment": "prod", "operation": "chat", "request_model": "x",
    }  # fmt: skip
    if "tokens" in fields:
        fields["usage:input_total"] = fields.pop("tokens")
    if "reason" in fields:
        fields["first:finish_reasons"] = fields.pop("reason")
    return {**row, **fields}


def values(spans: list[Row], cohort: str = "", limits: Limits | None = None) -> SessionValues:
    key = SeriesKey("m", "bot", "prod", "x", cohort)
    return session_values(
        span_table(spans), PLAN, key, FEATURES, first_ns=HOUR, last_ns=3 * HOUR,
        limits=limits or Limits(), known_series=(),
    )  # fmt: skip


def test_a_session_has_its_own_id_or_that_of_its_trace_and_names_its_traces() -> None:
    spans = [
        span(1, 1, session_id="s", tokens=100, reason="stop"),
        span(2, 1, session_id="s"),
        span(3, 1, tokens=7),
    ]
    found = values(spans)
    assert dict(zip(found.ids, found.traces, strict=True)) == {
        "s": (trace_id(1), trace_id(2)),
        trace_id(3): (trace_id(3),),
    }
    tokens = dict(zip(found.ids, list(found.values["input_tokens"]), strict=True))
    assert tokens == {"s": log_bucket(100), trace_id(3): log_bucket(7)}
    assert dict(zip(found.ids, list(found.values["finish_reason"]), strict=True)) == {
        "s": "stop",
        trace_id(3): None,
    }


def test_a_session_of_two_hours_has_the_values_of_its_first() -> None:
    spans = [
        span(2, 1, session_id="s", tokens=500, start_time=2 * HOUR),
        span(1, 1, session_id="s", tokens=100),
    ]
    found = values(spans)
    assert found.ids == ["s"]
    assert list(found.values["input_tokens"]) == [log_bucket(100)]


def test_other_series_and_hours_are_not_there_and_folded_cohorts_are() -> None:
    spans = [
        span(1, 1, **{"attribute:tier": "a"}),
        span(2, 1, **{"attribute:tier": "b"}),
        span(3, 1, request_model="y", **{"attribute:tier": "a"}),
        span(4, 1, start_time=3 * HOUR, **{"attribute:tier": "a"}),
    ]
    assert values(spans, "a").ids == [trace_id(1)]
    few = Limits(cohorts=1)
    assert values(spans, "__other__", few).ids == [trace_id(2)]
    assert values(spans, "gone").ids == []


def test_together_they_are_the_counts_of_the_pane_whatever_the_order() -> None:
    rng = random.Random(4)
    spans = [
        span(
            trace, number, session_id=f"s{trace % 30}" if trace % 3 else None,
            tokens=rng.choice([10, 200, 3000, None]), reason=rng.choice(["stop", "length", None]),
        )
        for trace in range(1, 80)
        for number in range(1, rng.randrange(2, 5))
    ]  # fmt: skip
    found = values(spans)
    rng.shuffle(spans)
    again = values(spans)
    assert (found.ids, found.traces) == (again.ids, again.traces)
    build = build_panes(
        span_table(spans), eval_table([]), [PLAN], first_ns=HOUR, last_ns=3 * HOUR, limits=Limits()
    )
    counted = {key[5]: row for key, row in as_rows(build.rows).items()}
    for feature, nothing in (("input_tokens", NO_BUCKET), ("finish_reason", None)):
        assert list(found.values[feature]) == list(again.values[feature])
        tally = Counter(found.values[feature])
        assert tally.pop(nothing, 0) == counted[feature]["missing"]
        assert dict(tally) == counted[feature]["values"]
