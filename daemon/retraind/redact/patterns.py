"""What is looked for in texts: e-mail and IP addresses, phone and card numbers, keys and tokens.

Every detector takes time linear in the text. `hint` is an RE2 expression over bytes that finds at
least every text in which `find` could find something; whole columns are searched for it first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

Found = tuple[int, int, str]
"""Start and end in the text, and the name of what is there."""


class Detector(Protocol):
    """Finds one kind of secret. `hint` is None when every text has to be looked at."""

    @property
    def hint(self) -> str | None: ...

    def find(self, text: str) -> Iterator[Found]: ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """An expression, and a check that says which part of a match counts (None: no part)."""

    name: str
    hint: str
    expression: re.Pattern[str]
    part: Callable[[str, re.Match[str]], tuple[int, int] | None]

    def find(self, text: str) -> Iterator[Found]:
        for match in self.expression.finditer(text):
            place = self.part(text, match)
            if place is not None:
                yield (*place, self.name)


@dataclass(frozen=True, slots=True)
class OwnPattern:
    """An operator's expression, run by RE2 alone: whatever it is, it takes linear time."""

    name: str
    expression: str

    @property
    def hint(self) -> str:
        return self.expression

    def find(self, text: str) -> Iterator[Found]:
        wrapped = f"(?P<found>{self.expression})"
        rest, start = text, 0
        while rest:
            span = pc.extract_regex_span(pa.array([_encoded(rest).decode()]), wrapped)[0].as_py()
            if span is None or span["found"][1] == 0:
                return
            first, size = span["found"]
            encoded = _encoded(rest)
            begin = len(encoded[:first].decode())
            end = begin + len(encoded[first : first + size].decode())
            yield start + begin, start + end, self.name
            rest, start = rest[end:], start + end


def _encoded(text: str) -> bytes:
    """UTF-8 with as many characters as the text: what has no code becomes a question mark."""
    return text.encode("utf-8", "replace")


def own_pattern(name: str, expression: str) -> OwnPattern:
    """An operator's expression. Raises ValueError when RE2 refuses it or it matches nothing."""
    try:
        empty = pc.match_substring_regex(pa.array(["", "x"]), f"(?P<found>{expression})")
        pc.extract_regex_span(pa.array([""]), f"(?P<found>{expression})")
    except pa.ArrowInvalid as error:
        raise ValueError(f"{expression!r} is not an RE2 expression: {error}") from error
    if empty[0].as_py():
        raise ValueError(f"{expression!r} matches the empty text; make it need a character")
    return OwnPattern(name, expression)


def _before(text: str, place: int) -> str:
    return text[place - 1] if place else ""


def _is_word(char: str) -> bool:
    return char.isascii() and char.isalnum()


_LOCAL = re.compile(r"[A-Za-z0-9._%+\-!#$&'*^~\u0080-\U0010ffff]+")
_LOCAL_CHARACTERS = 64
_LABEL = r"[A-Za-z0-9\u0080-\U0010ffff-]"


def _email(text: str, match: re.Match[str]) -> tuple[int, int] | None:
    """The local part is read backwards from the @: forwards it would be tried from every letter."""
    at = match.start()
    head = text[max(0, at - _LOCAL_CHARACTERS) : at]
    local = _LOCAL.match(head[::-1])
    if local is None:
        return None
    name = local[0][::-1].lstrip(".%+-!#$&'*^~")
    return (at - len(name), match.end()) if name else None


def _phone(text: str, match: re.Match[str]) -> tuple[int, int] | None:
    before, after = _before(text, match.start()), text[match.end() : match.end() + 1]
    digits = sum(char.isdigit() for char in match[0])
    zeros = match[0][0] == "0"  # zeros also begin ids and decimals
    if _is_word(before) or _is_word(after) or (zeros and before in (".", "_", "+", "-")):
        return None
    return match.span() if 8 <= digits <= 17 else None


def _american(text: str, match: re.Match[str]) -> tuple[int, int] | None:
    before, after = _before(text, match.start()), text[match.end() : match.end() + 1]
    beside = _is_word(before) or before in (".", "-") or _is_word(after)
    return None if beside else match.span()


# First digits and lengths of the schemes, so that ids and times with a chance checksum stay.
_SCHEMES = (
    (re.compile("4"), (13, 16, 19)),
    (re.compile("5[1-5]|2[2-7]"), (16,)),
    (re.compile("3[47]"), (15,)),
    (re.compile("3(0[0-5]|09|[689])"), (14, 15, 16, 17, 18, 19)),
    (re.compile("35"), (16, 17, 18, 19)),
    (re.compile("6(011|4[4-9]|5|2|0|8|7|3)|5[06-8]"), (12, 13, 14, 15, 16, 17, 18, 19)),
)
_GROUP = re.compile("[0-9]+")


def is_card(digits: str) -> bool:
    """Whether digits are a payment card's: scheme, length and checksum (ISO/IEC 7812-1, Luhn)."""
    if not any(scheme.match(digits) and len(digits) in sizes for scheme, sizes in _SCHEMES):
        return False
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _cards(text: str) -> Iterator[Found]:
    """Digits in a row or in groups. A group that is no part of the number may stand beside it."""
    for match in _DIGITS.finditer(text):
        groups = [(g.start(), g.end()) for g in _GROUP.finditer(text, *match.span())]
        first = 0
        while first < len(groups):
            end = _card_end(text, groups, first)
            if end is None:
                first += 1
            else:
                yield groups[first][0], groups[end][1], "card"
                first = end + 1


