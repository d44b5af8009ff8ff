"""The e-detector's own promise: an alarm comes no sooner than every A windows on average.

Run at the edge of the promise, with the true mean equal to the null mean, once with calls that fail
independently and once with sessions whose shares of failed calls differ (ICC 0.3).
"""

from __future__ import annotations

import math

import numpy as np

from retraind.rates.edetector import log_evidence, update

from .gates import mean_at_least
from .section import Digest, Section, Size, generator, progress

NULL = 0.06
LENGTH = 100.0
"""A, in windows."""
SESSIONS = 100
RUNS = {"full": 1000, "quick": 150, "test": 20}
ICC = 0.3
CALLS = 8


def run(seed: int, size: Size) -> Section:
    section = Section(f"Run length of the e-detector at its null rate, in windows; A = {LENGTH:g}")
    section.header = ["values", "runs", "mean", "median", "shortest"]
    digest = Digest()
    for name in ("one call a session", f"shares of {CALLS} calls, ICC {ICC:g}"):
        lengths = []
        for number in progress(range(RUNS[size]), name):
            rng = generator(seed, "run length", name, number)
            lengths.append(_length(rng, correlated="ICC" in name))
        digest.add(lengths)
        middle, shortest = np.median(lengths), min(lengths)
        section.rows.append([
            name, str(len(lengths)), f"{np.mean(lengths):.0f}", f"{middle:.0f}", str(shortest)
        ])  # fmt: skip
        section.gates.append(mean_at_least(f"run length: {name}", lengths, LENGTH))
    section.digest = digest.text()
    return section


def _length(rng: np.random.Generator, *, correlated: bool) -> int:
    """Windows until the first alarm."""
    memory, number, limit = None, 0, math.log(LENGTH)
    while memory is None or log_evidence(memory) < limit:
        values = _shares(rng, correlated=correlated)
        memory = update(memory, values, np.ones(len(values)), NULL, limit)
        number += 1
    return number


def _shares(rng: np.random.Generator, *, correlated: bool) -> np.ndarray:
    """Each session's share of failed calls, mean NULL."""
    if not correlated:
        return (rng.random(SESSIONS) < NULL).astype(np.float64)
    scale = (1 - ICC) / ICC  # of a beta distribution with this intra-session correlation
    propensity = rng.beta(NULL * scale, (1 - NULL) * scale, SESSIONS)
    return rng.binomial(CALLS, propensity) / CALLS
