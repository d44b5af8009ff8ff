"""Messages of every convention in the form of the OTel GenAI conventions.

The form is a list of `{"role", "parts": [{"type": …}]}`; roles are system, user, assistant and
tool. What is not recognised inside a message is kept as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from retraind.normalise.parts import SPEAKERS, loaded, parts_of, tool_call

Direction = Literal["input", "output"]
Message = dict[str, Any]

# Events of the older OTel generations that carry messages, on spans and as log records.
INPUT_EVENTS = frozenset((
    "gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message",
    "gen_ai.tool.message", "gen_ai.content.prompt",
))  # fmt: skip
OUTPUT_EVENTS = frozenset(("gen_ai.choice", "gen_ai.content.completion"))

_ROLES = {
    "human": "user", "ai": "assistant", "model": "assistant", "developer": "system",
    "function": "tool", "humanmessage": "user", "aimessage": "assistant",
    "aimessagechunk": "assistant", "systemmessage": "system", "toolmessage": "tool",
    "functionmessage": "tool", "chatbot": "assistant", "bot": "assistant",
    "model_output": "assistant", "gen_ai.user.message": "user", "gen_ai.system.message": "system",
    "gen_ai.assistant.message": "assistant", "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}  # fmt: skip
# Tuples: what a sender calls a role or a type may not be hashable.
_OTHER_PARTS = ("reasoning", "blob", "uri", "file")
_FINISH = ("finish_reason", "stop_reason", "finishReason")
_FINISHING = frozenset(_FINISH)
_ROLES_IN_ORDER = (*SPEAKERS, "tool")
# Objects that hold the messages rather than being one.
_LISTS = ("messages", "contents", "choices", "replies", "generations", "output", "input", "prompt")
_INSIDE = ("message", "kwargs", "data")


def messages_of(value: object, direction: Direction) -> list[Message]:
    """The messages in a decoded value; none when it holds nothing."""
    default = "user" if direction == "input" else "assistant"
    if isinstance(value, list):
        while len(value) == 1 and isinstance(value[0], list):  # LangChain's batch of one
            value = value[0]
        if value and type(value[0]) is not dict and not any(isinstance(v, dict) for v in value):
            value = [item for item in value if isinstance(item, str)]
        found: list[Message] = []
        for item in value:
            usual = _usual(item)
            found.extend(_one(item, default) if usual is None else (usual,))
        return _joined(found)
    return _one(value, default)


def _usual(item: object) -> Message | None:
    """A message of nothing but a role and a text, which most are. Runs for most messages."""
    if type(item) is dict and len(item) == 1:  # OpenInference
        item = item.get("message")
    if type(item) is not dict or len(item) != 2:
        return None
    role, content = item.get("role"), item.get("content")
    if type(content) is not str or role not in SPEAKERS or not content or content[:2] == "[{":
        return None
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def exchange(items: list[Any], direction: Direction) -> list[Any]:
    """Of what was said in one call, in order, the part asked for: the answer is at the end."""
    answer = len(items)
    while answer and isinstance(item := items[answer - 1], dict):
        if item.get("event.name") != "gen_ai.choice" and item.get("role") != "assistant":
            break
        answer -= 1
    return items[answer:] if direction == "output" else items[:answer]


def _one(value: object, default: str) -> list[Message]:
    if isinstance(value, str):
        return [{"role": default, "parts": [{"type": "text", "content": value}]}] if value else []
    if isinstance(value, list):
        return [message for item in value for message in _one(item, default)]
    if not isinstance(value, dict):
        return []
    inner = value
    if "role" not in value:
        for name in _LISTS:
            if isinstance(value.get(name), list):
                return messages_of(value[name], "output" if default == "assistant" else "input")
        inner = _unwrapped(value)
    parts = parts_of(inner)
    if not parts and inner is value and not value.get("role"):
        return []
    message: Message = {"role": role_of(inner, value, default, parts), "parts": parts}
    speaker = inner.get("name")
    if isinstance(speaker, str) and speaker and "event.name" not in inner:
        message["name"] = speaker
    reason = _finish(inner) if inner is value else _finish(value) or _finish(inner)
    if reason:
        message["finish_reason"] = reason
    return [message]


def _unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """The message in an envelope: a choice, an event, a serialised object."""
    for name in _INSIDE:
        inner = value.get(name)
        if isinstance(inner, dict) and "role" not in value:
            value = {**inner, "type": inner.get("type") or _class_of(value)}
        elif isinstance(inner, str) and name == "message":
            value = {"content": inner}
    return value


def _finish(value: dict[str, Any]) -> str | None:
    if _FINISHING.isdisjoint(value):
        return None
    for name in _FINISH:
        reason = value.get(name)
        if reason and isinstance(reason, str):
            return reason
    return None


def _class_of(value: dict[str, Any]) -> object:
    """The class of a serialised LangChain message."""
    path = value.get("id")
    return path[-1] if isinstance(path, list) and path else value.get("type")


def role_of(
    value: dict[str, Any], outer: dict[str, Any], default: str, parts: list[dict[str, Any]]
) -> str:
    """The role a message says, else what its parts tell, else the default."""
    said = value.get("role") or value.get("_role") or outer.get("role") or value.get("event.name")
    if said in _ROLES_IN_ORDER:
        return said  # type: ignore[no-any-return]
    for name in (said, value.get("type")):
        if isinstance(name, str):
            lower = name.lower()
            if lower in _ROLES_IN_ORDER:
                return lower
            if lower in _ROLES:
                return _ROLES[lower]
    if isinstance(said, str) and said:
        return said.lower()
    if parts and all(part["type"] == "tool_call_response" for part in parts):
        return "tool"
    return "assistant" if parts and parts[0]["type"] in ("tool_call", "reasoning") else default


def _joined(messages: list[Message]) -> list[Message]:
    """Items that one answer was split into (text, reasoning, calls) as one assistant message."""
    joined: list[Message] = []
    for message in messages:
        split = message["role"] == "assistant" and joined and joined[-1]["role"] == "assistant"
        if split and any(part["type"] != "text" for part in message["parts"] + joined[-1]["parts"]):
            joined[-1] = {**joined[-1], **message, "parts": joined[-1]["parts"] + message["parts"]}
        else:
            joined.append(message)
    return joined


def of_events(items: list[dict[str, Any]], direction: Direction) -> list[Message]:
    """Messages from span events ({name, attributes}) of the older OTel generations."""
    found: list[Message] = []
    for item in items:
        name, fields = item["name"], item["attributes"]
        output = name in OUTPUT_EVENTS
        if output != (direction == "output"):
            continue
        body = fields.get("gen_ai.event.content")
        if body is None:
            body = fields.get("gen_ai.completion" if output else "gen_ai.prompt")
        if body is None:
            body = {**fields, "event.name": name}
        if isinstance(body, str):
            body = loaded(body)
        if isinstance(body.get("message") if isinstance(body, dict) else None, str):
            body = {**body, "message": loaded(body["message"])}
            if isinstance(body["message"], list):
                body = {**body, "content": body.pop("message")}
        if isinstance(body, dict):
            body.setdefault("event.name", name)
        found += messages_of(body, direction)
    return found


def answer_of(fields: dict[str, Any]) -> list[Message]:
    """One assistant message from the parts of an answer under keys of their own (AI SDK)."""
    parts: list[dict[str, Any]] = []
    if isinstance(fields.get("reasoning"), str):
        parts.append({"type": "reasoning", "content": fields["reasoning"]})
    for name in ("text", "object"):
        if isinstance(fields.get(name), str) and fields[name]:
            parts.append({"type": "text", "content": fields[name]})
            break
    calls = fields.get("toolCalls")
    if isinstance(calls, list):
        parts += [tool_call(call) for call in calls if isinstance(call, dict)]
    if not parts:
        return []
    return [{"role": "assistant", "parts": parts}]


def is_canonical(value: object) -> bool:
    """Whether a decoded value has the canonical form already. Runs for most messages stored."""
    if not isinstance(value, list) or not value:
        return False
    for message in value:
        if type(message) is not dict or message.get("role") not in _ROLES_IN_ORDER:
            return False
        parts = message.get("parts")
        if type(parts) is not list or "tool_calls" in message:
            return False
        for part in parts:
            if type(part) is not dict or not _is_canonical_part(part):
                return False
    return any(message["parts"] for message in value)


def _is_canonical_part(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    if kind == "text":
        return isinstance(part.get("content"), str)
    if kind == "tool_call":
        return not isinstance(part.get("arguments"), str)
    return kind in _OTHER_PARTS or (kind == "tool_call_response" and "response" in part)


class Said(NamedTuple):
    """What a list of messages says: the text of one role, the system's, and tools called."""

    text: str | None
    system: str | None
    tools: list[str] | None


