"""The corpus itself: expected rows are well formed, and each cites what was really sent."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from corpus import expected
from corpus.cited import Found, values_at
from corpus.expected import Fixture, words

FIXTURES = expected.fixtures()
# Canonical columns that hold what was sent, but for its type.
VERBATIM = words(
    """
    session_id user_id tenant_id response_model model_version response_id input_tokens output_tokens
    total_tokens cache_read_tokens cache_write_tokens reasoning_tokens cost temperature top_p
    max_tokens tool_call_id prompt_template_version prompt_template_text
    """
)
KIND_KEYS = words(
    """
    gen_ai.operation.name openinference.span.kind gen_ai.span.kind fi.span.kind traceloop.span.kind
    langfuse.observation.type langsmith.span.kind mlflow.spanType ai.operationId llm.request.type
    """
)
# Kinds that every program has, LLM or not.
OTHER_KINDS = {"chain", "task", "span", "unknown", "workflow", "parser", "event", "prompt"}


@pytest.fixture(params=FIXTURES, ids=lambda fixture: fixture.name)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    found: Fixture = request.param
    return found


@pytest.mark.parametrize(
    "file", expected.files(), ids=lambda file: file.parent.name + "/" + file.stem
)
def test_a_file_names_only_scenarios_that_were_sent(file: Path) -> None:
    content = tomllib.loads(file.read_text())
    sent = {fixture.name.rpartition("/")[2] for fixture in expected.load(file)}
    rows = [*content.get("span", []), *content.get("evaluation", [])]
    assert {row["scenario"] for row in rows} <= sent
    assert set(content) <= {"span", "evaluation", "built", "source", "sent", "sent_log"}
    assert not content.get("built") or content["source"]


def test_every_recorded_library_has_expected_rows() -> None:
    folders = {path.parent for path in expected.HERE.glob("*@*/*.pb")}
    assert folders == {path.parent for path in expected.files() if path.name == "expected.toml"}


def test_rows_have_known_columns_and_each_span_once(fixture: Fixture) -> None:
    for row in fixture.spans:
        assert set(row.values) <= expected.COLUMNS | expected.SURROUNDING, row.name
        assert None not in row.values.values()
        assert set(row.values) - set(row.keys) <= expected.MAY_BE_DERIVED, row.name
    places = [(row.name, row.nth) for row in fixture.spans]
    assert len(places) == len(set(places))
    for judgement in fixture.evaluations:
        assert set(judgement.values) <= expected.EVALUATION_COLUMNS | expected.BELONGING
        assert {"name", "source"} <= set(judgement.values)
        if judgement.span is not None:
            fixture.find(judgement.span, judgement.nth)


def test_every_cited_key_is_in_the_recorded_bytes(fixture: Fixture) -> None:
    for row in fixture.spans:
        found = fixture.find(row.name, row.nth)
        cited = [(column, key) for column, keys in row.keys.items() for key in keys]
        missing = [(column, key) for column, key in cited if not values_at(key, found)]
        assert not missing, (row.name, row.nth)


def test_plain_values_are_those_of_the_cited_key(fixture: Fixture) -> None:
    for row in fixture.spans:
        found = fixture.find(row.name, row.nth)
        for column in VERBATIM & set(row.keys):
            sent = [scalar(value) for key in row.keys[column] for value in values_at(key, found)]
            assert scalar(row.values[column]) in sent, (row.name, row.nth, column)


def scalar(value: Any) -> Any:
    """A number or text; a number in a text is the number, quotes of JSON are removed."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return value
        value = inner if isinstance(inner, str | int | float) else value
    return float(value) if isinstance(value, int | float) else value


def test_every_span_of_an_llm_kind_has_a_row(fixture: Fixture) -> None:
    covered = {fixture.find(row.name, row.nth).span.span_id for row in fixture.spans}
    forgotten = [
        found.span.name
        for found in fixture.found()
        if found.span.span_id not in covered and is_llm(found)
    ]
    assert not forgotten


def is_llm(found: Found) -> bool:
    attributes = found.attributes
    kinds = {str(scalar(attributes[key])).lower() for key in KIND_KEYS if key in attributes}
    return bool(kinds - OTHER_KINDS)
