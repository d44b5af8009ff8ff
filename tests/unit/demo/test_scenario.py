"""The demo's traffic: seeded, within its budget, and different only where drift was asked for."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
from scipy import stats

from retraind.demo.scenario import (
    COHORTS,
    DAY_NS,
    DAYS,
    DRIFT_DAY,
    MODELS,
    REFERENCE_DAYS,
    Conversation,
    Drift,
    Scenario,
)

END_NS = 1_789_948_800_000_000_000  # 2026-09-21 00:00 UTC
SERIES = [(model, cohort) for model in MODELS for cohort in COHORTS]
DRIFTED = "gpt-4o-mini/emea"


@functools.cache
def conversations(drift: str) -> tuple[Conversation, ...]:
    return tuple(Scenario(7, Drift.parse(drift), END_NS).conversations())


def series_of(drift: str) -> dict[tuple[str, str], list[Conversation]]:
    grouped: dict[tuple[str, str], list[Conversation]] = {key: [] for key in SERIES}
    for conversation in conversations(drift):
        grouped[conversation.model, conversation.cohort].append(conversation)
    return grouped


def day(conversation: Conversation) -> int:
    return (conversation.start_ns - (END_NS - DAYS * DAY_NS)) // DAY_NS


def weeks(items: list[Conversation]) -> tuple[list[Conversation], list[Conversation]]:
    return (
        [item for item in items if day(item) < DRIFT_DAY],
        [item for item in items if day(item) >= DRIFT_DAY],
    )


def test_the_same_seed_gives_the_same_conversations_and_another_seed_others():
    def beginning(seed: int) -> list[Conversation]:
        return list(islice(Scenario(seed, None, END_NS).conversations(), 5000))

    assert beginning(7) == list(conversations("none")[:5000])
    assert beginning(8) != beginning(7)


def test_the_day_on_which_it_is_run_changes_nothing_but_the_date():
    """Else a seed would show something else each time, and be right only most of the times."""
    first, later = (
        islice(Scenario(7, None, END_NS + days * DAY_NS).conversations(), 20_000) for days in (0, 3)
    )

    assert [moved_by(c, 3 * DAY_NS) for c in first] == list(later)


def moved_by(conversation: Conversation, ns: int) -> Conversation:
    turns = tuple(replace(turn, start_ns=turn.start_ns + ns) for turn in conversation.turns)
    return replace(conversation, start_ns=conversation.start_ns + ns, turns=turns)


def test_two_weeks_that_end_at_another_time_than_midnight_are_refused():
    with pytest.raises(ValueError, match="midnight"):
        Scenario(7, None, END_NS + 1)


@pytest.mark.parametrize("drift", ["none", DRIFTED])
def test_conversations_come_in_order_and_lie_within_the_two_weeks(drift):
    items = conversations(drift)
    ends = [turn.start_ns + turn.retrieval_ns + turn.answer_ns for i in items for turn in i.turns]

    assert [item.start_ns for item in items] == sorted(item.start_ns for item in items)
    assert items[0].start_ns >= END_NS - DAYS * DAY_NS
    assert max(ends) <= END_NS


@pytest.mark.parametrize("drift", ["none", DRIFTED])
def test_no_conversation_is_longer_than_the_smallest_lateness_allowance(drift):
    """Spans are sent conversation by conversation; over two minutes they would arrive late."""
    last = [(item, item.turns[-1]) for item in conversations(drift)]

    assert max(t.start_ns + t.retrieval_ns + t.answer_ns - i.start_ns for i, t in last) < 120e9


@pytest.mark.parametrize("drift", ["none", DRIFTED])
def test_spans_stay_within_the_budget(drift):
    items = conversations(drift)
    spans = sum(item.spans for item in items)

    assert spans <= 250_000
    assert 2.8 <= spans / len(items) <= 3.4
    assert len(items) == Scenario(7, None, END_NS).sessions


def test_session_ids_are_unique():
    items = conversations("none")

    assert len({item.id for item in items}) == len(items)


def test_each_series_has_sessions_enough_for_a_reference_and_its_windows():
    """2800 for the reference; 17 windows of 280 that close on the hour, and one to spare."""
    for items in series_of("none").values():
        days = [day(item) for item in items]
        middle = Counter(
            (item.start_ns // 3_600_000_000_000)
            for item in items
            if REFERENCE_DAYS <= day(item) < DRIFT_DAY
        )
        closed = sessions = 0
        for hour in sorted(middle):
            sessions += middle[hour]
            if sessions >= 280:
                closed, sessions = closed + 1, 0

        assert sum(d < REFERENCE_DAYS for d in days) >= 2800
        assert closed >= 18
        assert sum(d >= DRIFT_DAY for d in days) >= 8 * 280


def test_traffic_follows_the_cohorts_day():
    hours = Counter(i.start_ns // 3_600_000_000_000 % 24 for i in series_of("none")[SERIES[0]])
    afternoon = sum(hours[h] for h in range(10, 17))
    night = sum(hours[h] for h in (22, 23, 0, 1, 2, 3, 4))

    assert 1.4 < afternoon / night < 2.4


def products(items: list[Conversation]) -> Counter[str]:
    return Counter(item.turns[0].product for item in items)


def p_value_of_products(items: list[Conversation]) -> float:
    first, second = (products(week) for week in weeks(items))
    names = sorted(first | second)
    table = [[first[name] for name in names], [second[name] for name in names]]
    return float(stats.chi2_contingency(table).pvalue)


def p_value_of_tokens(items: list[Conversation]) -> float:
    first, second = ([i.turns[0].output_tokens for i in week] for week in weeks(items))
    return float(stats.mannwhitneyu(first, second).pvalue)


def fail_counts(items: list[Conversation], name: str) -> list[int]:
    labels = Counter(
        e.label for i in items for t in i.turns for e in t.evaluations if e.name == name
    )
    return [labels["pass"], labels["fail"]]


def p_value_of_failures(items: list[Conversation], name: str) -> float:
    table = [fail_counts(week, name) for week in weeks(items)]
    return float(stats.chi2_contingency(table).pvalue)


def p_values(items: list[Conversation]) -> list[float]:
    return [
        p_value_of_products(items),
        p_value_of_tokens(items),
        p_value_of_failures(items, "groundedness"),
        p_value_of_failures(items, "answer_relevance"),
    ]


def test_without_drift_both_weeks_are_alike_in_every_series():
    """24 null p-values: one of them is under 1e-4 once in 400 seeds; the seed is fixed."""
    assert min(p for items in series_of("none").values() for p in p_values(items)) > 1e-4


def test_drift_changes_only_the_chosen_series():
    drifted, still = series_of(DRIFTED), series_of("none")
    chosen = ("gpt-4o-mini", "emea")

    assert {key for key in SERIES if drifted[key] != still[key]} == {chosen}
    assert weeks(drifted[chosen])[0] == weeks(still[chosen])[0]


@pytest.mark.parametrize(("model", "cohort"), SERIES)
def test_drift_moves_products_length_and_groundedness_of_any_series(model, cohort):
    chosen = Drift.parse(f"{model}/{cohort}")
    all_items = Scenario(3, chosen, END_NS)._series(model, cohort)
    items = list(all_items)
    first, second = (fail_counts(week, "groundedness") for week in weeks(items))

    assert p_value_of_products(items) < 1e-12
    assert p_value_of_tokens(items) < 1e-12
    assert first[1] / sum(first) < 0.12
    assert second[1] / sum(second) > 0.35
    assert p_value_of_failures(items, "answer_relevance") > 1e-4


@pytest.mark.parametrize("text", ["", "gpt-4o", "gpt-4o/mars", "gpt-5/emea", "none/emea"])
def test_an_unknown_drift_is_refused_with_what_there_is(text):
    with pytest.raises(ValueError, match="gpt-4o-mini/apac"):
        Drift.parse(text)
