"""The short notation of series, against hand-written hours and scipy's distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from retraind.monitor_tests.notation import Apportion, Distribution, Shares, parse

NORMAL = Distribution("normal", (900.0, 200.0))


@pytest.mark.parametrize(("text", "hours"), [
    ("60", [60.0]),
    ("60x3", [60.0] * 3),
    ("0.05x2 0.20x1", [0.05, 0.05, 0.2]),
    ("3+0.5x4", [3.0, 3.5, 4.0, 4.5]),
    ("10-3x3", [10.0, 7.0, 4.0]),
    ("_x2 1", [None, None, 1.0]),
    ("normal(900,200)x2", [NORMAL] * 2),
    ("normal(900, 200)", [NORMAL]),
    ("(1x2 _)x2 5", [1.0, 1.0, None, 1.0, 1.0, None, 5.0]),
    ("((1 2)x2 3)x2", [1.0, 2.0, 1.0, 2.0, 3.0] * 2),
    ("{stop: 95, length: 5}x2", [Shares({"stop": 95.0, "length": 5.0})] * 2),
    ("{'a: b': 1}", [Shares({"a: b": 1.0})]),
    ("-4e-1", [-0.4]),
])  # fmt: skip
def test_lines(text: str, hours: list[object]) -> None:
    assert parse(text) == hours


def test_counts_have_units() -> None:
    assert [len(parse(f"1x{count}")) for count in ("5", "5h", "2d", "1w")] == [5, 5, 48, 168]


@pytest.mark.parametrize(("text", "said"), [
    ("", "is empty"), ("normal(900)", "write normal(mean, sd)"), ("gauss(1, 2)", "normal, "),
    ("{stop}", "write {stop: 95, length: 5}"), ("{stop: 0}", "no weight above 0"),
    ("1x2y", "not expected here"), ("(1x2", "without ')'"), ("1)", "not expected here"),
    ("abc", "does not begin with a value"), ("1x999999999", "366d"), ("(1x9999)x9999", "366d"),
    ("normal(1, nan)", "write normal(mean, sd)"), ("1,2", "not expected here"),
])  # fmt: skip
def test_what_cannot_be_read_is_told_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse(text)
    assert said in str(raised.value)


@pytest.mark.parametrize(("text", "frozen"), [
    ("normal(900, 200)", stats.norm(900, 200)),
    ("lognormal(300, 0.5)", stats.lognorm(0.5, scale=300)),
    ("uniform(-1, 3)", stats.uniform(-1, 4)),
    ("exponential(40)", stats.expon(scale=40)),
])  # fmt: skip
def test_a_distribution_gives_its_own_quantiles(text: str, frozen: object) -> None:
    """By the Kolmogorov distance, which is at most 1/n for evenly spaced quantiles of n."""
    (value,) = parse(text)
    assert isinstance(value, Distribution)
    for hour in range(5):
        sample = value.sample(40, hour)
        assert stats.kstest(sample, frozen.cdf).statistic <= 1 / 40 + 1e-9  # type: ignore[attr-defined]
    together = np.concatenate([value.sample(40, hour) for hour in range(50)])
    assert len(np.unique(together)) == 2000
    assert stats.kstest(together, frozen.cdf).statistic < 1 / 400  # type: ignore[attr-defined]


def test_shares_that_do_not_come_out_even_are_made_up_for() -> None:
    apportion = Apportion()
    hours = [apportion.hour({"fail": 0.05, "pass": 0.95}, 30)["fail"] for _ in range(4)]
    assert sum(hours) == 6  # 1.5 an hour
    assert set(hours) == {1, 2}


@given(
    weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=6),
    hours=st.lists(st.integers(0, 500), min_size=1, max_size=30),
)
def test_apportioned_counts_add_up_and_stay_close_to_their_shares(
    weights: list[float], hours: list[int]
) -> None:
    shares = {f"c{i}": weight for i, weight in enumerate(weights)}
    apportion, given_ = Apportion(), dict.fromkeys(shares, 0)
    for n in hours:
        counts = apportion.hour(shares, n)
        assert sum(counts.values()) == n
        assert min(counts.values()) >= 0
        for name, count in counts.items():
            given_[name] += count
    for name, weight in shares.items():
        exact = sum(hours) * weight / sum(weights)
        assert abs(given_[name] - exact) <= len(weights) + 1
