"""Finds and replaces secrets in one text, also where they are escaped or base64.

Texts of traces are JSON in JSON in base64. Instead of parsing each form (which fails on text that
was cut), escapes are resolved into a *view* that remembers where each of its characters came from,
and what is found in the view is replaced in the text itself. So everything else stays as it was.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from retraind.redact.patterns import Detector, Found

DEPTH = 8  # forms within forms, e.g. JSON in base64 in JSON

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"\\/bfnrt]))|%([2-7][0-9a-fA-F])")
_CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# Base64 of ASCII text: every byte's highest bit is 0, which three of four letters show.
_ASCII_QUAD = "".join(
    f"[{''.join(c for v, c in enumerate(_ALPHABET) if not v & bit)}]" for bit in (32, 8, 2)
)
_ASCII_QUAD += "[A-Za-z0-9+/_-]"
_LOOKS_LIKE_TEXT = re.compile(f"(?:{_ASCII_QUAD}){{2}}")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}(?:\r?\n[A-Za-z0-9+/_-]+)*={0,2}")
_HEAD = re.compile(r"(?<![A-Za-z0-9+/_-])([A-Za-z0-9+/_-]{1,7})\r?\n\Z")  # the line before a run

HIDDEN = rf"\\u00[2-7]|\\u005[cC]|\\/|%[2-7][0-9A-Fa-f]|(?:{_ASCII_QUAD}){{2}}"
"""RE2: texts that may hold something which their characters do not show."""

Change = tuple[int, int, str]
"""Start, end and the text that takes its place."""


class Finder:
    """Replaces what the detectors find by `[REDACTED:name]`."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = tuple(detectors)
        hints = [detector.hint for detector in self._detectors]
        self.hint = (
            None if None in hints else "|".join(f"(?:{hint})" for hint in [*hints, HIDDEN] if hint)
        )

    def replace(self, text: str) -> str:
        """The text without what was found; the same object when nothing was."""
        changes = self._changes(text, 0)
        return applied(text, changes) if changes else text

    def replace_bytes(self, raw: bytes) -> bytes:
        """The same for bytes of any kind; UTF-8 or not."""
        text = raw.decode("utf-8", "surrogateescape")
        replaced = self.replace(text)
        return raw if replaced is text else replaced.encode("utf-8", "surrogateescape")

    def _changes(self, text: str, depth: int) -> list[Change]:
        if depth < DEPTH and _ESCAPE.search(text):
            view = _View(text)
            return [view.original(change) for change in self._changes(view.text, depth + 1)]
        found = [
            (start, end, marker(name)) for start, end, name in _without_overlap(self._find(text))
        ]
        changes = _as_json_values(text, found, escaped=depth > 0)
        if depth < DEPTH:
            changes = _merged(changes, list(self._encoded(text, depth)))
        return changes

    def _find(self, text: str) -> Iterator[Found]:
        for detector in self._detectors:
            yield from detector.find(text)

    def _encoded(self, text: str, depth: int) -> Iterator[Change]:
        """Runs of base64 whose content has something, encoded again without it."""
        for run in _RUN.finditer(text):
            if not _LOOKS_LIKE_TEXT.search(run[0]):
                continue
            start, new = run.start(), self._base64(run[0], depth)
            head = text[start - 1 : start] == "\n" and _HEAD.search(text, max(0, start - 9), start)
            if head:
                # Words that end a line look like this, too: what is not changed stays as it was.
                joined = self._base64(head[1] + (new or run[0]), depth)
                if joined is not None:
                    size = len(head[1])
                    yield head.start(1), head.end(1), joined[:size]
                    new = joined[size:]
            if new is not None:
                yield start, run.end(), new

    def _base64(self, run: str, depth: int) -> str | None:
        """The run with its content replaced. It may begin later than the run: at most by three."""
        for skipped in range(4):
            letters = run[skipped:].translate(_STANDARD)
            letters = letters[: len(letters) - (len(letters) % 4 == 1)]
            try:
                raw = binascii.a2b_base64(letters + "=" * (-len(letters) % 4))
            except binascii.Error:
                continue
            content = raw.decode("latin-1")
            changes = self._changes(content, depth + 1)
            if changes:
                safe = any(char in run for char in "-_")
                new = applied(content, changes).encode("latin-1", "replace")
                encoded = (base64.urlsafe_b64encode if safe else base64.b64encode)(new).decode()
                unpadded = len(letters) % 4 and not run.endswith("=")
                rest = run[:skipped] + (encoded.rstrip("=") if unpadded else encoded)
                again = self._base64(rest, depth) if depth + 1 < DEPTH else None
                return rest if again is None else again
        return None


