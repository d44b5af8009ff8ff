"""One result of every carrier, in the shape that its source documents or sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from builders import attribute
from retraind.decode import decode_logs, decode_traces
from retraind.normalise import normalise_logs, normalise_traces
from retraind.normalise.verdicts import verdict

TRACE, SPAN, PARENT = bytes(range(16)), bytes(range(8)), bytes(range(1, 9))
Row = dict[str, Any]
ABSENT = {
    "response_id", "session_id", "score", "label", "passed", "explanation", "correction",
    "evaluator", "evaluator_version", "error_type", "idempotency_key", "dataset", "item_id",
    "run_id", "variant",
}  # fmt: skip


def of_span(
    attributes: Row, events: dict[str, Row] | None = None, *, scope: str = "app",
    parent: bytes = b"", links: int = 0,
) -> list[Row]:  # fmt: skip
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    scoped.scope.name = scope
    span = scoped.spans.add(
        trace_id=TRACE, span_id=SPAN, parent_span_id=parent, name="s", start_time_unix_nano=1,
        end_time_unix_nano=2,
    )  # fmt: skip
    span.attributes.extend(attribute(key, value) for key, value in attributes.items())
    for name, fields in (events or {}).items():
        event = span.events.add(name=name, time_unix_nano=1)
        event.attributes.extend(attribute(key, value) for key, value in fields.items())
    for number in range(links):
        span.links.add(trace_id=TRACE[::-1], span_id=bytes([number + 1] * 8))
    rows = normalise_traces(decode_traces([request.SerializeToString()]), attribute_limit=99)
    assert rows.rejected.num_rows == 0
    return rows.evaluations.drop_columns(["time"]).to_pylist()


def of_log(attributes: Row, *, scope: str = "app", placed: bool = True, **fields: Any) -> list[Row]:
    request = ExportLogsServiceRequest()
    scoped = request.resource_logs.add().scope_logs.add()
    scoped.scope.name = scope
    record = scoped.log_records.add(**{"event_name": "gen_ai.evaluation.result"} | fields)
    if placed:
        record.trace_id, record.span_id = TRACE, SPAN
    record.attributes.extend(attribute(key, value) for key, value in attributes.items())
    rows = normalise_logs(decode_logs([request.SerializeToString()]))
    assert rows.rejected.num_rows == 0
    return rows.evaluations.drop_columns(["time"]).to_pylist()


def row(name: str, source: str, **more: Any) -> Row:
    judged = {"trace_id": TRACE.hex(), "span_id": SPAN.hex(), "kind": "automated"}
    return dict.fromkeys(ABSENT) | judged | {"name": name, "source": source} | more


def spec(**fields: Any) -> Row:
    return {f"gen_ai.evaluation.{k.replace('__', '.')}": v for k, v in fields.items()}


RESULT = spec(name="Relevance", score__value=4.0, score__label="fail", explanation="off topic")
SAID = {"score": 4.0, "label": "fail", "passed": False, "explanation": "off topic"}


def test_the_specification_s_result_as_log_event_and_attributes() -> None:
    """semantic-conventions v1.41.1, docs/gen-ai/gen-ai-events.md."""
    assert of_log(RESULT) == [row("Relevance", "log:otel_genai", **SAID)]
    assert of_span({}, {"gen_ai.evaluation.result": RESULT}) == [
        row("Relevance", "event:otel_genai", **SAID)
    ]
    assert of_span(RESULT) == [row("Relevance", "attribute:otel_genai", **SAID)]


def test_a_log_without_ids_names_the_response() -> None:
    assert of_log(RESULT | {"gen_ai.response.id": "chatcmpl-1"}, placed=False) == [
        row("Relevance", "log:otel_genai", **SAID, response_id="chatcmpl-1", trace_id=None,
            span_id=None)
    ]  # fmt: skip


def test_an_error_of_the_evaluator_is_no_failure_and_one_of_the_span_is_not_the_evaluator_s() -> (
    None
):
    (failed,) = of_log(spec(name="e", score__label="fail") | {"error.type": "timeout"})
    assert (failed["error_type"], failed["passed"]) == ("timeout", None)
    (judged,) = of_span(RESULT | {"error.type": "500"})
    assert (judged["error_type"], judged["passed"]) == (None, False)


def test_the_name_of_a_log_is_looked_for_in_four_places() -> None:
    name = "gen_ai.evaluation.result"
    for fields in ({"event_name": name}, {"event_name": "", "body": {"string_value": name}}):
        assert len(of_log(RESULT, **fields)) == 1
    for key in ("event.name", "event_name"):
        assert len(of_log(RESULT | {key: name}, event_name="")) == 1
    assert of_log(RESULT, event_name="gen_ai.other") == []


def test_azure() -> None:
    """azure-ai-evaluation 1.18.10, _evaluate/_evaluate.py:1119-1338."""
    internal = {
        "gen_ai.evaluation.threshold": "3", "gen_ai.evaluation.passed": "true",
        "gen_ai.evaluation.testing_criteria.name": "my relevance",
        "gen_ai.evaluator.version": "7", "gen_ai.evaluation.desirable_direction": "increase",
    }  # fmt: skip
    sent = spec(name="relevance", score__value=2) | {"internal_properties": json.dumps(internal)}
    assert of_log(sent) == [
        row("relevance", "log:azure_ai_evaluation", score=2.0, passed=True,
            evaluator="my relevance", evaluator_version="7")
    ]  # fmt: skip


def test_splunk() -> None:
    """splunk-otel-util-genai 0.1.15, emitters/evaluation.py; once named gen_ai.evaluation."""
    sent = spec(name="bias", score__value=0.9, score__label="unknown", passed=False)
    assert of_log(sent) == [row("bias", "log:splunk_genai", score=0.9, passed=False)]
    assert of_span({}, {"gen_ai.evaluation": sent}) == [
        row("bias", "event:splunk_genai", score=0.9, passed=False)
    ]


def test_strands_evals() -> None:
    """strands-agents-evals 1.7.0, experiment.py:397-440: the score is a text."""
    sent = spec(name="Helpful", case__name="one", score__label="Very", score__value="0.83",
                test_pass=True, explanation="yes")  # fmt: skip
    assert of_span(sent, scope="strands-evals", parent=PARENT) == [
        row("Helpful", "span:strands_evals", score=0.83, label="Very", passed=True,
            explanation="yes", span_id=PARENT.hex(), run_id=TRACE.hex(), item_id="one")
    ]  # fmt: skip
    log = spec(name="Custom.Helpful", score__value="0.83", score__label="Very") | {
        "gen_ai.response.id": TRACE.hex(), "aws.bedrock_agentcore.evaluator.arn": "arn:aws:x",
    }  # fmt: skip
    (found,) = of_log(log, placed=False)
    assert (found["trace_id"], found["span_id"], found["run_id"]) == (
        TRACE.hex(), None, TRACE.hex(),
    )  # fmt: skip


def test_future_agi_s_three_spellings() -> None:
    """ai-evaluation 1.1.0, fi/evals/otel/{conventions,enrichment}.py; fi-instrumentation-otel
    1.1.0, fi_types.py:285 (target_span_id)."""
    now = spec(name="toxicity", score__value=0.1, explanation="calm")
    assert of_span(now | {"eval.toxicity.latency_ms": 12.5}) == [
        row("toxicity", "attribute:otel_genai", score=0.1, explanation="calm")
    ]
    legacy = {
        "eval.tone": 0.75, "eval.tone.reason": "warm", "eval.tone.latency_ms": 3.0,
        "eval.evaluator_version": "2", "eval.sample_rate": 0.5, "eval.model": "turing",
        "eval.evaluated_at": 1.0,
    }  # fmt: skip
    assert of_span(legacy) == [
        row("tone", "attribute:fi_ai_evaluation", score=0.75, explanation="warm",
            evaluator_version="2")
    ]  # fmt: skip
    target = spec(name="tone", score__value=1.0, target_span_id=PARENT.hex())
    assert of_span(target) == [row("tone", "attribute:traceai", score=1.0, span_id=PARENT.hex())]


def test_phoenix_evaluator_spans() -> None:
    """arize-phoenix-evals 3.9.4, evaluators.py:103-120 and 375-392."""
    scores = [
        {"name": "hallucination", "score": 1, "label": "factual", "explanation": "all there",
         "metadata": {}, "kind": "llm", "direction": "maximize"},
        {"name": "exact_match", "score": 0.0, "metadata": {}, "kind": "code"},
    ]  # fmt: skip
    sent = {
        "openinference.span.kind": "EVALUATOR", "output.value": json.dumps(scores),
        "metadata": '{"evaluator.kind": "llm", "evaluator.class": "ClassificationEvaluator"}',
    }  # fmt: skip
    common = {"span_id": PARENT.hex(), "evaluator": "ClassificationEvaluator"}
    assert of_span(sent, parent=PARENT) == [
        row("hallucination", "span:phoenix_evals", score=1.0, label="factual",
            explanation="all there", **common),
        row("exact_match", "span:phoenix_evals", score=0.0, **common),
    ]  # fmt: skip
    assert of_span(sent | {"openinference.span.kind": "LLM"}) == []


@pytest.mark.parametrize("links", [0, 1, 2])
def test_openinference_annotations_of_a_carrier(links: int) -> None:
    """openinference spec/annotations.md: exactly one link leads to what is judged."""
    sent = {
        "annotations.0.annotation.name": "thumbs", "annotations.0.annotation.score": 1,
        "annotations.0.annotation.annotator_kind": "HUMAN",
        "trace.evaluations.0.evaluation.name": "whole", "trace.evaluations.0.evaluation.score": 0.5,
    }  # fmt: skip
    own = {"trace_id": TRACE[::-1].hex()} if links == 1 else {}
    judged = {"span_id": bytes([1] * 8).hex()} if links == 1 else {}
    assert of_span(sent, links=links) == [
        row("thumbs", "attribute:openinference", score=1.0, kind="human", **own, **judged),
        row("whole", "attribute:openinference", score=0.5, **own | {"span_id": None}),
    ]


def test_honeyhive_and_langwatch() -> None:
    """honeyhive 1.7.0, core/context.py:800-830; langwatch 1.4.0, evaluation/__init__.py:493."""
    sent = {
        "honeyhive_metrics.coherence": 0.5, "honeyhive_metrics.safe": True,
        "honeyhive_feedback.rating": 4, "honeyhive_feedback.tone": "kind",
    }  # fmt: skip
    found = {r["name"]: (r["score"], r["label"], r["passed"], r["kind"]) for r in of_span(sent)}
    assert found == {
        "coherence": (0.5, None, None, "automated"), "safe": (1.0, None, True, "automated"),
        "rating": (4.0, None, None, "human"), "tone": (None, "kind", None, "human"),
    }  # fmt: skip
    event = {"name": "pii", "status": "processed", "passed": False, "score": 0.25, "label": "bad",
             "details": "an address"}  # fmt: skip
    name = "langwatch.evaluation.custom"
    assert of_span({}, {name: {"json_encoded_event": json.dumps(event)}}) == [
        row("pii", "event:langwatch", score=0.25, label="bad", passed=False,
            explanation="an address")
    ]  # fmt: skip
    broken = {"name": "pii", "status": "error", "details": "no model"}
    (failed,) = of_span({}, {name: {"json_encoded_event": json.dumps(broken)}})
    assert (failed["error_type"], failed["passed"]) == ("error", None)


@pytest.mark.parametrize(
    ("name", "label", "passed"),
    [
        ("relevance", "yes", True), ("relevance", "No", False), ("relevance", "Pass", True),
        ("hallucination", "yes", False), ("Hallucination", "no", True), ("bias", "true", False),
        ("toxicity", "pass", True), ("toxicity", "fail", False), ("relevance", "great", None),
    ],
)  # fmt: skip
def test_a_label_says_what_it_says_of_that_eval(name: str, label: str, passed: bool | None) -> None:
    """openlit 1.45.0, evals/offline_types.py:57: a verdict of yes is an issue that was found."""
    assert verdict(name, label) is passed
    (found,) = of_log(spec(name=name, score__label=label, score__value=1.0))
    assert found["passed"] is passed


def test_a_score_alone_says_neither() -> None:
    for score in (0.0, 1.0):
        assert of_log(spec(name="groundedness", score__value=score))[0]["passed"] is None


@pytest.mark.parametrize(
    "sent",
    [
        {"assertions": "{", "task_duration": 1.0}, {"assertions": "[1, {}]", "task_duration": 1.0},
        {"assertions": '{"a": 1, "b": {"value": {}}}', "task_duration": 1.0},
        {"assertions": '{"a": {"value": true}}'}, {"evaluations.0.evaluation.score": 1.0},
        {"evaluations.x.evaluation.name": "e"}, {"eval.tone": "high"},
        {"openinference.span.kind": "EVALUATOR", "output.value": "plain"},
        {"logfire.feedback.name": ""}, {"gen_ai.evaluation.name": ""},
    ],
)  # fmt: skip
def test_what_is_no_result_gives_no_row(sent: Row) -> None:
    assert of_span(sent) == []
