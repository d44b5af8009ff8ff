"""The e-detector against binomial likelihood ratios, its run length, delay and recovery."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from retraind.model import Counts
from retraind.rates.edetector import RISES, log_evidence, log_threshold, update
from retraind.rates.failrate import METHOD, METHOD_NO_REFERENCE, evaluate


def binary(failed: int, n: int) -> Counts:
    return Counts("rate", (0, 10**6), (n - failed, failed), results=n, failures=failed)


def test_evidence_is_the_recursion_over_likelihood_ratios() -> None:
    null, memory = 0.06, None
    expected = [0.0] * len(RISES)
    for failed, n in ((6, 100), (9, 80), (0, 40), (11, 90)):
        memory = update(memory, np.array([0.0, 1.0]), np.array([n - failed, failed]), null, 1e6)
        expected = [
            (1 + r) * stats.binom.pmf(failed, n, null * rise) / stats.binom.pmf(failed, n, null)
            for r, rise in zip(expected, (1.3, 1.6, 2.0, 3.0, 5.0), strict=True)
        ]
    assert memory is not None
    assert [math.exp(value) for value in memory] == pytest.approx(expected, rel=1e-9)
    assert math.exp(log_evidence(memory)) == pytest.approx(sum(expected) / 5, rel=1e-9)


@pytest.mark.parametrize("null", [1e-4, 0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_evidence_is_finite_and_fair_for_any_null(null: float, share: float) -> None:
    memory = update(None, np.array([share]), np.array([50.0]), null, 1e9)
    assert all(math.isfinite(value) for value in memory)
    # expectation of one session's factor under the null: (1 - p0) f(0) + p0 f(1) = 1
    zero = update(None, np.array([0.0]), np.array([1.0]), null, 1e9)
    one = update(None, np.array([1.0]), np.array([1.0]), null, 1e9)
    for low, high in zip(zero, one, strict=True):
        assert (1 - null) * math.exp(low) + null * math.exp(high) == pytest.approx(1.0)
        assert high > 0 > low


def test_threshold_by_hand() -> None:
    # 8760 hourly windows a year, 50 series, 4 false pages: A = 109500 windows
    assert log_threshold(4, 50, 8760) == pytest.approx(math.log(109_500))
    assert log_threshold(1000, 1, 10) == 0.0
    with pytest.raises(ValueError, match="positive"):
        log_threshold(0, 1, 1)


def test_run_length_under_the_null_is_at_least_the_threshold() -> None:
    rng = np.random.default_rng(41)
    wanted, longest, runs, null = 30, 200, 150, 0.1
    lengths = []
    for _ in range(runs):
        memory = None
        length = 0
        while length < longest:
            length += 1
            sizes = rng.integers(1, 4, 25)
            shares, counts = np.unique(rng.binomial(sizes, null) / sizes, return_counts=True)
            memory = update(memory, shares, counts.astype(float), null, math.log(wanted))
            if log_evidence(memory) >= math.log(wanted):
                break
        lengths.append(length)  # cut at `longest`, which only shortens the average
    error = np.std(lengths) / math.sqrt(runs)
    assert np.mean(lengths) + 3 * error >= wanted


def test_a_doubled_rate_is_found_and_a_steady_one_is_not() -> None:
    rng = np.random.default_rng(42)
    reference, limit = binary(100, 2000), math.log(1000)

    def first_alarm(p: float) -> int | None:
        memory = None
        for window in range(1, 41):
            result, memory = evaluate(
                binary(int(rng.binomial(100, p)), 100), reference, memory,
                tolerance=0.01, log_threshold=limit,
            )  # fmt: skip
            if result.alarmed:
                return window
        return None

    assert [first_alarm(0.05) for _ in range(20)] == [None] * 20
    delays = [first_alarm(0.10) for _ in range(20)]
    assert None not in delays
    assert np.median([delay for delay in delays if delay is not None]) <= 10
    assert [first_alarm(0.02) for _ in range(5)] == [None] * 5  # an improvement is no alarm


def test_a_long_outage_is_forgotten_within_a_few_good_windows() -> None:
    reference, memory, alarms = binary(100, 2000), None, []
    for failed in [60] * 100 + [5] * 5:
        result, memory = evaluate(
            binary(failed, 100), reference, memory, tolerance=0.01, log_threshold=math.log(1000)
        )
        alarms.append(result.alarmed)
    assert all(alarms[:100])
    assert not any(alarms[103:])


def test_result_and_memory() -> None:
    window, reference = binary(30, 300), binary(100, 2000)
    result, memory = evaluate(window, reference, None, tolerance=0.01, log_threshold=5.0)
    upper = stats.binomtest(100, 2000, alternative="less").proportion_ci(0.95, "exact").high
    assert (result.method, result.n, result.results, result.failures) == (METHOD, 300, 300, 30)
    assert result.rate == pytest.approx(0.1)
    assert result.lower < 0.1 < result.upper
    assert result.baseline_rate == pytest.approx(0.05)
    assert result.baseline_upper == pytest.approx(max(0.06, upper))
    assert result.log_threshold == 5.0
    assert result.log_e_value == pytest.approx(log_evidence(memory))
    assert tuple(json.loads(json.dumps(memory))) == memory
    for limit, alarmed in ((0.99, True), (1.01, False)):
        near, _ = evaluate(
            window, reference, None, tolerance=0.01, log_threshold=limit * result.log_e_value
        )
        assert near.alarmed is alarmed
    again, _ = evaluate(window, reference, memory, tolerance=0.01, log_threshold=5.0)
    assert again.log_e_value > result.log_e_value


@pytest.mark.parametrize("reference", [None, Counts("rate", (), ())])
def test_without_a_reference_there_is_a_rate_but_no_alarm(reference: Counts | None) -> None:
    result, memory = evaluate(
        binary(300, 300), reference, (1.0,) * 5, tolerance=0.01, log_threshold=0.0
    )
    assert result.method == METHOD_NO_REFERENCE
    assert result.rate == 1.0
    assert not result.alarmed
    assert math.isnan(result.baseline_rate)
    assert math.isnan(result.baseline_upper)
    assert math.isnan(result.log_e_value)
    assert memory == (1.0,) * 5
    _, empty = evaluate(binary(1, 9), None, None, tolerance=0.01, log_threshold=0.0)
    result, memory = evaluate(binary(1, 9), binary(1, 9), empty, tolerance=0.0, log_threshold=9.0)
    assert len(memory) == len(RISES)


def test_a_baseline_of_only_failures_cannot_be_exceeded() -> None:
    result, memory = evaluate(
        binary(50, 50), Counts("rate", (10**6,), (20,)), None, tolerance=0.01, log_threshold=0.5
    )
    assert result.baseline_upper == 1.0
    assert not result.alarmed
    assert memory == ()


def test_what_cannot_be_evaluated() -> None:
    with pytest.raises(ValueError, match="no sessions"):
        evaluate(Counts("rate", (), ()), None, None, tolerance=0.01, log_threshold=1.0)
    with pytest.raises(ValueError, match="another detector"):
        update((1.0, 2.0), np.array([1.0]), np.array([1.0]), 0.1, 1.0)
    with pytest.raises(ValueError, match="strictly between"):
        update(None, np.array([1.0]), np.array([1.0]), 1.0, 1.0)
