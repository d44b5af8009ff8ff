"""Finds what a source key names in a span, by the official messages and nothing of retraind.

The notation is that of retraind/normalise/conventions.toml and of README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MESSAGE_EVENTS = re.compile(
    r"gen_ai\.((system|user|assistant|tool)\.message|choice|content\.(prompt|completion))$"
)


@dataclass(frozen=True)
class Found:
    """One span of a request with what surrounds it; logs are the records that name the span."""

    span: Any
    resource: Any
    scope: Any
    logs: list[Any] = field(default_factory=list)

    @property
    def attributes(self) -> dict[str, Any]:
        return plain_attributes(self.span.attributes)


def plain(value: Any) -> Any:
    """An AnyValue as Python data."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return [plain(item) for item in content.values]
    return plain_attributes(content.values) if kind == "kvlist_value" else content


def plain_attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in pairs}


def values_at(key: str, found: Found) -> list[Any]:
    """Every value that a source key names; none when it is not there."""
    holder, sharp, pointer = key.partition("#")
    held = _held(holder, found)
    if not sharp:
        return held
    return [item for value in held for item in _pointed(value, pointer.split("/")[1:])]


def _held(holder: str, found: Found) -> list[Any]:
    prefix, colon, rest = holder.partition(":")
    if not colon or prefix not in _PLACES:
        return _attributes(holder, found.attributes)
    return _PLACES[prefix](rest, found)


def _attributes(key: str, attributes: dict[str, Any]) -> list[Any]:
    if "{" not in key:
        return [attributes[key]] if key in attributes else []
    if key.endswith(".{i}"):
        gathered = _gathered(key.removesuffix("{i}"), attributes)
        return [gathered] if gathered else []
    pattern = re.escape(key).replace(r"\{i\}", r"\d+").replace(r"\{j\}", r"\d+")
    wanted = re.compile(pattern.replace(r"\{key\}", ".+"))
    named = {name: value for name, value in attributes.items() if wanted.fullmatch(name)}
    if key.endswith("{key}"):
        start = key.removesuffix("{key}")
        return [{name.removeprefix(start): value for name, value in named.items()}] if named else []
    return list(named.values())


def _gathered(prefix: str, attributes: dict[str, Any]) -> list[Any]:
    """`prefix0.a.b` as the item {"a": {"b": ...}} of a list in the order of the numbers."""
    items: dict[int, Any] = {}
    for name, value in attributes.items():
        match = re.fullmatch(re.escape(prefix) + r"(\d+)(?:\.(.+))?", name)
        if match is None:
            continue
        number, rest = int(match[1]), match[2]
        if rest is None:
            items[number] = value
            continue
        place = items.setdefault(number, {})
        *inner, last = rest.split(".")
        for step in inner:
            place = place.setdefault(step, {})
        place[last] = value
    return [items[number] for number in sorted(items)]


def _pointed(value: Any, steps: list[str]) -> list[Any]:
    """Values at a JSON pointer; JSON inside a text is read on the way."""
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return [] if steps else [value]
    if not steps:
        return [value]
    step, rest = steps[0].replace("~1", "/").replace("~0", "~"), steps[1:]
    return [one for item in _children(value, step) for one in _pointed(item, rest)]


def _children(value: Any, step: str) -> list[Any]:
    if isinstance(value, dict):
        return [value[step]] if step in value else []
    if not isinstance(value, list):
        return []
    if step == "*":
        return value
    return [value[int(step)]] if step.isdigit() and int(step) < len(value) else []


def _resource(key: str, found: Found) -> list[Any]:
    return _attributes(key, plain_attributes(found.resource.attributes))


def _scope(field_name: str, found: Found) -> list[Any]:
    return [value for value in [getattr(found.scope, field_name)] if value]


def _span(field_name: str, found: Found) -> list[Any]:
    value = found.span
    for step in field_name.split("."):
        value = getattr(value, step)
    return [value] if value else []


def _event(where: str, found: Found) -> list[Any]:
    name, _, attribute = where.partition("/")
    events = [plain_attributes(one.attributes) for one in found.span.events if one.name == name]
    if not attribute:
        return events
    return [value for attributes in events for value in _attributes(attribute, attributes)]


def _events(name: str, found: Found) -> list[Any]:
    """The events of that name as one list; without a name the message events of the span."""
    events = [
        {"name": one.name, "attributes": plain_attributes(one.attributes)}
        for one in found.span.events
        if (one.name == name if name else MESSAGE_EVENTS.match(one.name))
    ]
    return [events] if events else []


def _log(where: str, found: Found) -> list[Any]:
    name, _, rest = where.partition("/")
    logs = [log for log in found.logs if event_name(log) == name]
    if rest == "body":
        return [plain(log.body) for log in logs if log.HasField("body")]
    return [value for log in logs for value in _attributes(rest, plain_attributes(log.attributes))]


def event_name(log: Any) -> str | None:
    attributes = plain_attributes(log.attributes)
    return log.event_name or attributes.get("event.name") or attributes.get("event_name")


_PLACES = {
    "resource": _resource,
    "scope": _scope,
    "span": _span,
    "event": _event,
    "events": _events,
    "log": _log,
}
