"""What people say about calls: feedback and its propensity, and ground truth for predictions.

A window's feedback is a rate: a session's share of negative feedback, `missing` sessions gave none.
That holds both series: how many say anything (propensity), and how many of those are displeased.
Where the first has changed, other people speak than before, and the second cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retraind.model import Counts, RateResult
from retraind.rates.edetector import Memory
from retraind.rates.failrate import evaluate
from retraind.rates.interval import MILLIONTHS


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """One window's feedback. `share` is None when nobody gave any.

    `propensity` is the rate of sessions with feedback and alarms when it rises; `fallen` is whether
    the detector of its fall alarms. `trustworthy` is whether neither does.
    """

    share: RateResult | None
    propensity: RateResult
    fallen: bool

    @property
    def trustworthy(self) -> bool:
        return not (self.propensity.alarmed or self.fallen)


FeedbackMemory = tuple[Memory, Memory, Memory]
"""Of the detectors of share, propensity and its fall."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Mean over sessions of the share of right predictions, with a 95 % interval."""

    n: int
    accuracy: float
    lower: float
    upper: float


def evaluate_feedback(
    window: Counts,
    reference: Counts | None,
    memory: FeedbackMemory | None,
    *,
    tolerance: float,
    log_threshold: float,
) -> tuple[FeedbackResult, FeedbackMemory]:
    """Results of a mature window (see retraind.rates.delay), and the memory for the next.

    Windows must not overlap, must come in order, and must be mature: propensity would seem to fall
    in others. Raises ValueError when the window has no sessions.
    """
    share_memory, rise_memory, fall_memory = memory or ((), (), ())
    known = reference if reference is not None and reference.n + reference.missing else None
    share = None
    if window.n:
        share, share_memory = evaluate(
            window, reference, share_memory, tolerance=tolerance, log_threshold=log_threshold
        )
    propensity, rise_memory = evaluate(
        any_feedback(window), known and any_feedback(known), rise_memory,
        tolerance=tolerance, log_threshold=log_threshold,
    )  # fmt: skip
    silence, fall_memory = evaluate(
        _halved_silence(window), known and _halved_silence(known), fall_memory,
        tolerance=tolerance / 2, log_threshold=log_threshold,
    )  # fmt: skip
    result = FeedbackResult(share, propensity, silence.alarmed)
    return result, (share_memory, rise_memory, fall_memory)


def any_feedback(window: Counts) -> Counts:
    """Propensity as a rate: 1 for each session with feedback, 0 for the missing ones."""
    return _binary(0, window.missing, MILLIONTHS, window.n)


def _halved_silence(window: Counts) -> Counts:
    """1/2 for each session without feedback.

    Most sessions are silent, and a rate near 1 has no room for the detector's rises by 30 % or
    more: all of them would look for near silence. Halved, they look for falls of propensity by
    about 30, 55 and 90 %. The guarantee holds for any values in [0, 1].
    """
    return _binary(0, window.n, MILLIONTHS // 2, window.missing)


def _binary(low: int, at_low: int, high: int, at_high: int) -> Counts:
    values, counts = np.array([low, high]), np.array([at_low, at_high])
    return Counts("rate", values[counts > 0], counts[counts > 0])


def wrong_predictions(wrong: npt.NDArray[np.int64], labelled: npt.NDArray[np.int64]) -> Counts:
    """Sessions' shares of wrong predictions: a wrong one is a failed evaluation.

    Both of shape (sessions,): predictions that the ground truth contradicts, and those whose ground
    truth is known; sessions with none are missing. Additive (`add_all`); evaluate it as any rate.
    Raises ValueError when more are wrong than labelled.
    """
    wrong, labelled = np.asarray(wrong, np.int64), np.asarray(labelled, np.int64)
    if (wrong < 0).any() or (wrong > labelled).any():
        raise ValueError("wrong predictions must be between none and all that are labelled")
    known = labelled > 0
    failed, judged = wrong[known], labelled[known]
    share = (2 * failed * MILLIONTHS + judged) // (2 * judged)  # nearest, halves up
    values, counts = np.unique(share, return_counts=True)
    return Counts(
        "rate", values, counts, missing=int((~known).sum()), total=int(share.sum()),
        total_squares=int(np.rint((share / 1000.0) ** 2).sum()),
        results=int(judged.sum()), failures=int(failed.sum()),
    )  # fmt: skip


def accuracy(result: RateResult) -> Accuracy:
    """The accuracy of a window whose wrong predictions have this rate."""
    return Accuracy(result.n, 1 - result.rate, 1 - result.upper, 1 - result.lower)
