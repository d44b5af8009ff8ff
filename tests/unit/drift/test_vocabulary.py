"""Unknown words by sets, Welch's test against scipy, the bounds of a vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retraind.drift import vocabulary as module
from retraind.drift.frozen import NotTested, held_out
from retraind.drift.text_tokens import Tokens, tokens_of, word_hash
from retraind.drift.vocabulary import (
    METHOD,
    MILLION,
    ShareResult,
    ShareSums,
    Vocabulary,
    freeze_vocabulary,
)


def vocabulary(*words: str) -> Vocabulary:
    hashes = np.sort(np.array([word_hash(word) for word in words], np.uint64))
    return Vocabulary("public", 100, hashes)


KNOWN = vocabulary("where", "is", "my", "order")


def sums(each: Vocabulary, tokens: Tokens, groups: object, count: int) -> list[ShareSums]:
    unknown = each.unknown(tokens)
    assert not isinstance(unknown, NotTested)
    return each.sums(tokens, unknown, np.asarray(groups), count)


def shares(values: np.ndarray) -> ShareSums:
    """Sums of given shares, rounded one by one as those of sessions are."""
    total, squares = np.rint(values * MILLION).sum(), np.rint(values**2 * MILLION).sum()
    return ShareSums(KNOWN.id, len(values), int(total), int(squares))


def test_shares_by_hand() -> None:
    tokens = tokens_of(["where is my kraken", "kraken kraken order", "", "my order", "zzz"])
    assert KNOWN.unknown(tokens).tolist() == [False] * 3 + [True] * 3 + [False] * 3 + [True]  # type: ignore[union-attr]
    first, second, third = sums(KNOWN, tokens, [0, 0, 0, 1, 1], 3)
    assert (first.n, first.total, first.total_squares) == (2, 250_000 + 666_667, 62_500 + 444_444)
    assert (second.n, second.total, second.total_squares) == (2, 1_000_000, 1_000_000)
    assert third == ShareSums(KNOWN.id, 0, 0, 0)
    whole = sums(KNOWN, tokens, [0] * 5, 1)[0]
    assert first + second == second + first == whole
    assert whole.mean == pytest.approx((1 / 4 + 2 / 3 + 0 + 1) / 4, abs=1e-6)
    expected = np.var([1 / 4, 2 / 3, 0, 1], ddof=1) / 4
    assert whole.variance_of_mean == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "m", "rise"), [(200, 1000, 0.02), (50, 80, 0.1), (300, 300, -0.01)])
def test_welch(n: int, m: int, rise: float) -> None:
    rng = np.random.default_rng(n)
    reference, current = rng.beta(1, 9, m), np.clip(rng.beta(1, 5, n) + rise, 0, 1)
    found = KNOWN.compare(shares(reference), shares(current))
    assert isinstance(found, ShareResult)
    expected = stats.ttest_ind(current, reference, equal_var=False, alternative="greater")
    assert (found.method, found.n, found.m) == (METHOD, n, m)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-3)
    assert found.degrees_of_freedom == pytest.approx(expected.df, rel=1e-3)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-2)
    assert found.lower == pytest.approx(expected.confidence_interval(0.95).low, abs=1e-5)
    assert found.share - found.reference_share == pytest.approx(
        current.mean() - reference.mean(), abs=1e-6
    )


def test_sessions_that_are_all_alike() -> None:
    none, some = shares(np.zeros(200)), shares(np.full(200, 0.2))
    found = KNOWN.compare(none, none)
    assert isinstance(found, ShareResult)
    assert found.p_value == 0.5
    found = KNOWN.compare(none, some)
    assert isinstance(found, ShareResult)
    assert found.p_value < 1e-12
    found = KNOWN.compare(some, none)
    assert isinstance(found, ShareResult)
    assert found.p_value > 0.999


def test_words_of_held_out_sessions_are_not_in_it() -> None:
    ids = [f"s{i}" for i in range(3000)]
    tokens = tokens_of([f"common own{name}" for name in ids])
    each = freeze_vocabulary(tokens, ids)
    assert isinstance(each, Vocabulary)
    rest = held_out(ids, 5)
    expected = {word_hash("common")} | {
        word_hash(f"own{name}") for name, out in zip(ids, rest, strict=True) if not out
    }
    assert each.hashes.tolist() == sorted(expected)
    assert each.sessions == (~rest).sum()
    compared, made = sums(each, tokens, (~rest).astype(int), 2)
    assert compared.mean == pytest.approx(0.5)
    assert made.mean == 0.0


def test_a_large_vocabulary_keeps_the_words_of_most_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_WORDS", 2)
    ids = [f"s{i}" for i in range(2800)]
    each = freeze_vocabulary(
        tokens_of(["all rare rare rare rare" if i % 9 == 0 else "all most" for i in range(2800)]),
        ids,
    )
    assert isinstance(each, Vocabulary)
    assert each.hashes.tolist() == sorted([word_hash("all"), word_hash("most")])


def test_what_cannot_be_compared_says_why() -> None:
    texts = ["a word"] * 2799 + [""] * 500
    small = freeze_vocabulary(tokens_of(texts), [str(i) for i in range(len(texts))])
    assert small == NotTested("reference_too_small", "2799 sessions with text; 2800 are needed")
    refused = KNOWN.unknown(tokens_of(["a word"], b"key"))
    assert isinstance(refused, NotTested)
    assert refused.reason == "not_comparable"
    own, other = shares(np.zeros(9)), ShareSums(vocabulary("other").id, 9, 0, 0)
    with pytest.raises(ValueError, match="different references"):
        _ = own + other
    for reference, current, reason in (
        (own, other, "not_comparable"),
        (other, own, "not_comparable"),
        (own, shares(np.zeros(1)), "too_few_sessions"),
    ):
        found = KNOWN.compare(reference, current)
        assert isinstance(found, NotTested)
        assert found.reason == reason


def test_bytes() -> None:
    again = Vocabulary.from_bytes(KNOWN.to_bytes())
    assert again.id == KNOWN.id
    assert (again.key, again.sessions, again.hashes.tolist()) == (
        KNOWN.key,
        KNOWN.sessions,
        KNOWN.hashes.tolist(),
    )
    assert vocabulary("where", "is", "my", "orders").id != KNOWN.id
