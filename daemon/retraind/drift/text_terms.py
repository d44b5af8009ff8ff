"""The new words that most sessions use, for the message of an alarm; nothing is decided by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from retraind.drift.text_tokens import Tokens, once_a_session

TERMS = 256


@dataclass(frozen=True, slots=True)
class Terms:
    """At most 256 hashes of words with the number of sessions that used them, of `n` sessions.

    A count is too small by at most `error`; while that is 0 nothing was cut and sums are the same
    in any order. Otherwise they depend on it: add panes in the order of their time. `words` has the
    text of those hashes whose content is kept.
    """

    n: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)
    error: int = 0
    words: Mapping[int, str] = field(default_factory=dict)

    def __add__(self, other: Terms) -> Terms:
        counts = dict(self.counts)
        for term, count in other.counts.items():
            counts[term] = counts.get(term, 0) + count
        error = self.error + other.error
        return _cut(self.n + other.n, counts, error, {**other.words, **self.words})


@dataclass(frozen=True, slots=True)
class NewTerm:
    """A word by its hash and, where content is kept, its text, with the shares of sessions."""

    hash: int
    text: str | None
    share: float
    reference_share: float


def count_terms(tokens: Tokens, of: npt.NDArray[np.bool_]) -> Terms:
    """The words for which `of`, shape (words,), is true; each counts once a session."""
    _, hashes = once_a_session(tokens.sessions()[of], tokens.hashes[of])
    terms, times = np.unique(hashes, return_counts=True)
    n = int((tokens.lengths() > 0).sum())
    counts = dict(zip(terms.tolist(), times.tolist(), strict=True))
    return _cut(n, counts, 0, tokens.words)


def new_terms(reference: Terms, current: Terms, limit: int) -> list[NewTerm]:
    """Words whose share of sessions has risen most; the largest rise first.

    A word that the reference's compared sessions use as often is not new, only rare.
    """
    found = (
        NewTerm(
            term,
            current.words.get(term),
            count / current.n,
            reference.counts.get(term, 0) / max(1, reference.n),
        )
        for term, count in current.counts.items()
    )
    return _largest((each for each in found if each.share > each.reference_share), limit)


def _largest(found: Iterable[NewTerm], limit: int) -> list[NewTerm]:
    return sorted(found, key=lambda each: (each.reference_share - each.share, each.hash))[:limit]


def _cut(n: int, counts: Mapping[int, int], error: int, words: Mapping[int, str]) -> Terms:
    """Keep 256 by taking the 257th largest count off all of them (Misra and Gries 1982).

    That is how two such summaries are merged (Agarwal et al. 2013): `error` stays at most the sum
    of all counts divided by 257.
    """
    if len(counts) > TERMS:
        off = sorted(counts.values(), reverse=True)[TERMS]
        counts = {term: count - off for term, count in counts.items() if count > off}
        error += off
    ordered = dict(sorted(counts.items()))
    return Terms(n, ordered, error, {term: words[term] for term in ordered if term in words})
