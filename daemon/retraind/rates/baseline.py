"""The fail rate that a series is held against."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

from retraind.model import Counts
from retraind.rates.interval import CONFIDENCE, MILLIONTHS, upper_bound


@dataclass(frozen=True, slots=True)
class Baseline:
    """A reference's rate, and the detector's null rate p0*, which should not be below the truth."""

    rate: float
    null: float


def mean(counts: Counts) -> float:
    """Mean over sessions of a rate or score. Raises ValueError when there is none."""
    n = counts.n
    if n == 0:
        raise ValueError("no sessions to take a mean of")
    if counts.kind == "rate":
        total = int(counts.values @ counts.counts)
    elif counts.kind == "score":
        total = counts.total
    else:
        raise ValueError(f"a {counts.kind} has no mean here")
    return float(total / (n * MILLIONTHS))


def baseline(reference: Counts, *, tolerance: float) -> Baseline:
    """The mean of a rate's reference, and max(mean + tolerance, 95 % upper limit), at most 1.

    The point estimate would not do: where it lies below the truth, by luck of a short reference,
    the detector's false alarms have no bound. The limit is Clopper and Pearson's when every session
    failed wholly or not at all, else the upper end of a betting interval.
    """
    rate = mean(reference)
    return Baseline(rate, min(1.0, max(rate + tolerance, upper_limit(reference))))


def upper_limit(reference: Counts) -> float:
    """One-sided 95 % upper limit of the mean of a rate's values."""
    if not set(reference.values) <= {0, MILLIONTHS}:
        return upper_bound(reference, CONFIDENCE)
    n = reference.n
    failed = dict(zip(reference.values, reference.counts, strict=True)).get(MILLIONTHS, 0)
    return 1.0 if failed == n else float(special.betaincinv(failed + 1, n - failed, CONFIDENCE))
