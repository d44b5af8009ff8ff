"""Frequent new words by hand, and the bound of what was cut against exact counts."""

from __future__ import annotations

from collections import Counter

import numpy as np

from retraind.drift.text_terms import TERMS, NewTerm, Terms, count_terms, new_terms
from retraind.drift.text_tokens import Tokens, tokens_of, word_hash


def counted(tokens: Tokens, *known: str) -> Terms:
    return count_terms(tokens, ~np.isin(tokens.hashes, [word_hash(word) for word in known]))


def test_words_count_once_a_session() -> None:
    terms = counted(tokens_of(["the kraken kraken", "the kraken", "the squid", ""]), "the")
    assert terms.n == 3
    assert terms.counts == {word_hash("kraken"): 2, word_hash("squid"): 1}
    assert terms.words == {word_hash("kraken"): "kraken", word_hash("squid"): "squid"}
    assert terms.error == 0


def test_sums_that_are_not_cut_are_exact_in_any_order() -> None:
    texts = [f"a{i % 7} b{i % 31}" for i in range(90)]
    whole = counted(tokens_of(texts))
    parts = [counted(tokens_of(texts[i::3])) for i in range(3)]
    assert sum(parts, start=Terms()) == sum(reversed(parts), start=Terms()) == whole


def test_frequent_words_survive_and_errors_are_bounded() -> None:
    rng = np.random.default_rng(1)
    exact: Counter[int] = Counter()
    total = Terms()
    for _ in range(20):
        words = np.concatenate((rng.zipf(1.3, 3000) % 5000, rng.integers(0, 10**6, 3000)))
        rows = np.sort(words.reshape(600, 10), axis=1).astype(np.uint64)
        tokens = Tokens(rows.ravel(), np.arange(0, 6001, 10), ordered=False, key="public")
        exact.update(int(word) for row in rows for word in np.unique(row))
        total = total + count_terms(tokens, np.ones(6000, np.bool_))
    assert total.n == 12_000
    assert len(total.counts) <= TERMS
    assert 0 < total.error <= exact.total() / (TERMS + 1)
    for word, count in exact.items():
        assert count - total.error <= total.counts.get(word, 0) <= count
    assert set(total.counts) >= {word for word, count in exact.items() if count > total.error}


def test_new_words_by_the_rise_of_their_share() -> None:
    reference = counted(tokens_of(["rare", "other", "", "x", "y"]), "x", "y")
    current = counted(tokens_of(["kraken squid", "kraken rare", "squid kraken", "z"]), "z")
    assert new_terms(reference, current, 5) == [
        NewTerm(word_hash("kraken"), "kraken", 0.75, 0.0),
        NewTerm(word_hash("squid"), "squid", 0.5, 0.0),
    ]
    assert [each.text for each in new_terms(reference, current, 1)] == ["kraken"]
    assert new_terms(current, Terms(), 5) == []


def test_without_content_there_are_no_texts() -> None:
    stored = Tokens(np.array([5, 6], np.uint64), np.array([0, 2]), ordered=False, key="k")
    found = new_terms(Terms(), count_terms(stored, np.array([True, False])), 5)
    assert found == [NewTerm(5, None, 1.0, 0.0)]
