"""What an action does to one value: a text, a number, or something nested (parsed JSON)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import orjson

from retraind.redact.find import Finder

Action = Literal["keep", "truncate", "redact", "hash", "drop"]
DROPPED = object()
"""Returned for a value that is to be taken out."""
HASH_DIGITS = 16
TOKENS = 4096
_WORD = re.compile(r"\w+")
_STRUCTURE = frozenset(("role", "type"))  # of messages: cut or changed they would be none


@dataclass(frozen=True, slots=True)
class Edit:
    """One action with what it needs."""

    action: Action
    finder: Finder
    key: bytes
    truncate_bytes: int

    def text(self, text: str) -> str:
        """The text after the action; empty for one that is dropped."""
        if self.action == "hash":
            return keyed_hash(self.key, text)
        if self.action == "redact":
            return self.finder.replace(text)
        if self.action == "truncate":
            return truncated(text, self.truncate_bytes)
        return "" if self.action == "drop" else text

    def raw(self, raw: bytes) -> bytes:
        """The same on bytes, UTF-8 or not."""
        if self.action == "redact":
            return self.finder.replace_bytes(raw)
        if self.action == "truncate" and len(raw) <= self.truncate_bytes:
            return raw
        return self.text(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def value(self, value: Any) -> Any:
        """A JSON value after the action, or DROPPED."""
        if self.action == "drop":
            return DROPPED
        if self.action == "hash" and value is not None and not isinstance(value, bool):
            return self.text(value if isinstance(value, str) else orjson.dumps(value).decode())
        return self._inside(value)

    def _inside(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                key: item if key in _STRUCTURE else self._inside(item)
                for key, item in value.items()
            }
        return [self._inside(item) for item in value] if isinstance(value, list) else value


def keyed_hash(key: bytes, text: str) -> str:
    """16 hex digits of HMAC-SHA256: equal texts stay equal, and only the key's owner can guess."""
    content = text.encode("utf-8", "surrogateescape")
    return hmac.new(key, content, hashlib.sha256).hexdigest()[:HASH_DIGITS]


class TokenHashes:
    """Hashes of the words of texts: what drift of a vocabulary needs when the text is dropped.

    64 bits of HMAC-SHA256 of each word, case folded, at most 4096 a text. Sorted, so that the
    order of the words is not stored; a word that comes twice is there twice.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, int] = {}

    def of(self, text: str | None) -> list[int] | None:
        if text is None:
            return None
        words = islice(_WORD.finditer(text.casefold()), TOKENS)
        return sorted(self._hash(word[0]) for word in words)

    def _hash(self, word: str) -> int:
        if word not in self._known:
            digest = hmac.new(self._key, word.encode("utf-8", "replace"), hashlib.sha256).digest()
            self._known[word] = int.from_bytes(digest[:8], "big")
        return self._known[word]


def truncated(text: str, size: int) -> str:
    """The text cut to at most `size` bytes of UTF-8, never within a character."""
    if len(text) * 4 <= size:
        return text
    encoded = text.encode("utf-8", "surrogateescape")
    return text if len(encoded) <= size else encoded[:size].decode("utf-8", "ignore")


def at_pointer(value: Any, pointer: Sequence[str], edit: Edit) -> Any:
    """The value with the edit at a JSON pointer (`*`: every item); JSON in texts is opened.

    JSON that was cut is edited whole, since nobody knows what it holds.
    """
    if not pointer:
        return edit.value(value)
    step, rest = pointer[0], pointer[1:]
    if isinstance(value, str):
        return _in_text(value, pointer, edit)
    if isinstance(value, dict) and step in value:
        return _with(value, step, at_pointer(value[step], rest, edit))
    if isinstance(value, list):
        items = [
            at_pointer(item, rest, edit) if step in ("*", str(place)) else item
            for place, item in enumerate(value)
        ]
        return [None if item is DROPPED else item for item in items]
    return value


def _in_text(text: str, pointer: Sequence[str], edit: Edit) -> Any:
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return edit.value(text) if text[:1] in ("{", "[") else text
    new = at_pointer(parsed, pointer, edit) if isinstance(parsed, dict | list) else parsed
    return text if new == parsed else orjson.dumps(new).decode()


def _with(members: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    if value is DROPPED:
        return {name: item for name, item in members.items() if name != key}
    return {**members, key: value}
