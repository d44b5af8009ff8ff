"""Schema drift against scipy's exact and pooled tests, and keys as tracers write them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from retraind.drift.family import select
from retraind.drift.keys import KeyCounts, cap, collapse, combine, key_pattern
from retraind.drift.schema import compare_keys, none_of, two_proportions
from retraind.model import Counts
from retraind.window.buckets import bucket


def keys(sessions: int, **present: int | dict[str, int]) -> KeyCounts:
    types = {k: v if isinstance(v, dict) else {"string": v} for k, v in present.items()}
    return KeyCounts(sessions, types)


def numbers(sample: object) -> Counts:
    values, counts = np.unique(bucket(np.asarray(sample, float)), return_counts=True)
    return Counts("number", values, counts)


def texts(table: Mapping[str, int]) -> Counts:
    rows = sorted(table.items())
    return Counts(
        "category", np.array([k for k, _ in rows], object), np.array([v for _, v in rows])
    )


def kinds(
    reference: KeyCounts,
    current: KeyCounts,
    aliases: tuple[tuple[str, str], ...] = (),
    values: tuple[Mapping[str, Counts], Mapping[str, Counts]] = ({}, {}),
) -> list[tuple[str, str, str]]:
    """(kind, key, to) of all findings but presence."""
    result = compare_keys(
        reference, current,
        reference_values=values[0], current_values=values[1], aliases=aliases,
    )  # fmt: skip
    return [(f.kind, f.key, f.to) for f in result.findings if f.kind != "presence"]


@pytest.mark.parametrize(("n", "hits", "m"), [(100, 5, 1000), (30, 3, 30), (4000, 20, 500)])
def test_chance_of_seeing_none_is_fishers(n: int, hits: int, m: int) -> None:
    exact = stats.fisher_exact([[0, n], [hits, m - hits]], alternative="less").pvalue
    assert none_of(n, hits, m) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("counts", [(400, 1000, 50, 100), (990, 1000, 90, 100), (7, 20, 7, 20)])
def test_presence_is_the_pooled_two_proportion_test(counts: tuple[int, int, int, int]) -> None:
    before, m, now, n = counts
    table = [[before, m - before], [now, n - now]]
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert two_proportions(before, m, now, n) == pytest.approx(expected, rel=1e-9)
    assert two_proportions(m, m, n, n) == 1.0


def test_new_keys_take_five_sessions_and_one_per_cent() -> None:
    reference = keys(5000, model=5000)
    assert kinds(reference, keys(200, model=200, fresh=5)) == [("new", "fresh", "")]
    assert kinds(reference, keys(200, model=200, fresh=4)) == []
    assert kinds(reference, keys(900, model=900, fresh=9)) == [("new", "fresh", "")]
    assert kinds(reference, keys(900, model=900, fresh=8)) == []


def test_a_small_reference_does_not_make_rare_keys_new() -> None:
    # all 6 of 100 sessions in the window, none of 100 before: chance (100 over 6) / (200 over 6)
    assert kinds(keys(100, model=100), keys(100, model=100, rare=6)) == []
    assert kinds(keys(100, model=100), keys(100, model=100, rare=20)) == [("new", "rare", "")]


def test_vanished_keys_were_expected_in_twenty_sessions() -> None:
    assert kinds(keys(1000, old=100), keys(200)) == [("vanished", "old", "")]  # 20 expected
    assert kinds(keys(1000, old=99), keys(200)) == []
    assert kinds(keys(1000, old=100), keys(200, old=1)) == []
    # 2 of 100 promise 20 of 1000, but 2 may be luck: chance (100/1100)^2
    assert kinds(keys(100, old=2), keys(1000)) == []
    (finding,) = compare_keys(keys(1000, old=100), keys(200)).findings
    exact = stats.fisher_exact([[0, 200], [100, 900]], alternative="less").pvalue
    assert (finding.reference_share, finding.current_share) == (0.1, 0.0)
    assert finding.p_value == pytest.approx(exact)


def test_no_data_is_no_change() -> None:
    assert kinds(keys(1000, old=1000), keys(0)) == []
    assert kinds(keys(0), keys(1000, fresh=1000)) == []


def test_a_type_that_never_was_is_a_flip() -> None:
    reference = keys(3000, tokens={"int": 2900, "double": 100}, top_k={"int": 3000})
    flipped = keys(300, tokens={"string": 300}, top_k={"int": 300})
    assert kinds(reference, flipped) == [("retyped", "tokens", "string")]
    assert kinds(reference, keys(300, top_k={"int": 150, "double": 150})) == [
        ("vanished", "tokens", "")
    ]  # 1 and 1.0 are both numbers
    few = keys(300, tokens={"int": 290, "string": 10}, top_k={"int": 300})
    (finding,) = (f for f in compare_keys(reference, few).findings if f.kind == "retyped")
    assert finding.current_share == pytest.approx(10 / 300)
    # a single stray one in a tenth of the reference's size is no evidence: p = 1/11
    stray = keys(300, tokens={"int": 299, "string": 1}, top_k={"int": 300})
    assert kinds(reference, stray) == []


def test_presence_candidates_go_through_the_family() -> None:
    reference = keys(2000, always=2000, half=1000, rare=3, steady=600)
    current = keys(400, always=400, half=120, rare=0, steady=121)
    found = [f for f in compare_keys(reference, current).findings if f.kind == "presence"]
    assert [f.key for f in found] == ["half", "steady"]  # the others cannot be tested or are equal
    chosen = select([f.p_value for f in found], q=0.05, alpha=0.001)
    assert chosen == [True, False]


def test_an_alias_is_a_rename_whatever_the_values() -> None:
    reference = keys(1000, **{"llm.model": 1000, "other": 500})
    current = keys(200, **{"gen_ai.model": 200, "other": 100})
    assert kinds(reference, current) == [("new", "gen_ai.model", ""), ("vanished", "llm.model", "")]
    for pair in (("llm.model", "gen_ai.model"), ("gen_ai.model", "llm.model")):
        assert kinds(reference, current, (pair,)) == [("renamed", "llm.model", "gen_ai.model")]


def test_the_same_values_under_a_new_name_are_a_rename() -> None:
    rng = np.random.default_rng(2)
    reference = keys(2000, tokens_in=2000, tokens_out=2000)
    current = keys(300, input=300, output=300)
    before = {
        "tokens_in": numbers(rng.lognormal(6, 1, 2000)),
        "tokens_out": numbers(rng.lognormal(4, 1, 2000)),
    }
    now = {
        "input": numbers(rng.lognormal(6, 1, 300)),
        "output": numbers(rng.lognormal(4, 1, 300)),
    }
    assert kinds(reference, current, values=(before, now)) == [
        ("renamed", "tokens_in", "input"),
        ("renamed", "tokens_out", "output"),
    ]
    swapped = {"input": now["input"], "output": texts({"a": 300})}
    assert kinds(reference, current, values=(before, swapped)) == [
        ("new", "output", ""),
        ("vanished", "tokens_out", ""),
        ("renamed", "tokens_in", "input"),
    ]


def test_other_values_or_another_presence_are_no_rename() -> None:
    same = texts({"red": 60, "blue": 40}), texts({"red": 60, "blue": 40})
    reference, current = keys(1000, colour=1000), keys(100, color=100)
    assert kinds(reference, current, values=({"colour": same[0]}, {"color": same[1]})) == [
        ("renamed", "colour", "color")
    ]
    other = texts({"red": 5, "blue": 95})
    both = [("new", "color", ""), ("vanished", "colour", "")]
    assert kinds(reference, current, values=({"colour": same[0]}, {"color": other})) == both
    half = keys(100, color=50)
    assert kinds(reference, half, values=({"colour": same[0]}, {"color": same[1]})) == both
    ids = texts({f"a{i}": 1 for i in range(100)}), texts({f"b{i}": 1 for i in range(100)})
    assert kinds(reference, current, values=({"colour": ids[0]}, {"color": ids[1]})) == both


def test_one_new_name_answers_for_one_old_one() -> None:
    """Of two keys that vanished, the one whose values are the more alike; by name if both are."""
    reference = keys(1000, first=1000, second=1000)
    current = keys(200, merged=200)
    now = {"merged": texts({"x": 100, "y": 100})}
    even = texts({"x": 500, "y": 500})
    alike = {"first": even, "second": even}
    assert kinds(reference, current, values=(alike, now)) == [
        ("vanished", "second", ""),
        ("renamed", "first", "merged"),
    ]
    both = {"first": texts({"x": 700, "y": 300}), "second": even}
    assert kinds(reference, current, values=(both, now)) == [
        ("vanished", "first", ""),
        ("renamed", "second", "merged"),
    ]


def test_the_floor_of_small_windows_is_taken_off() -> None:
    """60 sessions of ten categories differ by chance by 0.05 bits or more in one window of 18.

    8 ln 2 / (1/60 + 1/5000) times the divergence is about chi-square with 9 degrees of freedom, and
    P(chi2 > 16.4) = 0.058. It is a rename still.
    """
    rng = np.random.default_rng(9)
    reference, current = keys(5000, intent=5000), keys(60, app_intent=60)
    names = [str(i) for i in range(10)]
    found = 0
    for _ in range(300):
        before = dict(zip(names, rng.multinomial(5000, np.full(10, 0.1)).tolist(), strict=True))
        now = dict(zip(names, rng.multinomial(60, np.full(10, 0.1)).tolist(), strict=True))
        seen = texts({k: v for k, v in now.items() if v})
        found += kinds(
            reference, current, values=({"intent": texts(before)}, {"app_intent": seen})
        ) == [("renamed", "intent", "app_intent")]
    assert found >= 294


def test_dropped_keys_are_neither_new_nor_vanished() -> None:
    full = KeyCounts(1000, {"old": {"string": 1000}}, dropped=3)
    assert kinds(full, keys(200, old=200, fresh=200)) == []
    capped = KeyCounts(200, {"fresh": {"string": 200}}, dropped=1)
    assert kinds(keys(1000, old=1000), capped) == [("new", "fresh", "")]
    assert compare_keys(full, capped).capped == 4


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        ("gen_ai.request.model", "gen_ai.request.model"),
        ("llm.input_messages.0.message.role", "llm.input_messages.{n}.message.role"),
        ("gen_ai.prompt.12.content", "gen_ai.prompt.{n}.content"),
        ("items[3].id", "items[{n}].id"),
        ("user.7f3c1a9e-22d4-4b8e-9c55-0123456789ab.score", "user.{id}.score"),
        ("cache.9f86d081884c7d65", "cache.{id}"),
        ("order_123456_total", "order_{id}_total"),
        ("session.01J9ZK3V5T8Q2W4X6Y7B8C9D0E", "session.{id}"),
        ("k8s.pod.name", "k8s.pod.name"),
        ("latency_p99_ms", "latency_p99_ms"),
        ("top_5_score", "top_5_score"),
        ("opentelemetry.instrumentation", "opentelemetry.instrumentation"),
        ("feedback.decade", "feedback.decade"),
    ],
)
def test_ids_and_positions_in_key_names(key: str, pattern: str) -> None:
    assert key_pattern(key) == pattern
    assert key_pattern(pattern) == pattern


def test_an_explosion_of_keys_is_one_key() -> None:
    exploded = keys(500, **{f"user.{10_000 + i}.score": 1 for i in range(400)}, model=500)
    found = collapse(exploded)
    assert found.types == {"model": {"string": 500}, "user.{id}.score": {"string": 400}}
    assert found.presence("user.{id}.score") == 400
    assert kinds(collapse(keys(5000, model=5000)), found) == [("new", "user.{id}.score", "")]


def test_a_session_with_many_of_one_pattern_has_it_once() -> None:
    many = collapse(keys(10, **{f"m.{i}.role": 10 for i in range(8)}))
    assert many.presence("m.{n}.role") == 10


def test_the_cap_keeps_the_most_frequent_and_counts_the_rest() -> None:
    found = cap(keys(100, a=5, b=50, c=50, d=49), limit=2)
    assert (sorted(found.types), found.dropped) == (["b", "c"], 2)
    assert cap(found, limit=2) == found
    twice = combine([found, found])
    assert (twice.sessions, twice.types["b"], twice.dropped) == (200, {"string": 100}, 4)
    wide = keys(10, **{f"key{chr(97 + i % 26)}{chr(97 + i // 26)}x{i % 7}": 1 for i in range(2500)})
    assert len(cap(wide).types) + cap(wide).dropped == len(wide.types)
    assert len(cap(wide).types) == 2000


def test_null_windows_raise_nothing_but_candidates() -> None:
    """40 keys of every frequency, 300 windows of 300 sessions, a reference of 3000."""
    rng = np.random.default_rng(15)
    shares = np.geomspace(1e-4, 1, 40)
    names = [f"key{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(40)]

    def sample(n: int) -> KeyCounts:
        present = zip(names, rng.binomial(n, shares).tolist(), strict=True)
        return keys(n, **{k: v for k, v in present if v})

    wrong = candidates = low = 0
    for _ in range(300):
        result = compare_keys(sample(3000), sample(300))
        wrong += sum(f.kind != "presence" for f in result.findings)
        p = [f.p_value for f in result.findings if f.kind == "presence"]
        candidates, low = candidates + len(p), low + sum(value < 0.01 for value in p)
    assert wrong == 0
    assert stats.binomtest(low, candidates, 0.01).pvalue > 1e-3
