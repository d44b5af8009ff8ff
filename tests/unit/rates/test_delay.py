"""Reporting delay against exact distributions, hand counts and a simulation of late feedback."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from retraind.model import Counts
from retraind.rates.delay import Reported, adjusted, lag_counts, reported
from retraind.window.buckets import bucket
from retraind.window.counts import add_all

HOUR = 3600.0


def lags(hours: object) -> Counts:
    values, counts = np.unique(bucket(np.asarray(hours, float) * HOUR), return_counts=True)
    return Counts("number", values, counts)


def binary(ones: int, n: int) -> Counts:
    return Counts("rate", np.array([0, 10**6]), np.array([n - ones, ones]))


def test_only_calls_beyond_the_horizon_tell_about_delay() -> None:
    found = lag_counts(
        np.array([0.5, 3, 3, 200, 1]) * HOUR, np.array([200, 168, 167, 300, 500]) * HOUR, 168 * HOUR
    )
    # the third is too young, the fourth came too late
    assert found == lags([0.5, 3, 1])


def test_share_reported_by_hand() -> None:
    known = lags([1] * 6 + [5] * 3 + [20])
    # F(2 h) = .6, F(10 h) = .9, F(30 h) = 1
    assert reported(known, [2 * HOUR], [7]).share == pytest.approx(0.6)
    assert reported(known, [10 * HOUR], [7]).share == pytest.approx(0.9)
    mixed = reported(known, [2 * HOUR, 30 * HOUR, 0.1 * HOUR], [10, 20, 10])
    assert mixed.share == pytest.approx((10 * 0.6 + 20 * 1 + 10 * 0) / 40)
    assert mixed.lags == 10
    # a lag as long as the window is old has arrived
    assert reported(known, [5 * HOUR], [7]).share == pytest.approx(0.9)
    assert 0 <= mixed.lower < mixed.share < mixed.upper <= 1


def test_maturity_takes_nine_tenths_and_thirty_lags() -> None:
    known = [1] * 27 + [10] * 3
    assert reported(lags(known), [5 * HOUR], [1]).mature
    assert not reported(lags([*known, 10]), [5 * HOUR], [1]).mature  # 27 of 31
    assert not reported(lags(known[1:]), [50 * HOUR], [1]).mature  # 29 lags


def test_nothing_known_is_said_as_such() -> None:
    nothing = reported(lags([]), [HOUR], [3])
    assert math.isnan(nothing.share)
    assert (nothing.lower, nothing.upper, nothing.mature) == (0.0, 1.0, False)
    estimate = adjusted(binary(3, 10), nothing)
    assert math.isnan(estimate.rate)
    assert (estimate.lower, estimate.upper) == (0.0, 1.0)
    assert math.isnan(adjusted(binary(0, 10), reported(lags([5]), [HOUR], [3])).rate)
    with pytest.raises(ValueError, match="no sessions"):
        reported(lags([1]), [HOUR], [0])


def test_the_adjusted_rate_divides_by_the_share_reported() -> None:
    half = Reported(lags=1000, share=0.5, lower=0.45, upper=0.55)
    estimate = adjusted(binary(40, 1000), half)
    assert estimate.rate == pytest.approx(0.08)
    # wider than the exact interval of 40 / 1000, stretched by the same factor
    exact = stats.binomtest(40, 1000).proportion_ci(0.95)
    assert estimate.lower < exact.low / 0.5 < 0.08 < exact.high / 0.5 < estimate.upper
    assert adjusted(binary(900, 1000), half).rate == 1.0


def test_the_interval_knows_that_the_share_reported_is_an_estimate() -> None:
    rough = Reported(lags=50, share=0.5, lower=0.4, upper=0.6)
    estimate = adjusted(binary(40_000, 1_000_000), rough)
    assert 0.04 * 0.97 / 0.6 < estimate.lower < 0.04 / 0.6
    assert 0.04 / 0.4 < estimate.upper < 0.04 * 1.03 / 0.4


def test_the_estimate_covers_what_comes_later() -> None:
    """Lags are exponential with a mean of 20 h; windows of calls 1 to 24 h old; truth 6 %."""
    rng = np.random.default_rng(17)
    truth, covered, runs, error = 0.06, 0, 200, []
    ages = np.arange(1.0, 25.0) * HOUR
    for _ in range(runs):
        known = lag_counts(rng.exponential(20, 400) * HOUR, np.full(400, 400 * HOUR), 336 * HOUR)
        speaks = rng.random((24, 60)) < truth
        there = speaks & (rng.exponential(20, (24, 60)) * HOUR <= ages[:, None])
        arrived = reported(known, ages.tolist(), [60] * 24)
        assert arrived.share == pytest.approx(np.mean(1 - np.exp(-ages / HOUR / 20)), abs=0.07)
        estimate = adjusted(binary(int(there.sum()), 1440), arrived)
        covered += estimate.lower <= truth <= estimate.upper
        error.append(estimate.rate - truth)
    assert covered >= 0.95 * runs
    assert abs(np.mean(error)) < 0.003  # unadjusted it would be 0.06 * 0.41 = 0.025 too low


def test_lags_add_up() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.exponential(5, 60), rng.exponential(9, 70)
    assert add_all([lags(one), lags(two)]) == lags(np.concatenate([one, two]))