def said(messages: list[Message], direction: Direction) -> Said:
    """Text of the last user message (else of the last message), or of the first answer.

    Runs for most messages stored: one pass over the parts.
    """
    wanted = "user" if direction == "input" else "assistant"
    chosen: list[str] = []
    system: list[str] = []
    tools: list[str] = []
    texts: list[str] = []
    for message in messages:
        texts = []
        for part in message["parts"]:
            kind = part.get("type")
            if kind == "text":
                content = part.get("content")
                if content and isinstance(content, str):
                    texts.append(content)
            elif kind == "tool_call" and isinstance(part.get("name"), str):
                tools.append(part["name"])
        role = message["role"]
        if role == "system":
            system += texts
        if role == wanted and texts and (direction == "input" or not chosen):
            chosen = texts
    if direction == "input":
        chosen = chosen or texts
    return Said("\n".join(chosen) or None, "\n\n".join(system) or None, tools or None)


def all_text(messages: Iterable[Message]) -> str | None:
    """The text of all messages."""
    return "\n\n".join(text for m in messages for text in _texts(m["parts"])) or None


def _texts(parts: list[dict[str, Any]]) -> list[str]:
    return [
        part["content"]
        for part in parts
        if part.get("type") == "text" and isinstance(part.get("content"), str) and part["content"]
    ]
