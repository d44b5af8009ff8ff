"""Hashed means: the words and word pairs of each session as a short vector, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from retraind.drift.bins import IntArray
from retraind.drift.frozen import NotTested, content_id, numbered, pack, unpack
from retraind.drift.text_tokens import Tokens, once_a_session
from retraind.drift.vector_means import (
    MeanResult,
    Moments,
    VectorSums,
    compare_means,
    moments,
)

HashArray = npt.NDArray[np.uint64]

ONE = 1 << 30
"""A coordinate of 1 in fixed point: 2^33 sessions fit into 64 bits."""
BUCKETS = 1024
METHOD = f"hashed-mean{BUCKETS}/cumulants4/v1"
SMALLEST_REFERENCE = 500
MOMENT_SESSIONS = 3000
WORD, PAIR = 2, 1
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class HashedRows:
    """Vectors of n sessions by their coordinates that are not zero.

    Coordinate `bucket[k]` of session `session[k]` is `value[k]`, in fixed point; sorted by both.
    `present`, shape (n,), is false for sessions without words.
    """

    present: npt.NDArray[np.bool_]
    session: IntArray
    bucket: IntArray
    value: IntArray

    def dense(self) -> IntArray:
        """All coordinates, shape (n, 1024)."""
        rows = np.zeros((len(self.present), BUCKETS), np.int64)
        rows[self.session, self.bucket] = self.value
        return rows


@dataclass(frozen=True, slots=True)
class HashedText:
    """What is frozen with a reference: how its words were hashed, and the moments of its vectors.

    The hashing is not fitted to the reference, so all of its sessions can be compared.
    """

    key: str
    pairs: bool
    moments: Moments
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", content_id(self.to_bytes()))

    def to_bytes(self) -> bytes:
        """For the table of references; `from_bytes` reads it."""
        fields = {"key": self.key, "pairs": self.pairs, **asdict(self.moments)}
        return pack(METHOD, fields, {})

    @classmethod
    def from_bytes(cls, packed: bytes) -> HashedText:
        """Raises StoreError when these are not the bytes of a HashedText of this version."""
        fields, _ = unpack(METHOD, packed)
        return cls(fields.pop("key"), fields.pop("pairs"), Moments(**fields))

    def project(self, tokens: Tokens) -> HashedRows | NotTested:
        """The vectors of sessions, to be added up with `sums`."""
        if tokens.key != self.key:
            return NotTested("not_comparable", "the words were hashed with another key")
        if self.pairs and not tokens.ordered:
            return NotTested("not_comparable", "the reference has word pairs, these are sorted")
        return hashed_rows(tokens, pairs=self.pairs)

    def sums(self, rows: HashedRows, groups: IntArray, count: int) -> list[VectorSums]:
        """The sum of each of `count` groups; `groups`, shape (n,), has each session's."""
        totals = np.zeros((count, BUCKETS), np.int64)
        np.add.at(totals, (groups[rows.session], rows.bucket), rows.value)
        sizes = np.bincount(groups[rows.present], minlength=count).tolist()
        return [VectorSums(self.id, n, total) for n, total in zip(sizes, totals, strict=True)]

    def compare(self, reference: VectorSums, current: VectorSums) -> MeanResult | NotTested:
        """Test a window's sum against that of its reference."""
        if reference.parts != self.id:
            return NotTested("not_comparable", "the sums are those of another reference")
        return compare_means(METHOD, reference, current, self.moments, ONE)


def freeze_hashed_text(tokens: Tokens, session_ids: Sequence[str]) -> HashedText | NotTested:
    """Freeze a reference. Pairs are looked at when its words have an order; order of rows is free.

    Moments are taken from at most 3000 sessions, which bounds memory to 100 MB and time to 1 s.
    """
    rows = numbered(session_ids)
    rows = rows[tokens.lengths()[rows] > 0]
    if len(rows) < SMALLEST_REFERENCE:
        return NotTested(
            "reference_too_small",
            f"{len(rows)} sessions with text; {SMALLEST_REFERENCE} are needed",
        )
    vectors = hashed_rows(tokens.take(rows[:MOMENT_SESSIONS]), pairs=tokens.ordered)
    return HashedText(tokens.key, tokens.ordered, moments(vectors.dense() / ONE))


def hashed_rows(tokens: Tokens, *, pairs: bool) -> HashedRows:
    """Each distinct word adds +2 or -2 to one of the buckets, each pair of neighbours +1 or -1.

    Bucket and sign are bits of its hash, so that collisions cancel on average (Weinberger et al.
    2009). Pairs weigh less because most are seen once: at equal weight they hide the words. Each
    vector is scaled to length one, so that a long text counts as much as a short one; without words
    it is zero. Raises ValueError for pairs of words whose order is not known.
    """
    session, hashes = once_a_session(tokens.sessions(), tokens.hashes)
    value = _signed(hashes, WORD)
    if pairs:
        if not tokens.ordered:
            raise ValueError("the order of the words is not known: there are no pairs")
        of, words = tokens.sessions(), tokens.hashes
        inside = of[1:] == of[:-1]
        both = once_a_session(of[1:][inside], _pair(words[:-1], words[1:])[inside])
        session = np.concatenate((session, both[0]))
        hashes = np.concatenate((hashes, both[1]))
        value = np.concatenate((value, _signed(both[1], PAIR)))
    bucket = (hashes & np.uint64(BUCKETS - 1)).astype(np.int64)
    return _unit_length(tokens.lengths() > 0, session, bucket, value)


def _signed(hashes: HashArray, weight: int) -> IntArray:
    return weight * (1 - 2 * (hashes >> np.uint64(63)).astype(np.int64))


def _pair(left: HashArray, right: HashArray) -> HashArray:
    """A hash of two words in their order, modulo 2^64."""
    mixed: HashArray = (left * _ODD) ^ (right >> np.uint64(32)) ^ (right << np.uint64(32))
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _ODD
    return mixed ^ (mixed >> np.uint64(32))


def _unit_length(
    present: npt.NDArray[np.bool_], session: IntArray, bucket: IntArray, added: IntArray
) -> HashedRows:
    """Coordinates added up, then divided by the length, all from exact integers."""
    cells, place = np.unique(session * BUCKETS + bucket, return_inverse=True)
    value = np.zeros(len(cells), np.int64)
    np.add.at(value, place, added)
    session, bucket = np.divmod(cells, BUCKETS)
    squares = np.zeros(len(present), np.int64)
    np.add.at(squares, session, value * value)
    length = np.sqrt(np.maximum(squares, 1))[session]
    scaled = np.rint(value / length * ONE).astype(np.int64)
    return HashedRows(present, session, bucket, scaled)
