"""What holds for any counts."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retraind.drift.bins import count_in, quantile_bins
from retraind.drift.categories import compare_categories
from retraind.drift.compare import compare
from retraind.drift.family import select
from retraind.model import Counts, DriftResult
from retraind.rates.failrate import evaluate
from retraind.rates.interval import interval

texts = st.dictionaries(
    st.text("abcdefgh", max_size=3), st.integers(1, 3000), min_size=1, max_size=60
)
indices = st.dictionaries(st.integers(-500, 500), st.integers(1, 3000), min_size=1, max_size=60)
shares = st.dictionaries(st.integers(0, 10**6), st.integers(1, 300), min_size=1, max_size=20)


def counts(kind: str, table: dict[int, int] | dict[str, int], missing: int = 0) -> Counts:
    rows = sorted(table.items())
    return Counts(kind, tuple(v for v, _ in rows), tuple(c for _, c in rows), missing)  # type: ignore[arg-type]


pairs = st.one_of(
    st.tuples(
        st.builds(counts, st.just("category"), texts, st.integers(0, 50)),
        st.builds(counts, st.just("category"), texts, st.integers(0, 50)),
    ),
    st.tuples(
        st.builds(counts, st.just("number"), indices), st.builds(counts, st.just("number"), indices)
    ),
)


def check(result: DriftResult) -> None:
    assert result.psi >= 0
    assert result.psi_corrected == max(0.0, result.psi - result.psi_floor)
    assert 0 <= result.psi_lower <= result.psi + 1e-9
    assert result.kl_reference_current >= 0
    assert result.kl_current_reference >= 0
    assert 0 <= result.js_distance <= 1
    assert 0 <= result.p_value <= 1
    assert math.isfinite(result.statistic)
    assert all(part.contribution >= 0 for part in result.contributions)
    assert sum(p.contribution for p in result.contributions) == pytest.approx(result.psi, abs=1e-9)
    assert sum(p.reference_share for p in result.contributions) == pytest.approx(1)
    assert sum(p.current_share for p in result.contributions) == pytest.approx(1)


@given(pairs)
def test_results_are_in_range(pair: tuple[Counts, Counts]) -> None:
    check(compare(*pair))


@given(
    st.one_of(
        st.builds(counts, st.just("number"), indices), st.builds(counts, st.just("score"), indices)
    )
)
def test_a_number_never_drifts_from_itself(sample: Counts) -> None:
    result = compare(sample, sample)
    assert result.p_value == pytest.approx(1.0)
    assert result.psi_corrected == 0
    assert result.psi_lower == 0


@given(st.builds(counts, st.just("category"), texts), st.integers(2, 5))
def test_categories_seen_twice_never_drift_from_themselves(sample: Counts, times: int) -> None:
    more = replace(sample, counts=tuple(c * times for c in sample.counts))
    result = compare(more, more)
    assert result.p_value == pytest.approx(1.0)
    assert result.psi_corrected == 0


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(
    pair: tuple[Counts, Counts], random: Random
) -> None:
    reference, current = pair
    assume(current.kind == "category")
    rows = list(zip(current.values, current.counts, strict=True))
    random.shuffle(rows)
    shuffled = replace(current, values=tuple(v for v, _ in rows), counts=tuple(c for _, c in rows))
    assert compare_categories(reference, shuffled) == compare_categories(reference, current)


@given(indices, indices, indices, st.integers(2, 20))
def test_count_in_add_up(
    reference: dict[int, int], one: dict[int, int], two: dict[int, int], bins: int
) -> None:
    frozen = quantile_bins(counts("number", reference), bins)
    assert len(frozen) <= bins
    assert list(frozen.edges) == sorted(set(frozen.edges))
    both = {value: one.get(value, 0) + two.get(value, 0) for value in one | two}
    parts = count_in(counts("number", one), frozen) + count_in(counts("number", two), frozen)
    assert parts.tolist() == count_in(counts("number", both), frozen).tolist()
    assert parts.sum() == sum(both.values())


@given(indices, indices, st.integers(-10_000, 10_000))
def test_a_monotone_relabelling_changes_nothing(
    reference: dict[int, int], current: dict[int, int], offset: int
) -> None:
    def moved(table: dict[int, int]) -> Counts:
        return counts("number", {3 * value + offset: count for value, count in table.items()})

    before = compare(counts("number", reference), counts("number", current))
    after = compare(moved(reference), moved(current))
    assert after.psi == pytest.approx(before.psi, abs=1e-12)
    assert after.p_value == pytest.approx(before.p_value, abs=1e-12)


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0.001, 0.5), st.floats(0.0001, 1))
def test_selection_never_prefers_a_larger_p(p: list[float], q: float, alpha: float) -> None:
    chosen = select(p, q=q, alpha=alpha)
    taken = [value for value, flag in zip(p, chosen, strict=True) if flag]
    left = [value for value, flag in zip(p, chosen, strict=True) if not flag]
    assert all(value < alpha for value in taken)
    assert not taken or not left or max(taken) < min(left)


@settings(max_examples=50)
@given(st.builds(counts, st.just("rate"), shares))
def test_an_interval_holds_the_rate(window: Counts) -> None:
    rate = sum(v * c for v, c in zip(window.values, window.counts, strict=True)) / window.n / 1e6
    lower, upper = interval(window)
    assert 0 <= lower <= rate + 1e-12
    assert rate - 1e-12 <= upper <= 1


@settings(max_examples=50)
@given(st.builds(counts, st.just("rate"), shares), st.builds(counts, st.just("rate"), shares))
def test_more_failures_are_more_evidence(window: Counts, reference: Counts) -> None:
    worse = dict(zip(window.values, window.counts, strict=True))
    worse[10**6] = worse.get(10**6, 0) + worse.pop(window.values[0])
    before, memory = evaluate(window, reference, None, tolerance=0.01, log_threshold=1e6)
    after, _ = evaluate(counts("rate", worse), reference, None, tolerance=0.01, log_threshold=1e6)
    assert all(math.isfinite(value) for value in memory)
    assert after.log_e_value >= before.log_e_value - 1e-9
