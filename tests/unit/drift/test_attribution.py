"""What moved: residuals against scipy, the split by hand, and sessions in a fixed order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from retraind.drift.attribution import (
    movements,
    rank_features,
    shape_words,
    split_change,
    telling_sessions,
)
from retraind.drift.categories import compare_categories
from retraind.drift.compare import compare
from retraind.model import Counts


def category(**table: int) -> Counts:
    rows = sorted(table.items())
    return Counts(
        "category", np.array([k for k, _ in rows], object), np.array([v for _, v in rows])
    )


def rate(failed: int, n: int) -> Counts:
    return Counts("rate", np.array([0, 10**6]), np.array([n - failed, failed]))


def score(values: list[float]) -> Counts:
    millionths = [round(v * 10**6) for v in values]
    return Counts(
        "score", np.array([1]), np.array([len(values)]), total=sum(millionths),
        total_squares=sum(round((v / 1000) ** 2) for v in millionths),
    )  # fmt: skip


def test_residuals_are_those_of_each_category_against_the_rest() -> None:
    before, now = {"a": 500, "b": 300, "c": 200}, {"a": 70, "b": 60, "c": 70}
    found = {part.label: part for part in movements(compare(category(**before), category(**now)))}
    for label in "abc":
        table = [[now[label], 200 - now[label]], [before[label], 1000 - before[label]]]
        expected = stats.chi2_contingency(table, correction=False).statistic
        assert found[label].residual ** 2 == pytest.approx(expected, rel=1e-9)
        assert (found[label].residual > 0) == (now[label] / 200 > before[label] / 1000)
    assert sum(part.part for part in found.values()) == pytest.approx(1.0)
    # smoothed by half a session: c from 200.5/1001.5 to 70.5/201.5
    assert found["c"].current_share == pytest.approx(70.5 / 201.5)
    assert found["c"].contribution == pytest.approx(
        (70.5 / 201.5 - 200.5 / 1001.5) * math.log((70.5 / 201.5) / (200.5 / 1001.5))
    )
    assert max(found.values(), key=lambda part: part.part).label == "c"


def test_samples_that_are_alike_have_no_movement() -> None:
    parts = movements(compare_categories(category(a=60, b=40), category(a=60, b=40)))
    assert all(part.residual == part.part == 0 for part in parts)
    (only,) = movements(compare_categories(category(a=60), category(a=30)))
    assert (only.residual, only.part) == (0.0, 0.0)


def test_features_are_ranked_by_what_is_left_of_psi_after_noise() -> None:
    reference = category(a=500, b=500)
    results = {
        "same": compare(reference, category(a=100, b=100)),
        "also the same": compare(reference, category(a=100, b=100)),
        "much": compare(reference, category(a=180, b=20)),
        "some": compare(reference, category(a=130, b=70)),
    }
    assert rank_features(results) == ["much", "some", "also the same", "same"]


def test_a_moved_mix_is_not_a_change_within() -> None:
    """Simpson: free users fail in 20 %, paid ones in 5 %, as before, but there are more free ones.

    Shares .2 -> .6 free: .2 * .2 + .8 * .05 = .08 becomes .6 * .2 + .4 * .05 = .14.
    """
    before = {"free": rate(40, 200), "paid": rate(40, 800)}
    after = {"free": rate(120, 600), "paid": rate(20, 400)}
    found = split_change(before, after)
    assert found.change == pytest.approx(0.06)
    assert found.mix == pytest.approx(0.06)
    assert found.within == pytest.approx(0.0)
    assert found.within_p == pytest.approx(1.0)


def test_the_split_by_hand() -> None:
    before = {"emea": rate(10, 100), "apac": rate(60, 300)}
    after = {"emea": rate(60, 200), "apac": rate(40, 200)}
    found = split_change(before, after)
    # means .1, .2 -> .3, .2; shares .25, .75 -> .5, .5; 70 of 400 -> 100 of 400
    assert found.change == pytest.approx(100 / 400 - 70 / 400)
    assert found.mix == pytest.approx(0.25 * 0.2 - 0.25 * 0.2)
    assert found.within == pytest.approx(0.375 * 0.2 + 0.625 * 0.0)
    emea, apac = found.cohorts
    assert (emea.cohort, emea.reference_mean, emea.current_mean) == ("emea", 0.1, 0.3)
    assert (emea.reference_share, emea.current_share) == (0.25, 0.5)
    assert emea.within == pytest.approx(0.075)
    # against the mean of both overall means, (.175 + .25) / 2
    assert emea.mix == pytest.approx(0.25 * (0.2 - 0.2125))
    assert apac.mix == pytest.approx(-0.25 * (0.2 - 0.2125))
    # pooled binary variance p (1 - p) N / (N - 1): 70 of 300 and 100 of 500
    emea_v = (70 / 300) * (230 / 300) * 300 / 299 * (1 / 100 + 1 / 200)
    apac_v = (100 / 500) * (400 / 500) * 500 / 499 * (1 / 300 + 1 / 200)
    error = math.sqrt(0.375**2 * emea_v + 0.625**2 * apac_v)
    assert found.within_error == pytest.approx(error)
    assert found.within_p == pytest.approx(2 * stats.norm.sf(0.075 / error))


def test_one_cohort_of_scores_is_the_pooled_two_sample_comparison() -> None:
    rng = np.random.default_rng(4)
    before = np.round(rng.uniform(0.2, 0.8, 150), 3).tolist()
    after = np.round(rng.uniform(0.3, 0.9, 90), 3).tolist()
    found = split_change({"all": score(before)}, {"all": score(after)})
    spread = np.std(before + after, ddof=1) * math.sqrt(1 / 150 + 1 / 90)
    assert found.change == pytest.approx(np.mean(after) - np.mean(before))
    assert (found.mix, found.within) == (0.0, pytest.approx(found.change))
    assert found.within_error == pytest.approx(spread, rel=1e-5)


def test_a_cohort_that_comes_or_goes_is_mix() -> None:
    before = {"a": rate(5, 100), "gone": rate(50, 100)}
    after = {"a": rate(5, 100), "new": rate(1, 1)}
    found = split_change(before, after)
    assert found.change == pytest.approx(6 / 101 - 55 / 200)
    assert found.within == pytest.approx(0.0)
    assert found.mix == pytest.approx(found.change)
    means = {c.cohort: (c.reference_mean, c.current_mean) for c in found.cohorts}
    assert means["gone"] == (0.5, 0.5)
    assert means["new"] == (1.0, 1.0)


def test_a_change_without_any_spread_is_certain() -> None:
    assert split_change({"a": rate(0, 9)}, {"a": rate(0, 9)}).within_p == 1.0


def test_a_split_needs_sessions_and_means() -> None:
    with pytest.raises(ValueError, match="no sessions"):
        split_change({"a": rate(1, 5)}, {})
    with pytest.raises(ValueError, match="no mean"):
        split_change({"a": category(x=1)}, {"a": category(x=1)})


def test_level_of_the_within_test_when_only_the_mix_moves() -> None:
    rng = np.random.default_rng(8)
    runs, flagged = 1000, 0
    for _ in range(runs):
        before = {
            k: rate(int(rng.binomial(n, p)), n) for k, n, p in (("a", 400, 0.3), ("b", 1600, 0.1))
        }
        after = {
            k: rate(int(rng.binomial(n, p)), n) for k, n, p in (("a", 200, 0.3), ("b", 100, 0.1))
        }
        flagged += split_change(before, after).within_p < 0.05
    assert stats.binomtest(flagged, runs, 0.05).pvalue > 1e-3


def test_the_sessions_that_are_most_of_what_is_new() -> None:
    ratios = [np.array([-0.5, 1.0]), np.array([0.2, -0.1, 0.7])]
    ids = ["s0", "s1", "s2", "s3", "s4"]
    bins = np.array([[1, 0, 1, -1, 1], [2, 0, 1, 2, -1]])
    found = telling_sessions(ids, bins, ratios, top=3)
    assert [(row.session, row.score) for row in found] == [
        ("s0", pytest.approx(1.7)),
        ("s4", pytest.approx(1.0)),
        ("s2", pytest.approx(0.9)),
    ]
    assert found[1].parts == (1.0, 0.0)
    # s1: -0.5 + 0.2 is more like the reference than like the window
    assert [row.session for row in telling_sessions(ids, bins, ratios)] == ["s0", "s4", "s2", "s3"]


def test_ties_go_to_the_smaller_id_in_any_order() -> None:
    ids = ["d", "b", "a", "c"]
    found = telling_sessions(ids, np.zeros((1, 4), np.int64), [np.array([0.3])], top=2)
    assert [row.session for row in found] == ["a", "b"]
    assert telling_sessions([], np.zeros((1, 0), np.int64), [np.array([0.3])]) == ()


@pytest.mark.parametrize(
    ("components", "words"),
    [
        ({"location": 8.0, "spread": 3.0}, "higher"),  # the rest is its echo
        ({"location": -3.0, "spread": 5.0, "skew": 1.0}, "wider, lower"),
        ({"location": 1.0, "spread": -4.0, "tail": 2.0}, "narrower"),
        ({"location": 2.5, "skew": -2.7}, "stretched downwards"),  # 99 % of chance is 2.576
        ({"location": 0.1}, ""),
        ({}, ""),
    ],
)
def test_shapes_in_words(components: dict[str, float], words: str) -> None:
    assert shape_words(components) == words


def test_shares_of_traffic_instead_of_judged_sessions() -> None:
    """As many are judged in both cohorts, but `a` has nine tenths of the traffic, then a half."""
    before = {"a": rate(10, 100), "b": rate(50, 100)}
    traffic = ({"a": 9.0, "b": 1.0}, {"a": 5.0, "b": 5.0})
    found = split_change(before, before, traffic=traffic)
    # .9 * .1 + .1 * .5 = .14 before, .5 * .1 + .5 * .5 = .30 now
    assert found.change == pytest.approx(0.16)
    assert found.mix == pytest.approx(0.16)
    assert found.within == pytest.approx(0.0)
    assert found.cause == "mix"
    # now b fails as often as a: -.4 within it, at the mean of its shares (.1 + .5)/2
    after = before | {"b": rate(10, 100)}
    found = split_change(before, after, traffic=traffic)
    assert found.within == pytest.approx(-0.4 * 0.3)
    assert found.change == pytest.approx(0.10 - 0.14)
    assert found.mix == pytest.approx(-0.04 + 0.12)
    assert found.cause == "both"
    assert split_change(before, after).cause == "within"
    with pytest.raises(ValueError, match="traffic"):
        split_change(before, after, traffic=({}, traffic[1]))
