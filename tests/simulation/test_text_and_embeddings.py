"""How often text and embedding tests alarm, when nothing has changed and when something has.

Seeds are fixed and limits are binomial: a test fails when what was counted would be seen once in a
thousand runs at the promised rate. `pooled` windows are drawn from one pool of projected sessions,
which is then the population, so that tens of thousands of windows are cheap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from drift_worlds import CloudChange, CloudWorld, TextChange, TextWorld
from retraind.drift.embedding import (
    FEATURES,
    HELD_OUT_ONE_IN,
    EmbeddingProjection,
    EmbeddingResult,
    EmbeddingRows,
    freeze_embedding,
)
from retraind.drift.embedding_projection import STATE
from retraind.drift.frozen import NotTested, held_out
from retraind.drift.text_hashing import ONE, HashedRows, HashedText, freeze_hashed_text
from retraind.drift.text_tokens import Tokens
from retraind.drift.vector_means import MeanResult, VectorSums, compare_means, moments
from retraind.drift.vocabulary import HELD_OUT_ONE_IN as WORDS_HELD_OUT_ONE_IN
from retraind.drift.vocabulary import ShareResult, Vocabulary, freeze_vocabulary

SEED = 41


def at_most(p: np.ndarray, level: float, promised: float) -> None:
    count = int((p < level).sum())
    assert stats.binomtest(count, len(p), promised, "greater").pvalue > 1e-3, count / len(p)


def at_least(p: np.ndarray, level: float, promised: float) -> None:
    count = int((p < level).sum())
    assert stats.binomtest(count, len(p), promised, "less").pvalue > 1e-3, count / len(p)


def ids(m: int, run: int) -> list[str]:
    return [f"{run}/{i}" for i in range(m)]


def new_word_p(
    run: int, m: int, draw: Callable[[np.random.Generator, int, TextChange], Tokens],
    change: TextChange, n: int, windows: int,
) -> list[float]:  # fmt: skip
    """p-values of windows of one reference."""
    rng = np.random.default_rng([SEED, run, m, n, len(change)])
    reference = draw(rng, m, "none")
    vocabulary = freeze_vocabulary(reference, ids(m, run))
    assert isinstance(vocabulary, Vocabulary)

    def sums(tokens: Tokens, groups: np.ndarray, count: int) -> list:
        unknown = vocabulary.unknown(tokens)
        assert not isinstance(unknown, NotTested)
        return vocabulary.sums(tokens, unknown, groups, count)

    made = ~held_out(ids(m, run), WORDS_HELD_OUT_ONE_IN)
    own = sums(reference, made.astype(np.int64), 2)[0]
    current = draw(rng, n * windows, change)
    results = [
        vocabulary.compare(own, each)
        for each in sums(current, np.repeat(np.arange(windows), n), windows)
    ]
    return [each.p_value for each in results if isinstance(each, ShareResult)]


@pytest.mark.parametrize(("n", "windows"), [(100, 150), (1000, 15)])
def test_new_words_level(n: int, windows: int) -> None:
    draw = TextWorld(1).sessions
    p = np.array([new_word_p(r, 3000, draw, "none", n, windows) for r in range(12)]).ravel()
    at_most(p, 0.01, 0.01)
    at_most(p, 0.001, 0.001)


@pytest.mark.parametrize(
    ("m", "level", "found"), [(5000, 0.01, 0.9), (5000, 0.001, 0.75), (2800, 0.01, 0.7)]
)
def test_new_words_in_a_tenth_of_the_messages_are_found(m: int, level: float, found: float) -> None:
    draw = TextWorld(1).sessions
    p = np.array([new_word_p(run, m, draw, "new words", 200, 20) for run in range(8)]).ravel()
    at_least(p, level, found)


def hashed_p(run: int, kinds: list[tuple[TextChange, int, int]]) -> list[list[float]]:
    """p-values for each (change, n, windows) against one reference."""
    rng = np.random.default_rng([SEED, run])
    world = TextWorld(1)
    reference = world.sessions(rng, 3000)
    frozen = freeze_hashed_text(reference, ids(3000, run))
    assert isinstance(frozen, HashedText)

    def sums(tokens: Tokens, groups: np.ndarray, count: int) -> list[VectorSums]:
        rows = frozen.project(tokens)
        assert isinstance(rows, HashedRows)
        return frozen.sums(rows, groups, count)

    own = sums(reference, np.zeros(3000, np.int64), 1)[0]
    found = []
    for change, n, windows in kinds:
        current = world.sessions(rng, n * windows, change, gains=run)
        results = [
            frozen.compare(own, each)
            for each in sums(current, np.repeat(np.arange(windows), n), windows)
        ]
        found.append([each.p_value for each in results if isinstance(each, MeanResult)])
    return found


def test_hashed_means_level_and_a_topic_that_gains_ten_points() -> None:
    kinds: list[tuple[TextChange, int, int]] = [
        ("none", 100, 120), ("topic", 200, 15), ("topic", 1000, 8)
    ]  # fmt: skip
    runs = [hashed_p(run, kinds) for run in range(7)]
    null, few, many = (np.concatenate([run[i] for run in runs]) for i in range(3))
    at_most(null, 0.01, 0.01)
    at_least(null, 0.05, 0.03)
    at_least(few, 0.01, 0.25)
    at_least(many, 0.01, 0.95)


def embedding_p(
    run: int, change: CloudChange, n: int, windows: int, m: int = 2000
) -> list[tuple[float, float, float]]:
    """(shift, cluster, both) of each window."""
    rng = np.random.default_rng([SEED, run, n, m, len(change)])
    world = CloudWorld(1)
    reference = world.sessions(rng, m)
    frozen = freeze_embedding(reference, "e", ids(m, run), f"reference {run}")
    assert isinstance(frozen, EmbeddingProjection)
    made = ~held_out(ids(m, run), HELD_OUT_ONE_IN)

    def sums(vectors: np.ndarray, groups: np.ndarray, count: int) -> list:
        rows = frozen.project(vectors, "e")
        assert isinstance(rows, EmbeddingRows)
        return frozen.sums(rows, groups, count)

    own = sums(reference, made.astype(np.int64), 2)[0]
    current = world.sessions(rng, n * windows, change)
    results = [
        frozen.compare(own, each)
        for each in sums(current, np.repeat(np.arange(windows), n), windows)
    ]
    return [
        (each.shift.p_value, each.cluster.p_value, each.p_value)
        for each in results
        if isinstance(each, EmbeddingResult)
    ]


@pytest.mark.parametrize(("n", "m"), [(100, 2000), (100, 500), (500, 2000)])
def test_embedding_level(n: int, m: int) -> None:
    p = np.array([embedding_p(run, "none", n, 6000 // n, m) for run in range(12)])
    for each in p.reshape(-1, 3).T:
        at_most(each, 0.01, 0.01)


def test_a_small_shift_in_any_direction_is_found() -> None:
    p = np.array([embedding_p(run, "shift", 100, 10) for run in range(4)]).reshape(-1, 3)
    at_least(p[:, 0], 0.001, 0.98)
    at_least(p[:, 2], 0.001, 0.98)


def test_a_new_cluster_is_found() -> None:
    p = np.array([embedding_p(run, "cluster", 1000, 5) for run in range(6)]).reshape(-1, 3)
    at_least(p[:, 0], 0.01, 0.97)
    at_least(p[:, 1], 0.01, 0.9)
    at_least(p[:, 2], 0.001, 0.9)


def pooled_p(
    pool: np.ndarray, unit: float, references: int, windows: int, sizes: tuple[int, int]
) -> np.ndarray:
    """p-values of windows of n sessions against references of m, all drawn from the pool."""
    rng = np.random.default_rng([SEED, 9, pool.shape[1]])
    n, m = sizes
    found = []
    for _ in range(references):
        rows = pool[rng.integers(0, len(pool), m)]
        reference = VectorSums("pool", m, rows.sum(axis=0))
        each = moments(rows / unit)
        for _ in range(windows):
            window = VectorSums("pool", n, pool[rng.integers(0, len(pool), n)].sum(axis=0))
            result = compare_means("m", reference, window, each, unit)
            assert isinstance(result, MeanResult)
            found.append(result.p_value)
    return np.array(found)


@pytest.fixture(scope="module")
def embedding_pool() -> EmbeddingRows:
    rng = np.random.default_rng([SEED, 8])
    world = CloudWorld(1)
    frozen = freeze_embedding(world.sessions(rng, 2000), "e", ids(2000, 0), "pool")
    assert isinstance(frozen, EmbeddingProjection)
    rows = frozen.project(world.sessions(rng, 20_000), "e")
    assert isinstance(rows, EmbeddingRows)
    return rows


def test_far_tail_of_the_whitened_mean(embedding_pool: EmbeddingRows) -> None:
    p = pooled_p(embedding_pool.whitened, STATE, 20, 1000, (100, 1000))
    at_most(p, 0.001, 0.001)
    at_least(p, 0.001, 0.0006)


def test_far_tail_of_the_random_features(embedding_pool: EmbeddingRows) -> None:
    p = pooled_p(embedding_pool.features, STATE * np.sqrt(FEATURES / 2), 10, 1000, (100, 1000))
    at_most(p, 0.001, 0.001)
    at_least(p, 0.001, 0.0004)


def test_far_tail_of_hashed_means() -> None:
    rng = np.random.default_rng([SEED, 7])
    tokens = TextWorld(1).sessions(rng, 12_000)
    frozen = freeze_hashed_text(tokens, ids(12_000, 0))
    assert isinstance(frozen, HashedText)
    rows = frozen.project(tokens)
    assert isinstance(rows, HashedRows)
    dense = (rows.dense() >> 15).astype(np.int32)  # half the memory to read, 15 bits are left
    p = pooled_p(dense, ONE >> 15, 5, 800, (100, 1000))
    at_most(p, 0.001, 0.001)
    at_most(p, 0.01, 0.01)
