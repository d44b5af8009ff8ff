"""Words of many scripts by hand, hashes by another road."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.drift.text_tokens import (
    MAX_CHARACTERS,
    MAX_WORD_LENGTH,
    MAX_WORDS,
    Tokens,
    key_name,
    tokens_of,
    word_hash,
    words_of,
)
from retraind.redact.edits import TokenHashes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where's my ORDER?", ["where", "s", "my", "order"]),
        ("Straße, STRASSE", ["strasse", "strasse"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),  # decomposed and composed are one word
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # vowel signs are marks, not letters
        ("مَرْحَبًا", ["مَرْحَبًا"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001
        ("안녕하세요 세계", ["안녕하세요", "세계"]),  # Korean has spaces
        ("東京都", ["東京", "京都"]),
        ("東京でiPhoneを買う", ["東京", "京で", "iphone", "を買", "買う"]),
        ("我", ["我"]),
        ("ｱｲﾃﾑ", ["アイ", "イテ", "テム"]),  # half-width forms
        ("สวัสดี", ["สวั", "วัส", "สดี"]),  # pairs of letters with their marks
        ("\U00020000\U00020001", ["\U00020000\U00020001"]),
        ("order 48213 of 2026, ١٢٣", ["order", "0", "of", "0", "0"]),
        ("a3f9 x_1", ["a3f9", "x_1"]),
        ("... 、。", []),
        ("", []),
    ],
)  # fmt: skip
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == [unicodedata.normalize("NFKC", word) for word in words]


def test_ascii_takes_the_same_road_as_the_rest() -> None:
    text = "GET /v1/orders?id=12 don't_stop  3.14"
    assert words_of(text) == words_of(text + " é")[:-1]


def test_texts_are_bounded() -> None:
    assert words_of("a" * 10**6) == ["a" * MAX_WORD_LENGTH]
    assert len(words_of("ab " * 10**5)) == MAX_WORDS
    assert len(words_of("東" * 10**5)) == MAX_WORDS
    assert words_of(" " * MAX_CHARACTERS + "late") == []


@given(st.text(max_size=200))
def test_any_text_has_short_caseless_words(text: str) -> None:
    words = words_of(text)
    assert all(0 < len(word) <= MAX_WORD_LENGTH for word in words)
    assert not any(character.isspace() for word in words for character in word)
    assert tokens_of([text]).hashes.tolist() == [word_hash(word) for word in words]


def test_hashes_are_the_first_bytes_of_hmac() -> None:
    tokens = tokens_of(["né né", None, "", "b"], b"secret")
    expected = [
        int(hmac.new(b"secret", word.encode(), hashlib.sha256).hexdigest()[:16], 16)
        for word in ("né", "né", "b")
    ]
    assert tokens.hashes.tolist() == expected
    assert tokens.starts.tolist() == [0, 2, 2, 2, 3]
    assert tokens.lengths().tolist() == [2, 0, 0, 1]
    assert tokens.sessions().tolist() == [0, 0, 3]
    assert tokens.words == {expected[0]: "né", expected[2]: "b"}
    assert tokens.ordered


def test_hashes_are_those_that_are_stored_for_dropped_texts() -> None:
    text = "Refund for my order, please: the order never came"
    stored = TokenHashes(b"secret").of(text)
    assert sorted(tokens_of([text], b"secret").hashes.tolist()) == stored


def test_another_key_has_other_hashes_and_another_name() -> None:
    one, two = tokens_of(["word"], b"one"), tokens_of(["word"], b"two")
    assert one.hashes[0] != two.hashes[0]
    assert len({one.key, two.key, tokens_of([]).key}) == 3
    assert key_name(b"one") == one.key
    assert tokens_of([]).key == "public"


def test_lone_surrogates_do_no_harm() -> None:
    assert len(tokens_of(["\ud800 a\udfffb"])) == 1


def test_take() -> None:
    tokens = Tokens(
        np.arange(6, dtype=np.uint64), np.array([0, 2, 2, 5, 6]), ordered=True, key="public"
    )
    part = tokens.take(np.array([2, 1, 0]))
    assert part.hashes.tolist() == [2, 3, 4, 0, 1]
    assert part.starts.tolist() == [0, 3, 3, 5]