_STANDARD = str.maketrans("-_", "+/", "\r\n=")


def marker(name: str) -> str:
    """What stands in the place of a secret. No convention's own placeholder begins like it."""
    return f"[REDACTED:{name}]"


def applied(text: str, changes: Sequence[Change]) -> str:
    """The text with changes that are in order and apart from each other."""
    parts, last = [], 0
    for start, end, new in changes:
        parts += [text[last:start], new]
        last = end
    return "".join([*parts, text[last:]])


def _without_overlap(found: Iterator[Found]) -> list[Found]:
    """In order. Of what overlaps the first kind keeps its name and takes the others' place in."""
    ordered = sorted(enumerate(found), key=lambda item: (item[1][0], item[0]))
    kept: list[tuple[int, Found]] = []
    for rank, (start, end, name) in ordered:
        if kept and start < kept[-1][1][1]:
            first_rank, (first_start, first_end, first_name) = kept[-1]
            winner = first_name if first_rank < rank else name
            kept[-1] = min(first_rank, rank), (first_start, max(first_end, end), winner)
        else:
            kept.append((rank, (start, end, name)))
    return [item for _, item in kept]


def _merged(first: list[Change], second: list[Change]) -> list[Change]:
    """Both in order; of the second those that do not overlap one of the first."""
    starts = [start for start, _, _ in first]
    free = []
    for change in second:
        place = bisect_right(starts, change[1] - 1)
        if place == 0 or first[place - 1][1] <= change[0]:
            free.append(change)
    return sorted(first + free) if free else first


def _as_json_values(text: str, changes: list[Change], *, escaped: bool) -> list[Change]:
    """A number of JSON becomes a string (a 0 where quotes could break an outer text)."""
    if not changes or text.lstrip()[:1] not in ("{", "[", '"'):
        return changes
    result, quotes, counted = [], 0, 0
    for start, end, new in changes:
        quotes += text.count('"', counted, start)
        counted = start
        head, tail = text[max(0, start - 8) : start].rstrip(), text[end : end + 8].lstrip()
        bare = head[-1:] in (":", "[", ",") and tail[:1] in (",", "]", "}")
        if bare and text[start:end].isdigit():
            if quotes % 2 == 0:
                new = f'"{new}"'  # noqa: PLW2901 - the same change in another form
            elif escaped:
                new = "0"  # noqa: PLW2901
        result.append((start, end, new))
    return result


class _View:
    """A text with one level of escapes resolved."""

    def __init__(self, text: str) -> None:
        parts: list[str] = []
        self._text = text
        self._starts = [0]  # in the view, of stretches that were copied as they are
        self._origins = [0]  # and where these begin in the text
        last = size = 0
        for match in _ESCAPE.finditer(text):
            parts += [text[last : match.start()], _resolved(match)]
            size += match.start() - last
            self._starts += [size, size + 1]
            self._origins += [match.start(), match.end()]
            size += 1
            last = match.end()
        self.text = "".join([*parts, text[last:]])

    def original(self, change: Change) -> Change:
        """The change in terms of the text."""
        start, end, new = change
        if '"' in new:
            new = new.replace("\\", "\\\\").replace('"', '\\"')
        return self._place(start), self._place(end - 1, after=True), new

    def _place(self, index: int, *, after: bool = False) -> int:
        """Where a character of the view begins in the text, or where it ends."""
        stretch = bisect_right(self._starts, index) - 1
        origin = self._origins[stretch] + index - self._starts[stretch]
        if not after:
            return origin
        return self._origins[stretch + 1] if stretch % 2 == 1 else origin + 1


def _resolved(match: re.Match[str]) -> str:
    code, letter, percent = match.groups()
    if letter is not None:
        return _CONTROL.get(letter, letter)
    value = int(code or percent, 16)
    return "\ufffd" if 0xD800 <= value < 0xE000 else chr(value)
