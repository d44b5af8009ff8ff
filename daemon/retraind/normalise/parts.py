"""The parts of one message: text, tool calls and their responses, reasoning, media."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Part = dict[str, Any]

_TOOL_ROLES = frozenset(("tool", "function", "toolmessage", "gen_ai.tool.message"))
SPEAKERS = ("user", "assistant", "system")
_CALLING = frozenset((
    "tool_calls", "additional_kwargs", "function_call", "function_call_name",
))  # fmt: skip
_CONTENT = (
    "content", "_content", "contents", "text", "prompt", "completion", "combined_chunk_content",
)  # fmt: skip


def parts_of(message: dict[str, Any]) -> list[Part]:
    """The parts of a message in any known spelling."""
    if "type" in message and "role" not in message:
        kind = _kind(message)
        bare = kind in _ANSWERING or ("content" not in message and "parts" not in message)
        if kind in _BARE and bare:
            return _READERS[kind](message)
    content = message["parts"] if isinstance(message.get("parts"), list) else _content(message)
    parts: list[Part] = []
    for block in content:
        parts += _block(block)
    response = _tool_response(message, parts)
    if response is not None:
        return [response]
    for name in ("reasoning_content", "thinking"):
        if isinstance(message.get(name), str) and message[name]:
            parts.insert(0, {"type": "reasoning", "content": message[name]})
    calls = _calls(message)
    if calls:
        known = [part.get("id") for part in parts if part["type"] == "tool_call"]
        parts += [call for call in calls if not known or call.get("id") not in known]
    return parts


def _tool_response(message: dict[str, Any], parts: list[Part]) -> Part | None:
    """A tool's answer, when the message is one and holds nothing but texts."""
    identity = message.get("tool_call_id")
    sent = message.get("role") or message.get("event.name", "")
    if identity is None and sent in SPEAKERS:
        return None
    role = str(sent).lower()
    if role in _TOOL_ROLES and identity is None:
        identity = message.get("id")
    answers = role in _TOOL_ROLES or isinstance(identity, str)
    if not parts or not answers or any(part["type"] != "text" for part in parts):
        return None
    named = {"id": identity} if isinstance(identity, str) else {}
    text = "\n".join(part["content"] for part in parts)
    return {"type": "tool_call_response", **named, "response": text}


def _content(message: dict[str, Any]) -> list[Any]:
    for name in _CONTENT:
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
    """The tool calls that stand beside the content, in the newer or the older spelling."""
    if _CALLING.isdisjoint(message):
        return []
    calls = message.get("tool_calls")
    if calls is None and isinstance(message.get("additional_kwargs"), dict):
        calls = message["additional_kwargs"].get("tool_calls")
    calls = loaded(calls)
    if isinstance(calls, list) and any(isinstance(call, dict) for call in calls):
        return [tool_call(call) for call in calls if isinstance(call, dict)]
    legacy = message.get("function_call")
    if not isinstance(legacy, dict):
        arguments = message.get("function_call_arguments_json")
        legacy = {"name": message.get("function_call_name"), "arguments": arguments}
    return [tool_call(legacy)] if legacy.get("name") else []


def _block(item: object) -> list[Part]:
    """The parts of one item of a content list."""
    if isinstance(item, str):
        return [{"type": "text", "content": item}] if item else []
    if not isinstance(item, dict):
        return []
    wrapped = item.get("message_content")
    block: dict[str, Any] = wrapped if isinstance(wrapped, dict) else item
    reader = _READERS.get(_kind(block))
    if reader is not None:
        return reader(block)
    for name, read in _NAMED.items():
        if isinstance(block.get(name), dict):
            return read(block[name])
    return _unknown(block)


def _unknown(block: dict[str, Any]) -> list[Part]:
    """A block that does not say what it is, or that nothing is known about: kept as it is."""
    kind = _kind(block)
    if not kind and "text" in block:
        return _text(block)
    if block.keys() & {"inline_data", "inlineData", "image"}:
        return _media(block)
    return [block if kind else {**block, "type": "unknown"}]


def _kind(block: dict[str, Any]) -> str:
    kind = block.get("type")
    return kind.lower() if isinstance(kind, str) else ""


def _text(block: dict[str, Any]) -> list[Part]:
    text = block.get("content")
    if text is None:
        text = _first(block, "text", "refusal")
    return [{"type": "text", "content": text}] if isinstance(text, str) and text else []


def _call(block: dict[str, Any]) -> list[Part]:
    """A call among the content. OpenInference says it again, without its name."""
    call = tool_call(block)
    return [call] if call["name"] else []


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


def _response(block: dict[str, Any]) -> list[Part]:
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
    return [part]


def _reasoning(block: dict[str, Any]) -> list[Part]:
    inner = block.get("reasoningText")  # Bedrock
    block = inner if isinstance(inner, dict) else block
    text = _first(block, "content", "text", "thinking", "reasoning", "summary")
    if isinstance(text, list):
        text = "\n".join(str(item.get("text", "")) for item in text if isinstance(item, dict))
    return [{"type": "reasoning", "content": text}] if text else []


def _media(block: dict[str, Any]) -> list[Part]:
    """An image, sound or file: by address where there is one, else the block as it is."""
    for name in ("image_url", "image", "file", "source"):
        value = block.get(name)
        while isinstance(value, dict) and not isinstance(value.get("url"), str):
            value = next((v for v in value.values() if isinstance(v, dict)), None)
        url = value.get("url") if isinstance(value, dict) else value
        if isinstance(url, str):
            modality = "image" if "image" in name + _kind(block) else "file"
            return [{"type": "uri", "modality": modality, "uri": url}]
    return [{**block, "type": _kind(block) or "blob"}]


def _first(block: dict[str, Any], *names: str) -> Any:
    for name in names:
        value = block.get(name)
        if value is not None:
            return value
    return None


def loaded(text: Any) -> Any:
    """A text as JSON when it is an object or a list, else what was given."""
    if isinstance(text, str) and text[:1] in ("{", "["):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return text


_READERS: dict[str, Callable[[dict[str, Any]], list[Part]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal"), _text),
    **dict.fromkeys(("tool_call", "tool-call", "tool_use", "function_call", "function"), _call),
    **dict.fromkeys(
        ("tool_call_response", "tool-result", "tool_result", "function_call_output",
         "function_response"), _response,
    ),
    **dict.fromkeys(("reasoning", "thinking", "redacted_thinking"), _reasoning),
    **dict.fromkeys(
        ("image_url", "input_image", "image", "input_audio", "file", "input_file", "media"), _media
    ),
}  # fmt: skip
# Items of a list of messages that are a part by themselves, as the Responses API has them.
_ANSWERING = frozenset(k for k, read in _READERS.items() if read in (_response, _reasoning))
_BARE = _ANSWERING | {k for k, read in _READERS.items() if read is _call}
# Blocks that are named by their only key: Bedrock, Gemini, Haystack.
_NAMED: dict[str, Callable[[dict[str, Any]], list[Part]]] = {
    **dict.fromkeys(("toolUse", "function_call", "functionCall", "tool_call"), _call),
    **dict.fromkeys(
        ("toolResult", "function_response", "functionResponse", "tool_call_result"), _response
    ),
    "reasoningContent": _reasoning,
}
