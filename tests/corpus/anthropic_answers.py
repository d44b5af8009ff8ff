"""The fake endpoint's answers in the form of Anthropic's Messages API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .answers import ANSWERED_MODELS, Answer, answer_to, pieces


def message(asked: dict[str, Any]) -> dict[str, Any]:
    blocks = [
        block
        for sent in asked["messages"]
        if isinstance(sent["content"], list)
        for block in sent["content"]
    ]
    tools = [tool["name"] for tool in asked.get("tools") or []]
    answer = answer_to(
        tools if (asked.get("tool_choice") or {}).get("type") != "none" else [],
        has_tool_result=any(block.get("type") == "tool_result" for block in blocks),
    )
    return {
        "id": "msg_corpus_1",
        "type": "message",
        "role": "assistant",
        "model": ANSWERED_MODELS.get(asked["model"], asked["model"]),
        "content": content(answer, thinking=(asked.get("thinking") or {}).get("type") == "enabled"),
        "stop_reason": "tool_use" if answer.tool else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 33 if answer.tool else 17,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 4,
            "output_tokens": 7 if answer.tool else 8,
            "service_tier": "standard",
        },
    }


def content(answer: Answer, *, thinking: bool) -> list[dict[str, Any]]:
    thought = {"type": "thinking", "thinking": "A capital is asked for.", "signature": "c2ln"}
    if answer.tool:
        use = {"id": "toolu_corpus_1", "name": answer.tool, "input": json.loads(answer.arguments)}
        said = {"type": "tool_use"} | use
    else:
        said = {"type": "text", "text": answer.text}
    return [thought, said] if thinking else [said]


def stream(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usage = body["usage"]
    started = body | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    yield {"type": "message_start", "message": started}
    for index, block in enumerate(body["content"]):
        yield from _block(index, block)
    delta = {"stop_reason": body["stop_reason"], "stop_sequence": None}
    counts = {"output_tokens": usage["output_tokens"]}
    yield {"type": "message_delta", "delta": delta, "usage": counts}
    yield {"type": "message_stop"}


def _block(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    empty: dict[str, Any]
    deltas: list[dict[str, Any]]
    if block["type"] == "text":
        empty = block | {"text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    elif block["type"] == "thinking":
        empty = block | {"thinking": "", "signature": ""}
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    else:
        empty = block | {"input": {}}
        arguments = json.dumps(block["input"])
        deltas = [
            {"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments)
        ]
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
