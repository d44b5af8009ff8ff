"""What holds for any golden run, label, cohort, session and key."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retraind.drift.attribution import movements, split_change, telling_sessions
from retraind.drift.compare import compare
from retraind.drift.keys import KeyCounts, cap, collapse, combine, key_pattern
from retraind.drift.schema import compare_keys
from retraind.model import Counts
from retraind.rates.delay import reported
from retraind.rates.golden import GoldenRun, compare_run
from retraind.rates.labels import wrong_predictions
from retraind.rates.roc import roc_auc
from retraind.window.counts import add_all

tables = st.dictionaries(st.integers(-400, 400), st.integers(1, 60), min_size=1, max_size=25)
rates = st.dictionaries(
    st.sampled_from([0, 250_000, 333_333, 10**6]), st.integers(1, 500), min_size=1
)
cohorts = st.dictionaries(st.sampled_from("abcdef"), rates, min_size=1)
key_counts = st.builds(
    KeyCounts,
    st.integers(0, 5000),
    st.dictionaries(
        st.from_regex(r"[a-c]{1,2}(\.[0-9]{1,2})?(\.[a-b])?", fullmatch=True),
        st.dictionaries(
            st.sampled_from(["string", "int", "double", "bool"]), st.integers(1, 5000), min_size=1
        ),
        max_size=12,
    ),
    st.integers(0, 2),
)
scores = st.dictionaries(st.text("xyz", min_size=1, max_size=3), st.floats(0, 1), min_size=2)


def counts(kind: str, table: dict[int, int]) -> Counts:
    rows = sorted(table.items())
    return Counts(kind, np.array([v for v, _ in rows]), np.array([c for _, c in rows]))  # type: ignore[arg-type]


def by_cohort(table: dict[str, dict[int, int]]) -> dict[str, Counts]:
    return {name: counts("rate", values) for name, values in table.items()}


def overall(table: dict[str, dict[int, int]]) -> float:
    rows = [(v, c) for values in table.values() for v, c in values.items()]
    return sum(v * c for v, c in rows) / sum(c for _, c in rows) / 1e6


@given(cohorts, cohorts)
def test_mix_and_within_add_up_to_the_change(
    before: dict[str, dict[int, int]], after: dict[str, dict[int, int]]
) -> None:
    found = split_change(by_cohort(before), by_cohort(after))
    change = overall(after) - overall(before)
    assert found.change == pytest.approx(change, abs=1e-12)
    assert found.mix + found.within == pytest.approx(change, abs=1e-12)
    assert sum(c.mix for c in found.cohorts) == pytest.approx(found.mix, abs=1e-12)
    assert sum(c.within for c in found.cohorts) == pytest.approx(found.within, abs=1e-12)
    assert 0 <= found.within_p <= 1
    reverse = split_change(by_cohort(after), by_cohort(before))
    assert reverse.within == pytest.approx(-found.within, abs=1e-12)
    assert reverse.within_error == pytest.approx(found.within_error)


@given(cohorts, st.integers(2, 5))
def test_more_of_the_same_traffic_is_no_change_within(
    before: dict[str, dict[int, int]], times: int
) -> None:
    first = min(before)
    after = before | {first: {v: c * times for v, c in before[first].items()}}
    found = split_change(by_cohort(before), by_cohort(after))
    assert found.within == pytest.approx(0, abs=1e-12)


@given(tables, tables)
def test_movements_are_the_whole_drift(before: dict[int, int], after: dict[int, int]) -> None:
    result = compare(counts("number", before), counts("number", after))
    parts = movements(result)
    assert sum(part.contribution for part in parts) == pytest.approx(result.psi, abs=1e-9)
    assert all(math.isfinite(part.residual) for part in parts)
    if result.psi > 0:
        assert sum(part.part for part in parts) == pytest.approx(1)
        assert max(part.residual for part in parts) > 0 > min(part.residual for part in parts)


@given(
    st.lists(
        st.tuples(st.integers(-1, 3), st.integers(-1, 1)), min_size=1, max_size=30
    ),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_telling_sessions_do_not_depend_on_the_order(
    rows: list[tuple[int, int]], ratios: list[float], random: Random
) -> None:
    logs = [np.array(ratios), np.array([0.5, -0.5])]
    named = [(f"s{i:02}", row) for i, row in enumerate(rows)]

    def found(order: list[tuple[str, tuple[int, int]]]) -> object:
        bins = np.array([row for _, row in order]).T
        return telling_sessions([name for name, _ in order], bins, logs)

    first = found(named)
    random.shuffle(named)
    assert found(named) == first


@given(st.lists(key_counts, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_key_counts_add_up_in_any_order(parts: list[KeyCounts], random: Random) -> None:
    whole = combine(parts)
    shuffled = parts[:]
    random.shuffle(shuffled)
    assert combine(shuffled) == whole
    assert combine([combine(parts[:2]), *parts[2:]]) == whole
    assert collapse(whole) == combine([collapse(part) for part in parts])
    assert whole.sessions == sum(part.sessions for part in parts)


@given(key_counts, st.integers(0, 12))
def test_a_cap_drops_only_rarer_keys(counted: KeyCounts, limit: int) -> None:
    kept = cap(counted, limit)
    assert len(kept.types) <= limit
    assert kept.dropped - counted.dropped == len(counted.types) - len(kept.types)
    lost = counted.types.keys() - kept.types.keys()
    assert not lost or not kept.types or min(map(kept.presence, kept.types)) >= max(
        map(counted.presence, lost)
    )  # fmt: skip


@given(st.one_of(st.text(max_size=40), st.text("0189abcfXZ.:-_[]{}n", max_size=50)))
def test_a_pattern_is_its_own_pattern(key: str) -> None:
    assert key_pattern(key_pattern(key)) == key_pattern(key)


@given(key_counts, key_counts)
def test_schema_findings_are_in_range(before: KeyCounts, after: KeyCounts) -> None:
    result = compare_keys(before, after, aliases=[("a", "b"), ("aa", "c")])
    for finding in result.findings:
        assert 0 <= finding.p_value <= 1
        assert 0 <= finding.reference_share <= 1
        assert 0 <= finding.current_share <= 1
    told = [(f.kind, f.key, f.to) for f in result.findings]
    assert len(told) == len(set(told))
    renamed = {name for f in result.findings if f.kind == "renamed" for name in (f.key, f.to)}
    assert not renamed & {f.key for f in result.findings if f.kind in ("new", "vanished")}


@given(key_counts)
def test_a_schema_never_drifts_from_itself(counted: KeyCounts) -> None:
    found = compare_keys(counted, counted).findings
    assert all((f.kind, f.p_value) == ("presence", 1.0) for f in found)


@given(scores, scores, st.randoms(use_true_random=False))
def test_golden_runs_do_not_depend_on_the_order_of_items(
    accepted: dict[str, float], run: dict[str, float], random: Random
) -> None:
    items = list(accepted.items())
    random.shuffle(items)
    before = compare_run(GoldenRun("g", "j", accepted), GoldenRun("g", "j", run))
    assert compare_run(GoldenRun("g", "j", dict(items)), GoldenRun("g", "j", run)) == before
    assert (before.outcome == "too_small") == (before.refusal != "")


@given(scores, st.data())
def test_losing_an_item_never_helps(accepted: dict[str, float], data: st.DataObject) -> None:
    run = {item: data.draw(st.floats(0, 1)) for item in accepted}
    lost = data.draw(st.sampled_from(sorted(run)))
    whole = compare_run(GoldenRun("g", "j", accepted), GoldenRun("g", "j", run))
    less = {item: score for item, score in run.items() if item != lost}
    part = compare_run(GoldenRun("g", "j", accepted), GoldenRun("g", "j", less))
    assert part.drop >= whole.drop
    assert part.missing == 1


@settings(max_examples=50)
@given(tables, tables, st.integers(-50, 50))
def test_auc_mirrors_and_ignores_the_scale(
    positives: dict[int, int], negatives: dict[int, int], offset: int
) -> None:
    x, y = counts("score", positives), counts("score", negatives)
    assume(min(x.n, y.n) >= 30)
    result, mirror = roc_auc(x, y), roc_auc(y, x)
    if result.auc is None or result.lower is None or result.upper is None:
        assert len(positives | negatives) == 1
        return
    assert mirror.auc == pytest.approx(1 - result.auc)
    assert mirror.lower == pytest.approx(1 - result.upper)
    assert 0 <= result.lower <= result.auc <= result.upper <= 1
    moved = roc_auc(
        counts("score", {3 * v + offset: c for v, c in positives.items()}),
        counts("score", {3 * v + offset: c for v, c in negatives.items()}),
    )
    assert moved == result


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
def test_predictions_are_counted_alike_whole_or_in_parts(rows: list[tuple[int, int]]) -> None:
    wrong = np.array([min(row) for row in rows])
    labelled = np.array([max(row) for row in rows])
    whole = wrong_predictions(wrong, labelled)
    half = len(rows) // 2
    parts = [
        wrong_predictions(wrong[:half], labelled[:half]),
        wrong_predictions(wrong[half:], labelled[half:]),
    ]
    assert add_all(parts) == whole
    assert whole.n + whole.missing == len(rows)


@settings(max_examples=50)
@given(
    tables,
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 99)), min_size=1, max_size=10),
    st.floats(0, 1e6),
)
def test_more_has_arrived_of_an_older_window(
    lags: dict[int, int], panes: list[tuple[float, int]], later: float
) -> None:
    assume(sum(n for _, n in panes) > 0)
    known = counts("number", lags)
    ages, sessions = [age for age, _ in panes], [n for _, n in panes]
    now = reported(known, ages, sessions)
    then = reported(known, [age + later for age in ages], sessions)
    assert 0 <= now.lower <= now.share + 1e-9
    assert now.share <= now.upper + 1e-9
    assert then.share >= now.share