def _card_end(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    begin, end = groups[first]
    if end - begin < 4:  # no issuer prints fewer digits in front
        return None
    if _before(text, begin) == "." and _before(text, begin - 1).isdigit():  # a decimal fraction
        return None
    digits = ""
    for last in range(first, min(first + 8, len(groups))):
        start, end = groups[last]
        digits += text[start : min(end, start + 20)]
        if len(digits) > 19:
            return None
        if len(digits) >= 12 and is_card(digits):
            return last
    return None


_DIGITS = re.compile(r"[0-9]+(?:[ .\-\u00a0\u2011][0-9]+)*")


class _Cards:
    hint = r"[0-9](?:[^0-9A-Za-z]{0,3}[0-9]){11}"

    def find(self, text: str) -> Iterator[Found]:
        return _cards(text)


def _ipv4(text: str, match: re.Match[str]) -> tuple[int, int] | None:
    before, after = _before(text, match.start()), text[match.end() : match.end() + 2]
    if before.isdigit() or after[:1].isdigit() or (after[:1] == "." and after[1:].isdigit()):
        return None
    if before == "." and text[: match.start() - 1][-1:].isdigit():
        return None
    fits = all(int(part) <= 255 for part in match[0].split("."))
    return match.span() if fits else None


def _ipv6(text: str, match: re.Match[str]) -> tuple[int, int] | None:
    start, end = match.span()
    while text[end - 1] == "." or (text[end - 1] == ":" and text[end - 2] != ":"):
        end -= 1
    if text[start] == ":" and text[start + 1 : start + 2] != ":":
        start += 1
    elif _is_word(_before(text, start)):
        return None
    if end - start > 45 or (text[end : end + 1].isalpha() and text[end : end + 1].isascii()):
        return None
    try:
        address = ipaddress.IPv6Address(text[start:end])
    except ValueError:
        return None
    return (start, end) if int(address) > 0xFFFF else None


_KEYS = (
    r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}",
    r"[spr]k_(?:live|test)_[A-Za-z0-9]{10,}",
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    r"AIza[0-9A-Za-z_-]{30,}",
    r"ya29\.[0-9A-Za-z_-]{20,}",
    r"xox[a-z]-[A-Za-z0-9-]{10,}",
    r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}",
    r"whsec_[A-Za-z0-9+/=]{16,}",
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?",
    r"(?<![A-Za-z0-9])(?i:bearer|basic|token) +[A-Za-z0-9._~+/=-]{8,}",
    r"eyJ[A-Za-z0-9_-]{8,}",
)
_WORDS = re.compile(r"(?i:bearer|basic|token) +(.+)")
_MORE_PARTS = re.compile(r"(?:\.[A-Za-z0-9_-]*){1,4}")


def _key(text: str, match: re.Match[str]) -> tuple[int, int] | None:
    if match[0].startswith("eyJ"):
        more = _MORE_PARTS.match(text, match.end())
        return None if more is None else (match.start(), more.end())
    words = _WORDS.fullmatch(match[0])
    if words is not None and not _looks_random(words[1]):
        return None
    return match.span()


def _looks_random(text: str) -> bool:
    """A token and no word: `basic understanding` is none."""
    if len(text) >= 20 or any(char.isdigit() for char in text):
        return True
    return any(a.islower() and b.isupper() for a, b in pairwise(text))


_IPV6 = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")

DETECTORS: dict[str, tuple[Detector, ...]] = {
    "key": (
        Pattern(
            "key",
            r"[spr]k[-_]|gh[pousr]_|github_pat_|glpat-|AKIA|ASIA|AIza|ya29\.|xox[a-z]-|hf_|whsec_|"
            r"PRIVATE KEY|(?i:bearer|basic|token) |eyJ",
            re.compile("|".join(_KEYS)),
            _key,
        ),
    ),
    "email": (
        Pattern(
            "email", r"[^\s]@[0-9A-Za-z\x80-\xff]",
            re.compile(rf"@(?:{_LABEL}{{1,63}}\.)+(?:[A-Za-z\u0080-\U0010ffff]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}})"),
            _email,
        ),
    ),
    "card": (_Cards(),),
    "ip": (
        Pattern(
            "ip", r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
            re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"), _ipv4,
        ),
        Pattern("ip", r":[0-9A-Fa-f]{0,4}:", _IPV6, _ipv6),
    ),
    "phone": (
        Pattern(
            "phone", r"(?:\+|00)[ (]{0,2}[1-9]",
            re.compile(r"(?:\+|00)[ (]{0,2}[1-9](?:[ ().\-/\u00a0\u2011]{0,3}[0-9]){6,14}"),
            _phone,
        ),
        Pattern(
            "phone", r"[2-9][0-9]{2}\)?[ .-]?[0-9]{3}[ .-][0-9]{4}",
            re.compile(r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}"),
            _american,
        ),
    ),
}  # fmt: skip
"""By name of `content.patterns`, in the order in which they win where two find the same text."""
