"""Features that are read by a macro: what they say of spans as they are stored."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from retraind.store.features import EXPRESSIONS, create_feature_macros

COLUMNS = {
    "operation": "VARCHAR", "called_tools": "VARCHAR[]", "tool_definitions": "VARCHAR",
    "finish_reasons": "VARCHAR[]", "output_text": "VARCHAR", "attributes": "VARCHAR",
    "document_ids": "VARCHAR[]", "document_scores": "DOUBLE[]", "documents": "VARCHAR",
}  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    create_feature_macros(connection)
    return connection


def value(connection: duckdb.DuckDBPyConnection, feature: str, **span: Any) -> Any:
    columns = ", ".join(f"${name}::{kind} AS {name}" for name, kind in COLUMNS.items())
    given = {"operation": "chat", **span}
    (found,) = connection.execute(
        f"SELECT {EXPRESSIONS[feature]} FROM (SELECT {columns})",
        {name: given.get(name) for name in COLUMNS},
    ).fetchone()  # type: ignore[misc]
    return found


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I\u2019m sorry, but I can\u2019t assist with this request.", "refused"),
        ("I am unable to share personal data.", "refused"),
        ("Sorry, I cannot do that.", "refused"),
        ("Unfortunately, I won't write that.", "refused"),
        ("As an AI language model, I cannot have opinions.", "refused"),
        ("I cannot recommend this restaurant enough!", "refused"),  # the price of looking at words
        ("I'm sorry to hear that! Your parcel comes tomorrow.", "answered"),
        ("You can't return it after 30 days.", "answered"),
        ("I can help with that.", "answered"),
        ("Click on 'Returns'. Sorry, I can't open it for you.", "answered"),
        ("", "answered"),
        (None, None),
    ],
)
def test_a_refusal_is_told_by_its_first_words(
    connection: duckdb.DuckDBPyConnection, answer: str | None, expected: str | None
) -> None:
    assert value(connection, "refusal", output_text=answer) == expected


def test_a_filtered_answer_is_a_refusal_and_only_answers_can_be(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert value(connection, "refusal", finish_reasons=["content_filter"]) == "refused"
    assert value(connection, "refusal", finish_reasons=["stop"], output_text="Yes.") == "answered"
    assert value(connection, "refusal", operation="tool", output_text="I can't") is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"city": "Paris", "days": 3}', "valid"),
        ('  \n[{"id": 1}]\n', "valid"),
        ('```json\n{"a": 1}\n```', "valid"),
        ('```json\n{"a": 1,}\n```', "invalid"),
        ('{"city": "Par', "invalid"),
        ("{'city': 'Paris'}", "invalid"),
        ('["a", "b"]', "valid"),
        ('{"a": "b,}", "c": "\\",]", "d": "NaN"}', "valid"),  # inside strings
        ('[{"a": 1},]', "invalid"),
        ('{"a": NaN}', "invalid"),
        ("[1] says that it rains.", None),
        ("It rains.", None),
        (None, None),
    ],
)
def test_what_looks_like_json_is_valid_or_not(
    connection: duckdb.DuckDBPyConnection, answer: str | None, expected: str | None
) -> None:
    assert value(connection, "output_json", output_text=answer) == expected


def test_text_where_json_was_asked_for_is_invalid(connection: duckdb.DuckDBPyConnection) -> None:
    asked = '{"gen_ai.output.type":"json","x":1}'
    assert value(connection, "output_json", output_text="It rains.", attributes=asked) == "invalid"
    assert value(connection, "output_json", output_text='"yes"', attributes=asked) == "valid"


def test_the_choice_among_tools(connection: duckdb.DuckDBPyConnection) -> None:
    assert value(connection, "tool_choice", called_tools=["b", "a", "b"]) == "a+b"
    assert value(connection, "tool_choice", tool_definitions="[]") == "none"
    assert value(connection, "tool_choice", called_tools=[], tool_definitions="[{}]") == "none"
    assert value(connection, "tool_choice") is None


def test_what_a_retrieval_brought(connection: duckdb.DuckDBPyConnection) -> None:
    found = {
        "operation": "retrieval", "document_ids": ["kb-7", "kb-2"], "document_scores": [0.25, 0.75],
    }  # fmt: skip
    names = ("retrieval", "retrieved", "top_document", "top_score")
    assert [value(connection, name, **found) for name in names] == ["found", 2, "kb-7", 0.75]
    none = {"operation": "retrieval"}
    assert [value(connection, name, **none) for name in names] == ["empty", 0, None, None]
    texts = {"operation": "retrieval", "documents": '[{"content":"a"},{"content":"b"}]'}
    assert value(connection, "retrieved", **texts) == 2
    assert [value(connection, name) for name in names] == [None] * 4
