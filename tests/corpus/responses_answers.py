"""The fake endpoint's answers in the form of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .answers import ANSWERED_MODELS, Answer, pieces

ECHOED = ("instructions", "max_output_tokens", "metadata", "temperature", "tool_choice", "tools")


def response(asked: dict[str, Any], answer: Answer, created: int) -> dict[str, Any]:
    defaults = {"metadata": {}, "temperature": 1.0, "tool_choice": "auto", "tools": []}
    echoed = {key: asked.get(key, defaults.get(key)) for key in ECHOED}
    return echoed | {
        "id": "resp_corpus_1",
        "object": "response",
        "created_at": created,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": ANSWERED_MODELS.get(asked["model"], asked["model"]),
        "output": [item(answer)],
        "parallel_tool_calls": True,
        "previous_response_id": asked.get("previous_response_id"),
        "service_tier": "default",
        "text": {"format": {"type": "text"}},
        "top_p": asked.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": 5},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }


def item(answer: Answer) -> dict[str, Any]:
    if answer.tool:
        return {
            "id": "fc_corpus_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "call_corpus_1",
            "name": answer.tool,
            "arguments": answer.arguments,
        }
    return {
        "id": "msg_corpus_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text_part(answer.text or "")],
    }


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def stream(body: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(_events(body, answer)):
        yield event | {"sequence_number": number}


def _events(body: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    started = body | {"status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    whole = body["output"][0]
    part = {"content": []} if whole["type"] == "message" else {"arguments": ""}
    empty = whole | part | {"status": "in_progress"}
    yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
    at = {"item_id": whole["id"], "output_index": 0}
    if answer.tool:
        kind = "response.function_call_arguments"
        for piece in pieces(answer.arguments):
            yield at | {"type": f"{kind}.delta", "delta": piece}
        yield at | {"type": f"{kind}.done", "name": answer.tool, "arguments": answer.arguments}
    else:
        at["content_index"] = 0
        yield at | {"type": "response.content_part.added", "part": text_part("")}
        kind = "response.output_text"
        for piece in pieces(answer.text or ""):
            yield at | {"type": f"{kind}.delta", "delta": piece, "logprobs": []}
        yield at | {"type": f"{kind}.done", "text": answer.text, "logprobs": []}
        yield at | {"type": "response.content_part.done", "part": whole["content"][0]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": whole}
    yield {"type": "response.completed", "response": body}
