"""Rules of normalisation that a reader should find stated one by one."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from otlp_samples import SPAN_ID, START, TRACE_ID, encode, request_of, span
from retraind.decode import decode_traces
from retraind.normalise import NormalisedTraces, normalise_traces

NESTED_GARBAGE = b"\x0a\x05\xff\xff\xff\xff\xff"


def normalise(*spans: Any, limit: int = 100, **request: Any) -> NormalisedTraces:
    payload = encode(request_of(*spans, **request))
    return normalise_traces(decode_traces([payload]), attribute_limit=limit)


def row(**fields: Any) -> dict[str, Any]:
    (only,) = normalise(span(**fields)).spans.to_pylist()
    return only


@pytest.mark.parametrize(
    ("attributes", "session"),
    [
        ({"session.id": "s", "gen_ai.conversation.id": "c"}, "c"),
        ({"session.id": "s", "gen_ai.conversation.id": "c", "openinference.span.kind": "LLM"}, "s"),
        ({"session.id": "s"}, "s"),
        ({"session.id": "", "gen_ai.conversation.id": "null"}, None),
    ],
)
def test_session_is_the_conversation_unless_openinference_says_otherwise(
    attributes: dict[str, Any], session: str | None
) -> None:
    assert row(attributes=attributes)["session_id"] == session


@pytest.mark.parametrize(
    ("attributes", "operation"),
    [
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"openinference.span.kind": "CHAIN", "gen_ai.operation.name": "chat"}, "chat"),
        ({"openinference.span.kind": "RETRIEVER", "gen_ai.operation.name": "chat"}, "retrieval"),
        ({"openinference.span.kind": "CHAIN", "gen_ai.operation.name": "something"}, "chain"),
        ({"gen_ai.operation.name": "something"}, "other"),
        ({}, None),
    ],
)
def test_a_specific_operation_beats_a_vague_one(
    attributes: dict[str, Any], operation: str | None
) -> None:
    assert row(attributes=attributes)["operation"] == operation


def test_a_framework_is_not_a_provider() -> None:
    attributes = {"gen_ai.provider.name": "langchain", "gen_ai.system": "az.ai.openai"}
    found = row(attributes=attributes)
    assert found["provider"] == "azure.ai.openai"
    assert json.loads(found["norm_source"])["provider"] == "gen_ai.system"
    assert json.loads(found["attributes"]) == attributes


def test_token_counts_come_from_one_convention() -> None:
    found = row(
        attributes={
            "gen_ai.usage.input_tokens": 10,
            "llm.token_count.prompt": 12,
            "llm.token_count.completion": 7,
        }
    )
    assert (found["input_tokens"], found["output_tokens"]) == (10, None)


@pytest.mark.parametrize("unknown", [-1, -1.0, "-1"])
def test_a_count_or_cost_below_zero_is_none(unknown: Any) -> None:
    attributes = {
        "gen_ai.usage.input_tokens": unknown, "gen_ai.usage.output_tokens": 0,
        "gen_ai.usage.cost": unknown, "gen_ai.response.time_to_first_chunk": unknown,
    }  # fmt: skip
    found = row(attributes=attributes)
    names = ("input_tokens", "output_tokens", "cost", "time_to_first_token_seconds")
    assert [found[name] for name in names] == [None, 0, None, None]
    left = {key: value for key, value in attributes.items() if value == unknown}
    assert json.loads(found["attributes"]) == left


def test_a_count_below_zero_yields_to_another_source() -> None:
    found = row(
        attributes={
            "gen_ai.usage.input_tokens": -1,
            "llm.token_count.prompt": 12,
            "mlflow.spanOutputs": '{"usage":{"prompt_tokens":-1,"completion_tokens":-1}}',
        }
    )
    assert (found["input_tokens"], found["output_tokens"]) == (12, None)
    assert json.loads(found["norm_source"])["input_tokens"] == "llm.token_count.prompt"


def test_times_outside_and_unset() -> None:
    assert row(start_time_unix_nano=0)["duration_ns"] is None
    assert row(end_time_unix_nano=START - 5)["duration_ns"] == -5
    rejected = normalise(span(start_time_unix_nano=2**63)).rejected.to_pylist()
    assert [item["reason"] for item in rejected] == ["timestamp"]


def test_one_bad_span_never_costs_a_good_one() -> None:
    damaged = span(name="damaged", attributes={"x": ["NESTED"], "gen_ai.request.model": "m"})
    good = span(name="good", attributes={"x": ["fine"]})
    payload = encode(request_of(good, damaged, span(name="no id", span_id=b"abc"), good))
    array = damaged.attributes[0].value.array_value.SerializeToString()
    broken = payload.replace(array, b"\x0a\x08\xff" + array[3:])
    assert broken != payload
    result = normalise_traces(decode_traces([payload, broken]), attribute_limit=100)
    assert result.spans.column("name").to_pylist() == ["good", "damaged", "good", "good", "good"]
    assert result.span_request.tolist() == [0, 0, 0, 1, 1]
    rejected = result.rejected.to_pylist()
    assert [r["reason"] for r in rejected] == ["invalid_span_id", "encoding", "invalid_span_id"]
    assert result.rejected_request.tolist() == [0, 1, 1]
    assert json.loads(rejected[0]["item"])["span_id"] == "616263"
    assert json.loads(rejected[1]["item"])["attributes"]["gen_ai.request.model"] == "m"


def test_a_rejected_item_is_bounded() -> None:
    many = {f"key {number}": "x" * 3000 for number in range(200)}
    (rejected,) = normalise(span(attributes=many), limit=10).rejected.to_pylist()
    assert rejected["reason"] == "attribute_limit"
    assert len(rejected["item"]) <= 4096


def test_deep_nesting_rejects_the_span() -> None:
    value: Any = "leaf"
    for _ in range(40):
        value = [value]
    (rejected,) = normalise(span(attributes={"deep": value})).rejected.to_pylist()
    assert rejected["reason"] == "encoding"


def test_invalid_utf8_is_repaired_and_counted() -> None:
    fine = {"gen_ai.request.model": "modelXXé", "keyXX": "é", "user.id": "héllo"}
    payload = encode(request_of(span(attributes=fine, name="nameXX")))
    result = normalise_traces(
        decode_traces([payload.replace(b"XX", b"\xff\xfe")]), attribute_limit=100
    )
    (found,) = result.spans.to_pylist()
    replaced = b"XX".replace(b"XX", b"\xff\xfe").decode("utf-8", "replace")
    assert found["request_model"] == f"model{replaced}é"
    assert found["name"] == f"name{replaced}"
    assert json.loads(found["attributes"]) == {f"key{replaced}": "é"}
    assert found["user_id"] == "héllo"
    assert result.repaired_strings == 3


def test_duplicate_keys_keep_the_last_and_are_counted() -> None:
    message = span(attributes={"gen_ai.request.model": "old", "x": 1})
    message.attributes.add(key="gen_ai.request.model").value.string_value = "new"
    message.attributes.add(key="x").value.string_value = "2"
    result = normalise(message)
    (found,) = result.spans.to_pylist()
    assert (found["request_model"], json.loads(found["attributes"])) == ("new", {"x": "2"})
    assert result.duplicate_attributes == 2


def test_a_value_of_two_kinds_is_one_value() -> None:
    payload = encode(request_of(span(attributes={"k": "text"})))
    both = b"\x0a\x04text\x18\x05"  # string_value and int_value of one AnyValue
    (group,) = request_of(span()).resource_spans
    value = b"\x0a\x01k\x12" + bytes([len(both)]) + both
    raw = group.scope_spans[0].spans[0].SerializeToString() + b"\x4a" + bytes([len(value)]) + value
    scope = b"\x12" + len_prefixed(raw)
    request = b"\x0a" + len_prefixed(b"\x12" + len_prefixed(scope))
    result = normalise_traces(decode_traces([payload, request]), attribute_limit=9)
    texts = result.spans.column("attributes").to_pylist()
    assert [json.loads(text) for text in texts] == [{"k": "text"}, {"k": "text"}]


def len_prefixed(raw: bytes) -> bytes:
    assert len(raw) < 128
    return bytes([len(raw)]) + raw


def test_many_distinct_keys_take_the_sparse_way() -> None:
    spans = [
        span(attributes={f"key {n}.{i}": i for i in range(20)} | {"gen_ai.request.model": f"m{n}"})
        for n in range(300)
    ]
    spans[7].attributes.add(key="key 7.3").value.int_value = 99
    result = normalise(*spans)
    assert result.spans.column("request_model").to_pylist() == [f"m{n}" for n in range(300)]
    assert json.loads(result.spans.column("attributes")[7].as_py())["key 7.3"] == 99
    assert result.duplicate_attributes == 1


def test_environment_and_release_come_from_the_resource() -> None:
    resource = {
        "service.name": "bot", "service.version": "1.2", "deployment.environment": "old",
        "deployment.environment.name": "prod",
    }  # fmt: skip
    result = normalise(span(attributes={"deployment.environment": "mine"}), resource=resource)
    (found,) = result.spans.to_pylist()
    assert (found["service_name"], found["environment"], found["release"]) == ("bot", "prod", "1.2")
    assert json.loads(found["resource"]) == resource
    assert row(attributes={"deployment.environment": "mine"})["environment"] == "mine"


def test_time_to_first_token_is_in_seconds() -> None:
    found = row(attributes={"time_to_first_token_ms": 250})
    assert found["time_to_first_token_seconds"] == 0.25
    assert json.loads(found["attributes"]) == {"time_to_first_token_ms": 250}


def test_finish_reasons_are_canonical_and_the_original_stays() -> None:
    found = row(attributes={"gen_ai.response.finish_reasons": ["end_turn", "MAX_TOKENS", "odd"]})
    assert found["finish_reasons"] == ["stop", "length", "odd"]
    assert json.loads(found["attributes"]) == {
        "gen_ai.response.finish_reasons": ["end_turn", "MAX_TOKENS", "odd"]
    }
    exact = row(attributes={"gen_ai.response.finish_reasons": ["stop"]})
    assert (exact["finish_reasons"], exact["attributes"]) == (["stop"], None)


def evaluation(**attributes: Any) -> dict[str, Any]:
    return {
        f"gen_ai.evaluation.{key.replace('__', '.')}": value for key, value in attributes.items()
    }


def test_an_evaluation_event_becomes_a_row_of_the_judged_span() -> None:
    result = normalise(
        span(
            attributes={"retraind.run_id": "r", "retraind.variant": "shadow"},
            events={
                "gen_ai.evaluation.result": evaluation(
                    name="groundedness", score__value=0.25, score__label="fail", explanation="why"
                ),
                "other": evaluation(name="not a result"),
            },
        )
    )
    assert result.evaluations.column("time").cast(pa.int64()).to_pylist() == [START + 5]
    (found,) = result.evaluations.drop_columns(["time"]).to_pylist()
    assert found == {
        "trace_id": TRACE_ID.hex(), "span_id": SPAN_ID.hex(), "response_id": None,
        "session_id": None, "name": "groundedness", "score": 0.25, "label": "fail", "passed": False,
        "explanation": "why", "correction": None, "evaluator": None, "evaluator_version": None,
        "error_type": None, "kind": "automated", "source": "event:otel_genai",
        "idempotency_key": None, "dataset": None, "item_id": None, "run_id": "r",
        "variant": "shadow",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        ({"score__label": "Pass"}, True),
        ({"score__label": "no"}, False),
        ({"score__label": "good"}, None),
        ({"score__value": 1.0}, None),
        ({"score__label": "pass", "passed": False}, False),
        ({"passed": "true"}, True),
    ],
)
def test_passed_comes_from_a_flag_or_a_clear_label(
    fields: dict[str, Any], passed: bool | None
) -> None:
    events = {"gen_ai.evaluation.result": evaluation(name="e", **fields)}
    assert normalise(span(events=events)).evaluations.column("passed").to_pylist() == [passed]


def test_the_same_result_as_event_and_attribute_counts_once() -> None:
    same = evaluation(name="e", score__value=1.0)
    twice = span(attributes=same, events={"gen_ai.evaluation.result": same})
    other = span(
        attributes=evaluation(name="e", score__value=0.5), events={"gen_ai.evaluation.result": same}
    )
    result = normalise(twice, other)
    assert result.evaluations.column("score").to_pylist() == [1.0, 1.0, 0.5]
    assert result.evaluations.column("source").to_pylist()[2] == "attribute:otel_genai"
