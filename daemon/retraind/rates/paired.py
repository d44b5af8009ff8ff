"""Two scores of the same items: mean difference, Student's t, and the number of items it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy import special

from retraind.rates.interval import MILLIONTHS

POWER = 0.9


@dataclass(frozen=True, slots=True)
class Paired:
    """`n` differences in units of the score: their mean and standard deviation (n - 1)."""

    n: int
    mean: float
    sd: float

    @property
    def standard_error(self) -> float:
        return self.sd / math.sqrt(self.n)

    def upper_p(self) -> float:
        """One-sided p of "the mean is above 0": Student's t with n - 1 degrees of freedom.

        If nothing has changed, the two scores of an item are exchangeable, so differences are
        symmetric about 0, and t holds its level for small n, too. Differences that are all alike
        have no spread to hold the mean against: p is 0, 1/2 or 1 by its sign.
        """
        if self.sd == 0:
            return 0.5 - 0.5 * ((self.mean > 0) - (self.mean < 0))
        return float(special.stdtr(self.n - 1, -self.mean / self.standard_error))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided bounds of the mean by Student's t."""
        half = float(special.stdtrit(self.n - 1, (1 + confidence) / 2)) * self.standard_error
        return self.mean - half, self.mean + half


def paired(differences: Iterable[float]) -> Paired:
    """Sums are of whole millionths, so they do not depend on the order of the items.

    Raises ValueError for fewer than two differences.
    """
    whole = [round(value * MILLIONTHS) for value in differences]
    n, total, squares = len(whole), sum(whole), sum(value * value for value in whole)
    if n < 2:
        raise ValueError("at least two pairs are needed")
    variance = (n * squares - total * total) / (n * (n - 1))
    return Paired(n, total / (n * MILLIONTHS), math.sqrt(variance) / MILLIONTHS)


def needed_items(sd: float, difference: float, alpha: float) -> int:
    """Items with which a mean difference is found at level `alpha`, one-sided, with power 0.9.

    ((z_alpha + z_power) sd / difference)^2, from the normal approximation of the t test.
    """
    z = float(special.ndtri(1 - alpha) + special.ndtri(POWER))
    return math.ceil((z * sd / difference) ** 2)
