"""Whatever JSON a sender puts where messages, tools or documents belong, reading it never fails."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from otlp_samples import encode, request_of, span
from retraind.decode import decode_traces
from retraind.normalise import normalise_traces

_NAMES = [
    "role", "type", "content", "parts", "text", "message", "messages", "kwargs", "id", "name",
    "tool_calls", "tool_call", "tool_call_id", "function", "function_call", "arguments", "input",
    "finish_reason", "toolUse", "toolResult", "image_url", "source", "url", "event.name", "choices",
    "reasoningContent", "document", "documents", "score", "metadata", "page_content", "output",
    "message_content", "additional_kwargs", "json_schema", "tool", "data", "origin", "user",
]  # fmt: skip
_WORDS = [
    "user", "assistant", "tool", "system", "text", "tool_use", "tool_result", "function_call",
    "thinking", "image", "gen_ai.choice", "gen_ai.tool.message", "stop", "{", "[{", '"', "",
]  # fmt: skip
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**70), st.floats(allow_nan=False),
    st.text(max_size=5), st.sampled_from(_WORDS),
)  # fmt: skip
shapes = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5),
    ),
    max_leaves=25,
)
_HOLDERS = [
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "events",
    "gen_ai.tool.definitions", "gen_ai.retrieval.documents", "input.value", "output.value",
    "langfuse.observation.input", "langfuse.observation.output", "mlflow.spanInputs",
    "mlflow.spanOutputs", "gen_ai.completion", "pydantic_ai.all_messages", "ai.prompt", "metadata",
    "ai.response.toolCalls", "ai.ranking", "embeddings", "gen_ai.prompt.0.content",
    "llm.input_messages.0.message", "retrieval.documents.1.document", "llm.tools.0.tool",
]  # fmt: skip
_kinds = st.sampled_from(
    [
        {"openinference.span.kind": kind}
        for kind in ("LLM", "RETRIEVER", "RERANKER", "TOOL", "EMBEDDING", "AGENT")
    ]
    + [{"mlflow.spanType": '"CHAT_MODEL"'}, {"langfuse.observation.type": "generation"}, {}]
)


def well_formed(messages: list[dict[str, Any]]) -> bool:
    return all(
        isinstance(message["role"], str)
        and isinstance(message["parts"], list)
        and all(isinstance(part["type"], str) for part in message["parts"])
        and all(isinstance(p["content"], str) for p in message["parts"] if p["type"] == "text")
        for message in messages
    )


@settings(max_examples=150, deadline=None)
@given(_kinds, st.dictionaries(st.sampled_from(_HOLDERS), shapes, min_size=1, max_size=4))
def test_any_json_is_stored_and_messages_are_well_formed(
    kind: dict[str, str], held: dict[str, Any]
) -> None:
    attributes = kind | {key: json.dumps(value) for key, value in held.items()}
    payload = encode(request_of(span(attributes=attributes)))
    result = normalise_traces(decode_traces([payload]), attribute_limit=100)
    (row,) = result.spans.to_pylist()
    for column in ("input_messages", "output_messages"):
        assert row[column] is None or well_formed(json.loads(row[column]))
    for column in ("documents", "tool_definitions", "metadata"):
        assert row[column] is None or json.loads(row[column])


@given(st.integers(200, 3000))
@settings(max_examples=10, deadline=None)
def test_deep_nesting_is_stored(depth: int) -> None:
    attributes = {
        "gen_ai.input.messages": "[" * depth + "]" * depth,
        "input.value": '{"messages":' * depth + "1" + "}" * depth,
        "openinference.span.kind": "LLM",
        "llm.input_messages.0." + ".".join("a" * depth): "x",
    }
    payload = encode(request_of(span(attributes=attributes)))
    assert len(normalise_traces(decode_traces([payload]), attribute_limit=100).spans) == 1
