"""Each source key of the table of conventions matters to some fixture: without it, one fails."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from corpus.comparison import differences, normalised
from corpus.expected import Fixture, fixtures
from retraind.normalise import conventions, evaluations, judged_items, traces
from retraind.normalise.carriers import ITEMS, Items
from retraind.normalise.conventions import Column

FIXTURES = fixtures()
JUDGED = [fixture for fixture in FIXTURES if fixture.evaluations]


def lines(table: tuple[Column, ...]) -> list[tuple[str, str]]:
    """Each column with each of its keys, in the order of the table."""
    return list(dict.fromkeys((column.name, one.key) for column in table for one in column.sources))


def citing() -> dict[tuple[str, str], list[Fixture]]:
    """For each column and key the fixtures with a row that cites them."""
    found: dict[tuple[str, str], list[Fixture]] = defaultdict(list)
    for fixture in FIXTURES:
        cited = {
            (column, key)
            for row in fixture.spans
            for column, keys in row.keys.items()
            for key in keys
        }
        for line in cited:
            found[line].append(fixture)
    return found


CITING = citing()


def without(table: tuple[Column, ...], name: str, key: str) -> tuple[Column, ...]:
    """The table as if this key of this column were misspelt."""
    return tuple(
        replace(column, sources=tuple(one for one in column.sources if one.key != key))
        if column.name == name
        else column
        for column in table
    )


def any_fails(chosen: list[Fixture]) -> bool:
    return any(differences(fixture, *normalised(fixture), with_logs=False) for fixture in chosen)


def test_the_fixtures_pass_with_the_table_as_it_is() -> None:
    """Else the failure of a mutation shows nothing."""
    assert not any_fails(FIXTURES)


@pytest.mark.parametrize(("column", "key"), lines(conventions.COLUMNS), ids=str)
def test_some_fixture_fails_without_a_key(
    column: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = CITING.get((column, key), [])
    assert chosen, "no fixture has a value that comes from this key"
    monkeypatch.setattr(traces, "COLUMNS", without(conventions.COLUMNS, column, key))
    assert any_fails(chosen)


@pytest.mark.parametrize(("column", "key"), lines(conventions.EVALUATIONS), ids=str)
def test_some_fixture_fails_without_a_key_of_evaluations(
    column: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = without(conventions.EVALUATIONS, column, key)
    monkeypatch.setattr(evaluations, "EVALUATIONS", table)
    assert any_fails(JUDGED)


def members() -> list[tuple[int, str]]:
    """Each list or map of results with each column that it fills."""
    return [(place, name) for place, one in enumerate(ITEMS) for name in sorted(one.columns)]


def lacking(one: Items, name: str) -> tuple[Items, ...]:
    """The list as if no result in it had that member; without names there are no results."""
    if name == "name":
        return ()
    return (replace(one, columns={n: p for n, p in one.columns.items() if n != name}),)


@pytest.mark.parametrize(
    ("place", "name"), members(), ids=[f"{ITEMS[place].key}-{name}" for place, name in members()]
)
def test_some_fixture_fails_without_a_member_of_a_list_of_results(
    place: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (*ITEMS[:place], *lacking(ITEMS[place], name), *ITEMS[place + 1 :])
    monkeypatch.setattr(judged_items, "ITEMS", table)
    assert any_fails(JUDGED)


def test_every_convention_is_the_one_of_some_span() -> None:
    shown = {row.values.get("convention") for fixture in FIXTURES for row in fixture.spans}
    assert {convention.name for convention in conventions.CONVENTIONS} <= shown
