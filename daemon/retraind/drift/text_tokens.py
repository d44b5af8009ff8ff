"""Texts as 64-bit hashes of their words, which is all that the statistics of text look at.

So they work in the same way when content is dropped and only keyed hashes were stored. The hash is
the first 8 bytes of HMAC-SHA256; with an empty key it is public and hides nothing.
"""

from __future__ import annotations

import functools
import hmac
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

MAX_CHARACTERS = 65_536
MAX_WORDS = 4096
MAX_WORD_LENGTH = 64
NUMBER = "0"
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_JOINERS = "\u200c\u200d"  # inside words of Persian and of Indic scripts
_SPACELESS = (
    "\u0e01-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf"  # Thai, Lao
    "\u1000-\u103f\u1050-\u109f\u1780-\u17d3"  # Myanmar, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
)
"""Scripts written without spaces between words."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The words of n sessions, one after the other.

    `hashes`, uint64 [words]; those of session i are hashes[starts[i]:starts[i + 1]], `starts` is
    int64 [n + 1]. `ordered` says whether they stand as in the text (stored hashes are sorted), so
    that neighbours are pairs. `key` is the name of the key: hashes of two keys have nothing in
    common. `words` has the text of a hash, where content is kept.
    """

    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    ordered: bool
    key: str
    words: Mapping[int, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> npt.NDArray[np.int64]:
        """Words of each session, shape (n,)."""
        return np.diff(self.starts)

    def sessions(self) -> npt.NDArray[np.int64]:
        """The session of each word, shape (words,)."""
        return np.repeat(np.arange(len(self)), self.lengths())

    def take(self, rows: npt.NDArray[np.int64]) -> Tokens:
        """Some of the sessions, in the order of `rows`."""
        lengths = self.lengths()[rows]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        place = np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(starts[-1])
        return replace(self, hashes=self.hashes[place], starts=starts)


def once_a_session(
    sessions: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Sessions and hashes without repetitions, sorted by session, then hash."""
    order = np.lexsort((hashes, sessions))
    sessions, hashes = sessions[order], hashes[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (sessions[1:] != sessions[:-1]) | (hashes[1:] != hashes[:-1])
    return sessions[first], hashes[first]


def tokens_of(texts: Iterable[str | None], key: bytes = b"") -> Tokens:
    """The words of each text, hashed with `key`; a missing text has none."""
    known: dict[str, int] = {}
    hashes: list[int] = []
    starts = [0]
    for text in texts:
        for word in words_of(text) if text else ():
            if word not in known:
                known[word] = word_hash(word, key)
            hashes.append(known[word])
        starts.append(len(hashes))
    words = {value: word for word, value in known.items()}
    return Tokens(
        np.asarray(hashes, np.uint64), np.asarray(starts, np.int64), True, key_name(key), words
    )


def key_name(key: bytes) -> str:
    """Tells two keys apart without giving them away: 8 hex digits, or `public` for no key."""
    return hmac.digest(key, b"name of this key", "sha256")[:4].hex() if key else "public"


def word_hash(word: str, key: bytes = b"") -> int:
    """64 bits of HMAC-SHA256 of the UTF-8 bytes; what is no text counts as a question mark."""
    return int.from_bytes(hmac.digest(key, word.encode("utf-8", "replace"), "sha256")[:8], "big")


def words_of(text: str) -> list[str]:
    """The words of a text in its order, caseless, at most 4096 of its first 65,536 characters.

    Compatibility forms count as one (NFKC). Marks belong to their letters, and a run in a script
    without spaces gives its overlapping pairs of characters, since finding words there takes a
    dictionary. All numbers are one word: a new order number is no new vocabulary.
    """
    text = text[:MAX_CHARACTERS]
    if text.isascii():
        found = _ASCII_WORD.findall(text.lower())
    else:
        found = _words_of_any_script(unicodedata.normalize("NFKC", text).casefold())
    return [NUMBER if word.isdecimal() else word[:MAX_WORD_LENGTH] for word in found[:MAX_WORDS]]


def _words_of_any_script(text: str) -> list[str]:
    run, character = _patterns()
    found: list[str] = []
    for match in run.finditer(text):
        if match.lastgroup is None:
            found.append(match[0])
        else:
            characters = character.findall(match[0])
            pairs = map("".join, itertools.pairwise(characters))
            found.extend(pairs if len(characters) > 1 else characters)
        if len(found) >= MAX_WORDS:
            break
    return found


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A word, or (a group) a run without spaces; and one character of such a run with its marks.

    `\\w` has no combining marks, so without them Hindi or Thai words would break at vowels.
    """
    marks = _JOINERS + "".join(
        chr(code) for code in range(0x300, 0xFFFF) if unicodedata.category(chr(code))[0] == "M"
    )
    letter = rf"[^\W{_SPACELESS}]"
    word = rf"{letter}+(?:[{marks}]+{letter}*)*"
    alone = rf"[{_SPACELESS}][{marks}]*"
    return re.compile(rf"{word}|(?P<run>(?:{alone})+)"), re.compile(alone)
