"""A fake LLM endpoint with fixed answers: the wire formats of OpenAI, Anthropic and a reranker.

`python -m tests.corpus.endpoint [PORT]` runs it alone; without a port it takes a free one.
"""

from __future__ import annotations

import base64
import itertools
import json
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from . import anthropic_answers, responses_answers
from .answers import ANSWERED_MODELS, Answer, answer_to, pieces
from .server import Server

CREATED = 1_763_000_000
# Exact as 32-bit floats, so that base64 and JSON give the same numbers.
VECTOR = [0.5, -0.25, 0.125, 0.0625, 0.75, -0.5, 0.25, -0.125]
BROKEN_MODEL = "broken-model"


async def chat_completions(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == BROKEN_MODEL:
        return no_such_model(asked["model"])
    messages = asked.get("messages", [])
    wants_json = asked.get("response_format", {}).get("type", "text") != "text"
    tools = [tool["function"]["name"] for tool in asked.get("tools") or [] if "function" in tool]
    answer = answer_to(
        tools if asked.get("tool_choice") != "none" else [],
        has_tool_result=any(message["role"] == "tool" for message in messages),
        wants_json=wants_json,
    )
    if asked.get("stream"):
        usage = (asked.get("stream_options") or {}).get("include_usage", False)
        return events(chat_chunks(asked, answer, with_usage=usage))
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool:
        message["tool_calls"] = [chat_tool_call(answer)]
    choice = {"message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    choices = [{"index": index} | choice for index in range(asked.get("n") or 1)]
    return JSONResponse(
        chat_head(asked, "chat.completion") | {"choices": choices, "usage": chat_usage(answer)}
    )


def chat_head(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-corpus-1",
        "object": kind,
        "created": CREATED,
        "model": ANSWERED_MODELS.get(asked["model"], asked["model"]),
        "service_tier": "default",
        "system_fingerprint": "fp_corpus",
    }


def chat_tool_call(answer: Answer) -> dict[str, Any]:
    function = {"name": answer.tool, "arguments": answer.arguments}
    return {"id": "call_corpus_1", "type": "function", "function": function}


def chat_usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 3,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_chunks(asked: dict[str, Any], answer: Answer, *, with_usage: bool) -> Iterator[str]:
    head = chat_head(asked, "chat.completion.chunk")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if answer.text else None}]
    if answer.tool:
        call = chat_tool_call(answer)
        arguments = call["function"]["arguments"]
        deltas[0]["tool_calls"] = [
            {"index": 0} | call | {"function": {"name": answer.tool, "arguments": ""}}
        ]
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
            for piece in pieces(arguments)
        ]
    deltas += [{"content": piece} for piece in pieces(answer.text or "")]
    nothing = {"usage": None} if with_usage else {}
    for delta in [*deltas, {}]:
        reason = None if delta else answer.finish_reason
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        yield data(head | {"choices": [choice]} | nothing)
    if with_usage:
        yield data(head | {"choices": [], "usage": chat_usage(answer)})
    yield "data: [DONE]\n\n"


async def completions(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == BROKEN_MODEL:
        return no_such_model(asked["model"])
    answer = answer_to([], has_tool_result=False)
    head = chat_head(asked, "text_completion") | {"id": "cmpl-corpus-1"}
    choice = {"index": 0, "text": answer.text, "logprobs": None, "finish_reason": "stop"}
    return JSONResponse(head | {"choices": [choice], "usage": chat_usage(answer)})


async def responses(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == BROKEN_MODEL:
        return no_such_model(asked["model"])
    items = asked["input"] if isinstance(asked.get("input"), list) else []
    tools = [tool["name"] for tool in asked.get("tools") or [] if tool.get("type") == "function"]
    answer = answer_to(
        tools if asked.get("tool_choice") != "none" else [],
        has_tool_result=any(item.get("type") == "function_call_output" for item in items),
        wants_json=(asked.get("text") or {}).get("format", {}).get("type", "text") != "text",
    )
    body = responses_answers.response(asked, answer, CREATED)
    if not asked.get("stream"):
        return JSONResponse(body)
    return events(named(event) for event in responses_answers.stream(body, answer))


async def embeddings(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == BROKEN_MODEL:
        return no_such_model(asked["model"])
    asked_for = asked["input"]
    # One text, several texts, or (one or several lists of) token ids.
    many = isinstance(asked_for, list) and not isinstance(asked_for[0], int)
    vectors = [
        (VECTOR[index % 8 :] + VECTOR[: index % 8])[: asked.get("dimensions") or len(VECTOR)]
        for index in range(len(asked_for) if many else 1)
    ]
    encoded = asked.get("encoding_format") == "base64"
    items = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            if encoded
            else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 6, "total_tokens": 6}
    return JSONResponse({"object": "list", "data": items, "model": asked["model"], "usage": usage})


async def models(_: Request) -> Response:
    names = [*ANSWERED_MODELS, "text-embedding-3-small"]
    entries = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "corpus"} for name in names
    ]
    return JSONResponse({"object": "list", "data": entries})


async def messages(request: Request) -> Response:
    asked = await request.json()
    if asked["model"] == BROKEN_MODEL:
        error = {"type": "not_found_error", "message": f"model: {BROKEN_MODEL}"}
        return JSONResponse({"type": "error", "error": error}, status_code=404)
    body = anthropic_answers.message(asked)
    if not asked.get("stream"):
        return JSONResponse(body)
    return events(named(event) for event in anthropic_answers.stream(body))


async def count_tokens(_: Request) -> Response:
    return JSONResponse({"input_tokens": 17})


async def rerank(request: Request) -> Response:
    """Cohere's and Jina's form: the documents in reverse order, with falling scores."""
    asked = await request.json()
    if asked["model"] == BROKEN_MODEL:
        return no_such_model(asked["model"])
    count = len(asked["documents"])
    results = [
        {"index": index, "relevance_score": score}
        for index, score in zip(reversed(range(count)), itertools.count(0.875, -0.125))
    ][: asked.get("top_n") or count]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return JSONResponse(
        {"id": "rerank_corpus_1", "model": asked["model"], "results": results, "meta": meta}
    )


def no_such_model(name: str) -> Response:
    error = {
        "message": f"The model `{name}` does not exist",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }
    return JSONResponse({"error": error}, status_code=400)


def data(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"


def named(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\n{data(event)}"


def events(texts: Iterator[str]) -> Response:
    return StreamingResponse(texts, media_type="text/event-stream")


def app() -> Starlette:
    posts = {
        "/v1/chat/completions": chat_completions,
        "/v1/completions": completions,
        "/v1/responses": responses,
        "/v1/embeddings": embeddings,
        "/v1/messages": messages,
        "/v1/messages/count_tokens": count_tokens,
        "/v1/rerank": rerank,
        "/v2/rerank": rerank,
    }
    routes = [Route(path, handler, methods=["POST"]) for path, handler in posts.items()]
    return Starlette(routes=[*routes, Route("/v1/models", models)])


if __name__ == "__main__":
    with Server(app(), port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
        print(server.url, flush=True)
        threading.Event().wait()
