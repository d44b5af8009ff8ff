"""How often the golden-set rule and the accuracy of a classical model alarm, rightly and wrongly.

Expected rates come from the noncentral t distribution and the promised run length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from retraind.model import Counts
from retraind.rates.edetector import Memory, log_threshold
from retraind.rates.failrate import evaluate
from retraind.rates.golden import GoldenResult, GoldenRun, alarms, compare_run
from retraind.rates.labels import wrong_predictions
from retraind.rates.roc import AucResult, roc_auc
from retraind.window.buckets import bucket

FloatArray = npt.NDArray[np.float64]
TABLE = [(0.15, 118), (0.2, 209), (0.3, 469), (0.4, 834)]
"""Standard deviation of the differences, and the items it takes."""


def golden(scores: FloatArray) -> GoldenRun:
    return GoldenRun("set", "judge", {str(i): v for i, v in enumerate(scores.tolist())})


def scheduled(
    rng: np.random.Generator, items: int, sd: float, drops: Sequence[float]
) -> list[GoldenResult]:
    """An accepted run and those after it, each with noise of its own, so differences have `sd`."""
    level = rng.uniform(0.45, 0.5, items)

    def run(drop: float) -> GoldenRun:
        noise = rng.choice([-1.0, 1.0], items) * sd / math.sqrt(2)
        return golden(level - drop + noise)

    accepted = run(0.0)
    return [compare_run(accepted, run(drop)) for drop in drops]


def power(items: int, effect: float) -> float:
    """Of the one-sided paired t test at p < .01."""
    critical = stats.t.ppf(0.99, items - 1)
    return float(stats.nct.sf(critical, items - 1, effect * math.sqrt(items)))


@pytest.mark.parametrize(("sd", "items"), TABLE)
def test_a_golden_set_of_the_needed_size(sd: float, items: int) -> None:
    """0.05 is significant in 90 %, but below the limit in half; 0.068 is found in 90 %."""
    rng = np.random.default_rng(31)
    sets, runs = 150, 2
    null = [scheduled(rng, items, sd, [0.0] * runs) for _ in range(sets)]
    assert not any(any(alarms(results)) for results in null)
    false = sum(result.outcome == "drop" for results in null for result in results)
    limit = stats.norm.sf(0.05 * math.sqrt(items) / sd)  # 1.5 in 10,000
    assert stats.binomtest(false, sets * runs, limit, "greater").pvalue > 1e-3

    at_limit = [scheduled(rng, items, sd, [0.05])[0] for _ in range(2 * sets)]
    significant = sum(result.p_value < 0.01 for result in at_limit)
    shown = sum(result.outcome == "drop" for result in at_limit)
    assert stats.binomtest(significant, 2 * sets, power(items, 0.05 / sd)).pvalue > 1e-3
    assert stats.binomtest(shown, 2 * sets, 0.5).pvalue > 1e-3

    more = 0.05 + stats.norm.ppf(0.9) * sd / math.sqrt(items)
    found = sum(scheduled(rng, items, sd, [more])[0].outcome == "drop" for _ in range(2 * sets))
    assert stats.binomtest(found, 2 * sets, 0.9).pvalue > 1e-3


@pytest.mark.parametrize(("sd", "items"), [(0.3, 50), (0.3, 100), (0.15, 30)])
def test_a_small_golden_set_is_refused_and_does_not_cry_wolf(sd: float, items: int) -> None:
    """A drop that it shows counts at any size, so that must be as rare as p says."""
    rng = np.random.default_rng(32)
    sets = 1500
    null = [scheduled(rng, items, sd, [0.0, 0.0]) for _ in range(sets)]
    drops = sum(result.outcome == "drop" for results in null for result in results)
    # two runs share one accepted run, so half of these trials count as independent
    assert stats.binomtest(drops // 2, sets, 0.01, "greater").pvalue > 1e-3
    both = sum(any(alarms(results)) for results in null)
    assert both <= 6  # correlated 1/2: P(both z > 2.33) = .0013, twice that is 4
    quiet = [result for results in null for result in results if result.outcome != "drop"]
    refused = sum(result.outcome == "too_small" for result in quiet)
    assert refused > 0.99 * len(quiet)


WINDOW, REFERENCE = 280, 2800
LIMIT = log_threshold(1, 50, 8760)
"""One false page a year over 50 series with hourly windows."""


class Model:
    """Scores of a classifier: normal, positives higher by what gives an AUC (binormal)."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def traffic(self, n: int, auc: float) -> tuple[Counts, AucResult]:
        """Wrong predictions of n sessions, three in ten of them positive, and the window's AUC."""
        positive = self.rng.random(n) < 0.3
        shift = stats.norm.ppf(auc) * math.sqrt(2) * positive
        score = stats.norm.cdf(self.rng.normal(0, 1, n) + shift)
        wrong = (score > 0.9) != positive
        counts = wrong_predictions(wrong.astype(np.int64), np.ones(n, np.int64))
        return counts, roc_auc(_counted(score[positive]), _counted(score[~positive]))


def _counted(scores: FloatArray) -> Counts:
    values, counts = np.unique(bucket(scores), return_counts=True)
    return Counts("score", values, counts)


def watch(seed: int, aucs: Sequence[float]) -> tuple[int | None, list[AucResult]]:
    """Index of the first alarm, and the AUC of each window."""
    model = Model(seed)
    reference, _ = model.traffic(REFERENCE, 0.91)
    memory: Memory | None = None
    first, results = None, []
    for index, auc in enumerate(aucs):
        window, found = model.traffic(WINDOW, auc)
        result, memory = evaluate(window, reference, memory, tolerance=0.01, log_threshold=LIMIT)
        first = index if first is None and result.alarmed else first
        results.append(found)
    return first, results


def test_a_model_that_decays_is_caught_by_its_accuracy() -> None:
    """From .91 to .78 over 20 windows, or at once; before, nothing fires."""
    steady, slow = [0.91] * 10, np.linspace(0.91, 0.78, 20).tolist()
    gradual = [watch(seed, [*steady, *slow, *[0.78] * 10]) for seed in range(12)]
    delays = [first for first, _ in gradual if first is not None]
    assert len(delays) == 12
    assert min(delays) >= 10
    assert np.median(delays) <= 30  # by the end of the decline
    abrupt = [watch(seed, [*steady, *[0.78] * 12])[0] for seed in range(12)]
    assert all(first is not None and 10 <= first < 22 for first in abrupt)
    assert np.median([first for first in abrupt if first is not None]) <= 15


def test_the_auc_of_the_windows_follows() -> None:
    _, results = watch(40, [*[0.91] * 40, *[0.78] * 40])
    for truth, windows in ((0.91, results[:40]), (0.78, results[40:])):
        inside = sum(r.lower is not None and r.lower <= truth <= (r.upper or 0) for r in windows)
        assert stats.binomtest(inside, 40, 0.95).pvalue > 1e-3
        assert np.mean([r.auc for r in windows if r.auc is not None]) == pytest.approx(
            truth, abs=0.02
        )
        assert max(r.discretisation for r in windows) < 0.01


def test_a_model_that_does_not_decay_stays_quiet() -> None:
    assert [watch(seed, [0.91] * 50)[0] for seed in range(100, 130)] == [None] * 30
