"""The notation of source keys in conventions.toml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import orjson

Form = Literal["attribute", "list", "map", "event", "moment", "events", "scope", "span", "resource"]
_STRUCTURE: tuple[tuple[str, Form], ...] = (
    ("resource:", "resource"),
    ("scope:", "scope"),
    ("span:", "span"),
    ("events:", "events"),
)
_GATHERED: tuple[tuple[str, Form], ...] = ((".{i}", "list"), (".{key}", "map"))


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value lies: a holder, and a JSON pointer into it (None: the holder as it is).

    `holder` is an attribute key, the prefix of gathered keys, or the name of a field; `event` is
    the span event that carries the attribute.
    """

    form: Form
    holder: str
    event: str = ""
    pointer: tuple[str, ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether it is a span attribute taken as it is."""
        return self.form == "attribute" and self.pointer is None


def parse(key: str) -> Path:
    """Read one source key. Raises ValueError."""
    holder, mark, tail = key.partition("#")
    if tail and not tail.startswith("/"):
        raise ValueError(f"{key}: a JSON pointer starts with /")
    pointer = tuple(tail.split("/")[1:]) if mark else None
    if holder.startswith("event:"):
        event, slash, attribute = holder.removeprefix("event:").partition("/")
        return Path("event" if slash else "moment", attribute, event, pointer)
    for start, form in _STRUCTURE:
        if holder.startswith(start):
            return Path(form, holder.removeprefix(start), "", pointer)
    for end, form in _GATHERED:
        if holder.endswith(end):
            return Path(form, holder.removesuffix(end), "", pointer)
    if re.search(r"[{}]", holder):
        raise ValueError(f"{key}: {{i}} and {{key}} stand at the end of the attribute")
    return Path("attribute", holder, "", pointer)


def _loaded(text: str) -> object:
    if text[:1] not in ("{", "["):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def follow(value: object, pointer: tuple[str, ...]) -> object:
    """What a JSON pointer leads to, None when there is nothing.

    `*` gives a list of every item's; JSON inside a text is read on the way.
    """
    for place, step in enumerate(pointer):
        if type(value) is dict:
            value = value.get(step)
            continue
        if isinstance(value, str):
            inner = _loaded(value)
            return None if isinstance(inner, str) else follow(inner, pointer[place:])
        if not isinstance(value, list):
            return None
        if step == "*":
            found = (follow(item, pointer[place + 1 :]) for item in value)
            return [item for item in found if item is not None] or None
        if not step.isdigit() or int(step) >= len(value):
            return None
        value = value[int(step)]
    return value
