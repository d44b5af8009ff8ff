"""The share of a session's words that are new: the fastest sign of new products and topics.

The vocabulary is frozen from four fifths of the reference's sessions; the last fifth and the
windows are looked up in it, so that both have the same share of rare words by chance. A share per
session, since words of one session come together: tests that count words give 10 to 20 % false
alarms at a level of 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from retraind.drift.bins import IntArray
from retraind.drift.frozen import NotTested, content_id, held_out, pack, unpack
from retraind.drift.text_tokens import Tokens, once_a_session

METHOD = "oov-share/welch/v1"
MILLION = 1_000_000
HELD_OUT_ONE_IN = 5
"""The vocabulary takes most of the reference: what a thin one does not know hides what is new."""
SMALLEST_REFERENCE = 2800
"""Sessions with text. Simulated with new words in 10 % of messages and n = 200, p < .01 (p < .001)
is reached in 97 % (85 %) of windows with 5000 sessions, 83 % (54 %) with 2800, 57 % (23 %) with
2000. With equal halves it would be 91, 63 and 39 %."""
MAX_WORDS = 1 << 17


@dataclass(frozen=True, slots=True)
class ShareSums:
    """Shares of unknown words of n sessions, added up: total and total of squares in millionths."""

    parts: str
    n: int
    total: int
    total_squares: int

    def __add__(self, other: ShareSums) -> ShareSums:
        if self.parts != other.parts:
            raise ValueError("these are shares of vocabularies of different references")
        return ShareSums(
            self.parts,
            self.n + other.n,
            self.total + other.total,
            self.total_squares + other.total_squares,
        )

    @property
    def mean(self) -> float:
        return self.total / self.n / MILLION

    @property
    def variance_of_mean(self) -> float:
        squares = self.total_squares * MILLION * self.n - self.total**2
        return max(0, squares) / (self.n**2 * (self.n - 1)) / MILLION**2


@dataclass(frozen=True, slots=True)
class ShareResult:
    """Mean share of unknown words in a window and in its reference, and whether it has risen.

    `statistic` is Welch's t with `degrees_of_freedom`, `p_value` one-sided. `lower` is the lower
    end of the 95 % interval of the rise.
    """

    method: str
    n: int
    m: int
    statistic: float
    degrees_of_freedom: float
    p_value: float
    share: float
    reference_share: float
    lower: float


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Hashes of the words that the reference's sessions have used, but for those held out.

    Sorted and distinct.
    """

    key: str
    sessions: int
    hashes: npt.NDArray[np.uint64]
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", content_id(self.to_bytes()))

    def to_bytes(self) -> bytes:
        """For the table of references, at most 1 MiB; `from_bytes` reads it."""
        fields = {"key": self.key, "sessions": self.sessions}
        return pack(METHOD, fields, {"hashes": self.hashes})

    @classmethod
    def from_bytes(cls, packed: bytes) -> Vocabulary:
        """Raises StoreError when these are not the bytes of a Vocabulary."""
        fields, arrays = unpack(METHOD, packed)
        return cls(fields["key"], fields["sessions"], arrays["hashes"])

    def unknown(self, tokens: Tokens) -> npt.NDArray[np.bool_] | NotTested:
        """Whether each word is new, shape (words,)."""
        if tokens.key != self.key:
            return NotTested("not_comparable", "the words were hashed with another key")
        place = np.searchsorted(self.hashes, tokens.hashes)
        place[place == len(self.hashes)] = 0
        new: npt.NDArray[np.bool_] = self.hashes[place] != tokens.hashes
        return new

    def sums(
        self, tokens: Tokens, unknown: npt.NDArray[np.bool_], groups: IntArray, count: int
    ) -> list[ShareSums]:
        """The sums of each of `count` groups; `groups`, shape (n,), has each session's.

        Sessions without words have no share. The reference's own are those held out.
        """
        lengths = tokens.lengths()
        present = lengths > 0
        new = np.bincount(tokens.sessions()[unknown], minlength=len(tokens))[present]
        words, groups = lengths[present], groups[present]
        share = (2 * new * MILLION + words) // (2 * words)
        square = (2 * new * new * MILLION + words * words) // (2 * words * words)
        sums = np.zeros((count, 3), np.int64)
        np.add.at(sums, groups, np.stack((np.ones_like(share), share, square), axis=1))
        return [ShareSums(self.id, *row) for row in sums.tolist()]

    def compare(self, reference: ShareSums, current: ShareSums) -> ShareResult | NotTested:
        """Welch's t-test (1947) of a rise, by session."""
        if reference.parts != self.id or current.parts != self.id:
            return NotTested("not_comparable", "the shares are those of another vocabulary")
        n, m = current.n, reference.n
        if min(n, m) < 2:
            return NotTested("too_few_sessions", f"{n} current and {m} reference sessions")
        rise = current.mean - reference.mean
        a, b = current.variance_of_mean, reference.variance_of_mean
        freedom = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1)) if a + b else n + m - 2.0
        error = max(math.sqrt(a + b), 1 / MILLION)  # shares are rounded to that
        statistic = rise / error
        return ShareResult(
            method=METHOD,
            n=n,
            m=m,
            statistic=statistic,
            degrees_of_freedom=freedom,
            p_value=float(special.stdtr(freedom, -statistic)),
            share=current.mean,
            reference_share=reference.mean,
            lower=rise - float(special.stdtrit(freedom, 0.95)) * error,
        )


def freeze_vocabulary(tokens: Tokens, session_ids: Sequence[str]) -> Vocabulary | NotTested:
    """The vocabulary of the sessions that are not held out.

    Of more than 131,072 words those of most sessions are kept, which holds for both sides of the
    comparison. Refuses when the whole reference has fewer than 2800 sessions with text.
    """
    present = tokens.lengths() > 0
    if (have := int(present.sum())) < SMALLEST_REFERENCE:
        return NotTested(
            "reference_too_small", f"{have} sessions with text; {SMALLEST_REFERENCE} are needed"
        )
    own = tokens.take(np.flatnonzero(present & ~held_out(session_ids, HELD_OUT_ONE_IN)))
    _, hashes = once_a_session(own.sessions(), own.hashes)
    words, times = np.unique(hashes, return_counts=True)
    kept = np.lexsort((words, -times))[:MAX_WORDS]
    return Vocabulary(tokens.key, len(own), np.sort(words[kept]))
