"""The parts of one message: text, tool calls and their responses, reasoning, media."""

from __future__ import annotations

from typing import Any

import orjson

Part = dict[str, Any]

_TEXT = frozenset(("text", "input_text", "output_text", "refusal"))
_CALLS = frozenset(("tool_call", "tool-call", "tool_use", "function_call", "function", "tooluse"))
_RESULTS = frozenset(
    ("tool_call_response", "tool-result", "tool_result", "function_call_output", "function_response", "toolresult")
)  # fmt: skip
_REASONING = frozenset(("reasoning", "thinking", "redacted_thinking"))
_TOOL_ROLES = frozenset(("tool", "function", "toolmessage", "gen_ai.tool.message"))
_MEDIA = frozenset(
    ("image_url", "input_image", "image", "input_audio", "file", "input_file", "media")
)
# Blocks that are named by their only key: Bedrock, Gemini, Haystack.
_NAMED = {
    "toolUse": "tool_call", "function_call": "tool_call", "functionCall": "tool_call",
    "tool_call": "tool_call", "toolResult": "tool_call_response",
    "function_response": "tool_call_response", "functionResponse": "tool_call_response",
    "tool_call_result": "tool_call_response", "reasoningContent": "reasoning",
}  # fmt: skip


def parts_of(message: dict[str, Any]) -> list[Part]:
    """The parts of a message in any known spelling."""
    kind = str(message.get("type", "")).lower()
    if kind in _CALLS and "content" not in message and "parts" not in message:
        return [tool_call(message)]
    if kind in _RESULTS and "role" not in message:
        return [_response(message)]
    if kind in _REASONING and "role" not in message:
        return _reasoning(message)
    content = message["parts"] if isinstance(message.get("parts"), list) else _content(message)
    parts = [part for block in content for part in _block(block)]
    identity = message.get("tool_call_id")
    role = str(message.get("role") or message.get("event.name", "")).lower()
    if role in _TOOL_ROLES and identity is None:
        identity = message.get("id")
    answers = role in _TOOL_ROLES or isinstance(identity, str)
    if parts and answers and all(part["type"] == "text" for part in parts):
        response: Part = {"type": "tool_call_response"}
        if isinstance(identity, str):
            response["id"] = identity
        return [response | {"response": "\n".join(part["content"] for part in parts)}]
    for name in ("reasoning_content", "thinking"):
        if isinstance(message.get(name), str) and message[name]:
            parts.insert(0, {"type": "reasoning", "content": message[name]})
    known = {part.get("id") for part in parts if part["type"] == "tool_call"}
    return parts + [call for call in _calls(message) if call.get("id") not in known or not known]


def _content(message: dict[str, Any]) -> list[Any]:
    for name in (
        "content",
        "_content",
        "contents",
        "text",
        "prompt",
        "completion",
        "combined_chunk_content",
    ):
        value = message.get(name)
        if isinstance(value, str):
            decoded = loaded(value) if value.startswith("[{") else value
            return decoded if isinstance(decoded, list) else [value] if value else []
        if isinstance(value, list):
            return value
        if isinstance(value, dict):
            return [value]
    return []


def _calls(message: dict[str, Any]) -> list[Part]:
    calls = message.get("tool_calls")
    if calls is None and isinstance(message.get("additional_kwargs"), dict):
        calls = message["additional_kwargs"].get("tool_calls")
    if isinstance(calls, str):
        calls = loaded(calls)
    found = (
        [tool_call(call) for call in calls if isinstance(call, dict)]
        if isinstance(calls, list)
        else []
    )
    legacy = message.get("function_call")
    if not found and isinstance(legacy, dict) and legacy.get("name"):
        found = [tool_call(legacy)]
    if not found and message.get("function_call_name"):
        found = [
            tool_call(
                {
                    "name": message["function_call_name"],
                    "arguments": message.get("function_call_arguments_json"),
                }
            )
        ]
    return found


def _block(item: object) -> list[Part]:
    """The parts of one item of a content list."""
    if isinstance(item, str):
        return [{"type": "text", "content": item}] if item else []
    if not isinstance(item, dict):
        return []
    block: dict[str, Any] = item
    if isinstance(block.get("message_content"), dict):
        block = block["message_content"]
    kind = str(block.get("type", "")).lower()
    if kind in _TEXT or (not kind and "text" in block):
        text = block.get("content", block.get("text", block.get("refusal")))
        return [{"type": "text", "content": text}] if isinstance(text, str) and text else []
    if kind in _CALLS:
        call = tool_call(block)
        return [call] if call["name"] else []  # OpenInference says it again among the calls
    if kind in _RESULTS:
        return [_response(block)]
    if kind in _REASONING:
        return _reasoning(block)
    for name, meaning in _NAMED.items():
        inner = block.get(name)
        if isinstance(inner, dict):
            if meaning == "reasoning":
                return _reasoning(inner.get("reasoningText", inner))
            return [tool_call(inner) if meaning == "tool_call" else _response(inner)]
    if kind in _MEDIA or "inline_data" in block or "inlineData" in block or "image" in block:
        return [_media(block)]
    return [block if kind else {"type": "unknown", **block}]


def tool_call(call: dict[str, Any]) -> Part:
    """A tool call in any spelling."""
    if isinstance(call.get("tool_call"), dict):
        call = call["tool_call"]
    function = call.get("function")
    inner: dict[str, Any] = function if isinstance(function, dict) else call
    part: Part = {"type": "tool_call"}
    identity = _first(call, "id", "call_id", "toolCallId", "toolUseId", "tool_call_id")
    if identity is not None:
        part["id"] = identity
    part["name"] = _first(inner, "name", "toolName", "tool_name")
    arguments = _first(inner, "arguments", "args", "input", "parameters")
    part["arguments"] = loaded(arguments) if isinstance(arguments, str) else arguments
    return part


def _response(block: dict[str, Any]) -> Part:
    part: Part = {"type": "tool_call_response"}
    origin = block.get("origin")
    identity = _first(
        block, "id", "tool_call_id", "tool_use_id", "toolCallId", "toolUseId", "call_id"
    )
    if identity is None and isinstance(origin, dict):
        identity = origin.get("id")
    if identity is not None:
        part["id"] = identity
    response = _first(block, "response", "result", "output", "content")
    part["response"] = response
    return part


def _reasoning(block: dict[str, Any]) -> list[Part]:
    text = _first(block, "content", "text", "thinking", "reasoning", "summary")
    if isinstance(text, list):
        text = "\n".join(str(item.get("text", "")) for item in text if isinstance(item, dict))
    return [{"type": "reasoning", "content": text}] if text else []


def _media(block: dict[str, Any]) -> Part:
    """An image, sound or file: by address where there is one, else the block as it is."""
    for name in ("image_url", "image", "file", "source"):
        value = block.get(name)
        while isinstance(value, dict) and not isinstance(value.get("url"), str):
            value = next((v for v in value.values() if isinstance(v, dict)), None)
        url = value.get("url") if isinstance(value, dict) else value
        if isinstance(url, str):
            modality = "image" if "image" in name or "image" in block.get("type", "") else "file"
            return {"type": "uri", "modality": modality, "uri": url}
    return {**block, "type": block.get("type") or "blob"}


def _first(block: dict[str, Any], *names: str) -> Any:
    return next((block[name] for name in names if block.get(name) is not None), None)


def loaded(text: Any) -> Any:
    """A text as JSON when it is an object or a list, else what was given."""
    if isinstance(text, str) and text[:1] in ("{", "["):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return text
