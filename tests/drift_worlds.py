"""Sessions of text and embeddings for simulations of drift: topics, new words, shifts, clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from retraind.drift.text_tokens import Tokens

TextChange = Literal["none", "new words", "topic"]
CloudChange = Literal["none", "shift", "cluster"]


class TextWorld:
    """Twenty topics over 4000 Zipf words, 5 to about 30 words a session; words are hashes.

    new words: a tenth of the sessions name two of twenty new products. topic: one topic gains ten
    points.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        zipf = np.arange(1, 4001) ** -1.05
        weights = zipf * rng.gamma(0.3, 1, (20, 4000))
        self._cumulative = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
        self._hashes = rng.integers(0, 2**64, 4020, dtype=np.uint64)

    def sessions(
        self, rng: np.random.Generator, n: int, change: TextChange = "none", *, gains: int = 0
    ) -> Tokens:
        shares = np.full(20, 0.05)
        if change == "topic":
            shares = 0.9 * shares + 0.1 * (np.arange(20) == gains)
        lengths = 5 + rng.poisson(15, n)
        topic = np.repeat(rng.choice(20, n, p=shares), lengths)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        place, words = rng.random(len(topic)), np.empty(len(topic), np.int64)
        for each in range(20):
            of = topic == each
            words[of] = np.searchsorted(self._cumulative[each], place[of]).clip(max=3999)
        if change == "new words":
            some = starts[:-1][rng.random(n) < 0.1]
            words[some], words[some + 1] = rng.integers(4000, 4020, (2, len(some)))
        return Tokens(self._hashes[words], starts, ordered=True, key="public")


@dataclass(frozen=True)
class CloudWorld:
    """Unit vectors around twenty topics in a space of 12 dimensions, with noise in all of them.

    shift: all move by a quarter of a coordinate's size in one direction. cluster: a tenth of the
    sessions is about a topic that is new.
    """

    seed: int
    length: int = 64

    def sessions(
        self, rng: np.random.Generator, n: int, change: CloudChange = "none"
    ) -> np.ndarray:
        own = np.random.default_rng(self.seed)
        space = own.normal(size=(12, self.length)) / np.sqrt(12)
        centres = 1.5 * own.normal(size=(20, 12))
        direction = own.normal(size=self.length)
        centre = centres[rng.integers(0, 20, n)]
        if change == "cluster":
            centre = np.where(rng.random((n, 1)) < 0.1, np.resize([-2.0, 2.0], 12), centre)
        rows = (centre + rng.normal(size=(n, 12))) @ space + 0.3 * rng.normal(size=(n, self.length))
        if change == "shift":
            rows += direction / np.linalg.norm(direction) * np.sqrt(self.length) / 16
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
