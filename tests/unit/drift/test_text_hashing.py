"""Hashed vectors against whole numbers in plain Python."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from retraind.drift.frozen import NotTested
from retraind.drift.text_hashing import (
    BUCKETS,
    METHOD,
    ONE,
    HashedRows,
    HashedText,
    freeze_hashed_text,
    hashed_rows,
)
from retraind.drift.text_tokens import Tokens, tokens_of, word_hash
from retraind.drift.vector_means import MeanResult
from retraind.errors import StoreError

WORDS = [f"word{i}" for i in range(400)]


def texts(rng: np.random.Generator, n: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, rng.integers(5, 25))) for _ in range(n)]


def by_hand(text: str, *, pairs: bool) -> dict[int, float]:
    """Coordinates that are not zero."""
    words = [word_hash(word) for word in text.split()]
    features = [(value, 2) for value in set(words)]
    if pairs:
        for left, right in set(itertools.pairwise(words)):
            odd, modulus = 0x9E3779B97F4A7C15, 1 << 64
            swapped = (right >> 32 | right << 32) % modulus
            mixed = (left * odd % modulus) ^ swapped
            mixed = (mixed ^ mixed >> 29) * odd % modulus
            features.append((mixed ^ mixed >> 32, 1))
    vector: dict[int, float] = defaultdict(float)
    for value, weight in features:
        vector[value % BUCKETS] += -weight if value >> 63 else weight
    length = math.sqrt(sum(each * each for each in vector.values()))
    return {bucket: each / length for bucket, each in vector.items() if each}


def project(frozen: HashedText, tokens: Tokens) -> HashedRows:
    rows = frozen.project(tokens)
    assert isinstance(rows, HashedRows)
    return rows


@pytest.fixture(scope="module")
def frozen() -> HashedText:
    each = freeze_hashed_text(
        tokens_of(texts(np.random.default_rng(1), 1200)), [f"s{i}" for i in range(1200)]
    )
    assert isinstance(each, HashedText)
    return each


@pytest.mark.parametrize("pairs", [True, False])
def test_vectors_by_hand(pairs: bool) -> None:
    some = [
        "the red fox",
        "fox red the the red fox fox",
        "one",
        *texts(np.random.default_rng(2), 50),
    ]
    dense = hashed_rows(tokens_of(some), pairs=pairs).dense()
    assert dense.shape == (len(some), BUCKETS)
    for text, row in zip(some, dense, strict=True):
        expected = np.zeros(BUCKETS)
        for bucket, value in by_hand(text, pairs=pairs).items():
            expected[bucket] = value
        np.testing.assert_allclose(row / ONE, expected, atol=1e-9)


def test_order_matters_for_pairs_only() -> None:
    tokens = tokens_of(["a b c", "c b a"])
    words, pairs = (hashed_rows(tokens, pairs=each).dense() for each in (False, True))
    assert (words[0] == words[1]).all()
    assert (pairs[0] != pairs[1]).any()


def test_products_of_vectors_count_common_words() -> None:
    """Collisions cancel on average: 6 of 10 words are common, so the cosine is 0.6."""
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**64, (4000, 14), dtype=np.uint64)
    both = np.stack((words[:, :10], words[:, 4:]), axis=1).reshape(-1)
    starts = np.arange(0, len(both) + 1, 10)
    rows = hashed_rows(Tokens(both, starts, ordered=False, key="public"), pairs=False).dense() / ONE
    cosines = (rows[::2] * rows[1::2]).sum(axis=1)
    assert cosines.mean() == pytest.approx(0.6, abs=4 * cosines.std() / np.sqrt(len(cosines)))


def test_sums_do_not_depend_on_order_or_batches(frozen: HashedText) -> None:
    some = [*texts(np.random.default_rng(4), 60), "", None]
    groups = np.arange(len(some)) % 3
    whole = frozen.sums(project(frozen, tokens_of(some)), groups, 4)
    assert [each.n for each in whole] == [20, 20, 20, 0]  # sessions without words do not count
    dense = hashed_rows(tokens_of(some), pairs=True).dense()
    for group in range(4):
        assert (whole[group].total == dense[groups == group].sum(axis=0)).all()
        parts = [
            frozen.sums(project(frozen, tokens_of([text])), np.array([0]), 1)[0]
            for text, own in reversed(list(zip(some, groups, strict=True)))
            if own == group
        ]
        if parts:
            assert sum(parts[1:], start=parts[0]) == whole[group]


def test_stored_hashes_are_compared_without_pairs() -> None:
    rng = np.random.default_rng(5)
    stored = [replace(tokens_of(texts(rng, n), b"key"), ordered=False) for n in (1000, 300, 300)]
    each = freeze_hashed_text(stored[0], [f"s{i}" for i in range(1000)])
    assert isinstance(each, HashedText)
    assert not each.pairs
    reference, same, moved = (
        each.sums(project(each, tokens), np.zeros(len(tokens), np.int64), 1)[0]
        for tokens in (*stored[:2], tokens_of(["some quite other words"] * 300, b"key"))
    )
    result = each.compare(reference, same)
    assert isinstance(result, MeanResult)
    assert (result.method, result.n, result.m) == (METHOD, 300, 1000)
    assert result.p_value > 1e-3
    result = each.compare(reference, moved)
    assert isinstance(result, MeanResult)
    assert result.p_value < 1e-12
    assert result.moved_share > 0.9


def test_what_cannot_be_compared_says_why(frozen: HashedText) -> None:
    sorted_words = replace(tokens_of(["a b"]), ordered=False)
    with pytest.raises(ValueError, match="order"):
        hashed_rows(sorted_words, pairs=True)
    for tokens, why in ((sorted_words, "sorted"), (tokens_of(["a b"], b"k"), "another key")):
        refused = frozen.project(tokens)
        assert isinstance(refused, NotTested)
        assert refused.reason == "not_comparable"
        assert why in refused.detail
    rows = project(frozen, tokens_of(["a b"] * 5))
    other = replace(frozen, moments=replace(frozen.moments, trace=0.5))
    theirs = other.sums(rows, np.zeros(5, np.int64), 1)[0]
    own = frozen.sums(rows, np.zeros(5, np.int64), 1)[0]
    for pair in ((own, theirs), (theirs, own)):
        refused = frozen.compare(*pair)
        assert isinstance(refused, NotTested)
        assert refused.reason == "not_comparable"
    small = freeze_hashed_text(tokens_of(["a"] * 499 + [""] * 99), [str(i) for i in range(598)])
    assert small == NotTested("reference_too_small", "499 sessions with text; 500 are needed")


def test_the_same_reference_has_the_same_bytes(frozen: HashedText) -> None:
    some = texts(np.random.default_rng(1), 1200)
    ids = [f"s{i}" for i in range(1200)]
    again = freeze_hashed_text(tokens_of(some[::-1]), ids[::-1])
    assert isinstance(again, HashedText)
    assert again.to_bytes() == frozen.to_bytes()
    assert HashedText.from_bytes(frozen.to_bytes()) == frozen
    with pytest.raises(StoreError):
        HashedText.from_bytes(b"nothing")
