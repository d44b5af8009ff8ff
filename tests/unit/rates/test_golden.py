"""The golden-set rule against scipy's paired test, the power formula's table and hand counts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from retraind.rates.golden import (
    GoldenResult,
    GoldenRun,
    alarms,
    compare_run,
    judge_drift,
)
from retraind.rates.paired import needed_items, paired


def golden(scores: Mapping[str, float], judge: str = "j1", dataset: str = "set-a") -> GoldenRun:
    return GoldenRun(dataset, judge, scores)


def items(values: object) -> dict[str, float]:
    return {f"item-{i}": float(v) for i, v in enumerate(np.asarray(values))}


def noisy(n: int, drop: float, sd: float, seed: int) -> tuple[GoldenRun, GoldenRun]:
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.4, 0.7, n)
    after = np.clip(before - drop + rng.normal(0, sd, n), 0, 1)
    return golden(items(before)), golden(items(after))


@pytest.mark.parametrize(("drop", "sd"), [(0.0, 0.1), (0.03, 0.15), (0.06, 0.15), (-0.02, 0.05)])
def test_drop_and_p_are_those_of_the_paired_t_test(drop: float, sd: float) -> None:
    accepted, run = noisy(200, drop, sd, seed=3)
    before, after = list(accepted.scores.values()), list(run.scores.values())
    expected = stats.ttest_rel(before, after, alternative="greater")
    result = compare_run(accepted, run)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-3)
    assert result.drop == pytest.approx(np.mean(before) - np.mean(after), abs=1e-6)
    assert result.sigma == pytest.approx(np.std(np.subtract(before, after), ddof=1), rel=1e-4)
    assert result.n == 200


@pytest.mark.parametrize(("sd", "items_"), [(0.15, 118), (0.2, 209), (0.3, 469), (0.4, 834)])
def test_needed_items_for_a_drop_of_five_points(sd: float, items_: int) -> None:
    assert needed_items(sd, 0.05, 0.01) == items_
    effect = 0.05 / sd
    power = stats.nct.sf(stats.t.ppf(0.99, items_ - 1), items_ - 1, effect * math.sqrt(items_))
    assert power == pytest.approx(0.9, abs=0.006)


def test_a_set_that_is_too_small_says_what_it_takes() -> None:
    # differences of +-0.3 in equal numbers: sd 0.3 sqrt(100/99), so (3.608 sd / 0.05)^2 = 473.4
    accepted = golden(items([0.5] * 100))
    result = compare_run(accepted, golden(items([0.2, 0.8] * 50)))
    assert result.outcome == "too_small"
    assert result.needed == 474
    assert result.refusal.startswith("golden set too small: 100 items, 474 needed")
    enough = compare_run(golden(items([0.5] * 500)), golden(items([0.2, 0.8] * 250)))
    assert (enough.outcome, enough.refusal) == ("ok", "")


def test_a_drop_that_a_small_set_does_show_stands() -> None:
    # 12 of 60 items break outright: t = 3.84, though a drop of 0.05 would take 850 items
    after = [0.0] * 12 + [1.0] * 48
    result = compare_run(golden(items([1.0] * 60)), golden(items(after)))
    assert result.p_value == pytest.approx(
        stats.ttest_rel([1.0] * 60, after, alternative="greater").pvalue, rel=1e-6
    )
    assert (result.outcome, result.drop) == ("drop", pytest.approx(0.2))
    assert result.needed > 60


def test_fewer_than_thirty_items_are_never_judged() -> None:
    result = compare_run(golden(items([1.0] * 29)), golden(items([0.0] * 29)))
    assert (result.outcome, result.needed) == ("too_small", 30)
    assert compare_run(golden(items([1.0] * 30)), golden(items([0.0] * 30))).outcome == "drop"
    with pytest.raises(ValueError, match="two pairs"):
        compare_run(golden({"a": 1.0}), golden({"a": 1.0}))


def test_a_drop_of_exactly_the_limit_counts_and_one_below_does_not() -> None:
    before = golden(items([0.85] * 100))
    assert compare_run(before, golden(items([0.8] * 100))).outcome == "drop"
    assert compare_run(before, golden(items([0.801] * 100))).outcome == "ok"
    assert compare_run(before, golden(items([0.85] * 100))).p_value == 0.5
    assert compare_run(before, golden(items([0.9] * 100))).p_value == 1.0


def test_missing_items_count_as_zero_and_added_ones_not_at_all() -> None:
    scores = items([0.8] * 200)
    fewer = {item: score for item, score in scores.items() if int(item[5:]) >= 20}
    result = compare_run(golden(scores), golden(fewer | {"extra": 0.0}))
    # 20 of 200 items lose 0.8
    assert (result.n, result.missing, result.added) == (200, 20, 1)
    assert result.drop == pytest.approx(0.08)
    expected = stats.ttest_1samp([0.8] * 20 + [0.0] * 180, 0, alternative="greater")
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert result.outcome == "drop"


def test_other_judges_and_sets_are_refused() -> None:
    scores = items([0.5] * 200)
    judged = compare_run(golden(scores, judge="j1"), golden(scores, judge="j2"))
    assert judged.outcome == "judge_changed"
    assert "j1" in judged.refusal
    assert "j2" in judged.refusal
    assert math.isnan(judged.drop)
    assert math.isnan(judged.p_value)
    other = compare_run(golden(scores), golden(scores, dataset="set-b"))
    assert other.outcome == "set_changed"


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan])
def test_scores_are_between_zero_and_one(score: float) -> None:
    with pytest.raises(ValueError, match="item-1"):
        golden({"item-0": 0.5, "item-1": score})


def test_two_consecutive_drops_make_an_alarm() -> None:
    before = golden(items([0.9] * 200))
    drop = compare_run(before, golden(items([0.7, 0.9] * 100)))
    ok = compare_run(before, before)
    refused = compare_run(before, golden(items([0.1] * 200), judge="j2"))
    assert [r.outcome for r in (drop, ok, refused)] == ["drop", "ok", "judge_changed"]
    runs: list[GoldenResult] = [drop, ok, drop, drop, drop, refused, drop]
    assert alarms(runs) == [False, False, False, True, True, False, False]
    assert alarms([]) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_judge_shift_is_that_of_the_two_sided_paired_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old = rng.uniform(0.2, 0.8, 120)
    new = np.clip(old + rng.normal(0.06, 0.1, 120), 0, 1)
    result = judge_drift(items(old) | {"old only": 0.1}, items(new) | {"new only": 0.9})
    expected = stats.ttest_rel(new, old)
    bounds = expected.confidence_interval(0.99)
    assert result.n == 120
    assert result.shift == pytest.approx(float(np.mean(new - old)), abs=1e-6)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-2)
    assert (result.lower, result.upper) == (
        pytest.approx(bounds.low, abs=1e-5),
        pytest.approx(bounds.high, abs=1e-5),
    )
    assert result.outcome == "moved"


def test_a_judge_is_the_same_only_when_the_overlap_can_tell() -> None:
    wide = items([0.2, 0.8] * 20)
    swapped = items([0.8, 0.2] * 20)
    narrow = items(np.tile([0.19, 0.82], 20))
    assert judge_drift(wide, narrow).outcome == "same"
    unclear = judge_drift(wide, swapped)  # no mean shift, but differences of 0.6
    assert unclear.outcome == "too_small"
    # sd 0.6 sqrt(40/39); z = 2.576 + 1.282
    assert unclear.needed == math.ceil((3.857385 * 0.6 * math.sqrt(40 / 39) / 0.05) ** 2)
    few = judge_drift(items([0.1] * 10), items([0.9] * 10))
    assert (few.outcome, few.needed) == ("too_small", 30)


def test_a_real_shift_that_is_too_slight_to_matter_is_no_move() -> None:
    old, new = [0.5, 0.6] * 5000, [0.502, 0.606] * 5000
    result = judge_drift(items(old), items(new))
    assert result.p_value < 1e-9
    assert result.outcome == "same"


def test_means_do_not_depend_on_the_order() -> None:
    values = np.random.default_rng(5).uniform(-1, 1, 999).tolist()
    assert paired(values) == paired(reversed(values))
