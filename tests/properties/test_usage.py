"""The view `usage` against a plain count over the spans of a trace, one span at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retraind.store.queries import schema_script
from retraind.store.usage import create_usage_view

Row = dict[str, Any]
CLASS = {"chat", "text_completion", "embeddings", "rerank"}
PENDING = '{"logfire.span_type":"pending_span"}'
TYPES = {
    "trace_id": "VARCHAR", "span_id": "VARCHAR", "parent_span_id": "VARCHAR", "name": "VARCHAR",
    "start": "BIGINT", "duration_ns": "BIGINT", "status": "VARCHAR", "scope_name": "VARCHAR",
    "operation": "VARCHAR", "request_model": "VARCHAR", "response_model": "VARCHAR",
    "response_id": "VARCHAR", "input_tokens": "BIGINT", "output_tokens": "BIGINT",
    "cache_read_tokens": "BIGINT", "cache_write_tokens": "BIGINT", "total_tokens": "BIGINT",
    "reasoning_tokens": "BIGINT", "cost": "DOUBLE", "attributes": "VARCHAR",
    "convention": "VARCHAR", "provider": "VARCHAR", "norm_source": "VARCHAR",
}  # fmt: skip


@pytest.fixture(scope="module")
def cursor() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        connection.execute(schema_script("segment", "memory"))
        connection.execute("CREATE TABLE plain AS FROM spans")
        connection.execute("DROP VIEW spans; ALTER TABLE plain RENAME TO spans")
        create_usage_view(connection)
        yield connection


def usage_of(cursor: duckdb.DuckDBPyConnection, spans: list[Row]) -> list[Row]:
    cursor.execute("DELETE FROM spans")
    columns = [name for name in TYPES if name != "start"]
    for row in spans:
        values = [row.get(name) for name in columns]
        cursor.execute(
            f"INSERT INTO spans (seq, received_at, start_time, {', '.join(columns)}) VALUES "
            f"(0, now()::TIMESTAMP, make_timestamp_ns(?::BIGINT), {', '.join('?' * len(columns))})",
            [row.get("start"), *values],
        )
    relation = cursor.sql("FROM usage ORDER BY trace_id, span_id")
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def end(row: Row) -> int:
    return int(row["start"] + max(row["duration_ns"] or 0, 0))


def cached(row: Row) -> int:
    return (row["cache_read_tokens"] or 0) + (row["cache_write_tokens"] or 0)


def total_input(row: Row) -> int | None:
    if row["input_tokens"] is None:
        return None
    apart = row["input_tokens"] + cached(row)
    exclusive = row["input_tokens"] < cached(row) or (
        cached(row) > 0
        and row["total_tokens"] is not None
        and row["total_tokens"] - (row["output_tokens"] or 0)
        in {apart, apart + (row["reasoning_tokens"] or 0)}
    )
    if row["convention"] == "claude_code":
        exclusive = True
    return apart if exclusive else int(row["input_tokens"])


class Plain:
    """The rules of the view, one span at a time."""

    def __init__(self, spans: list[Row]) -> None:
        self.by_id = {(row["trace_id"], row["span_id"]): row for row in spans}
        calls = [row for row in spans if self.is_call(row)]
        wrappers = {id(each) for row in calls for each in self.above(row)}
        self.leaves = [row for row in calls if id(row) not in wrappers]

    def counted(self) -> dict[tuple[str, str], int | None]:
        """Trace and span id of each call, with its input tokens."""
        return {
            (row["trace_id"], row["span_id"]): total_input(row)
            for row in self.leaves
            if not any(
                self.order(other) < self.order(row) and self.is_one_call(other, row)
                for other in self.leaves
            )
        }

    def up(self, row: Row) -> Row | None:
        found = self.by_id.get((row["trace_id"], row["parent_span_id"]))
        return None if found is row else found

    def above(self, row: Row) -> list[Row]:
        """Ancestors; links that run in a circle end before the span itself."""
        found: list[Row] = []
        at = self.up(row)
        while at is not None and not any(at is each for each in (row, *found)):
            found.append(at)
            at = self.up(at)
        return found

    @staticmethod
    def is_pending(row: Row) -> bool:
        return row["duration_ns"] == 0 and row["attributes"] == PENDING

    @staticmethod
    def is_silent(row: Row) -> bool:
        return row["input_tokens"] is None and row["output_tokens"] is None

    def is_call(self, row: Row) -> bool:
        if row["operation"] not in CLASS:
            return False
        if self.is_pending(row):
            final = self.up(row)
            return final is None or final["operation"] not in CLASS or self.is_pending(final)
        logfire = (row["scope_name"] or "").startswith("logfire.")
        return not (logfire and self.is_silent(row) and row["status"] != "error")

    def order(self, row: Row) -> tuple[Any, ...]:
        empty = [row[n] is None for n in ("cost", "cache_read_tokens", "reasoning_tokens")]
        return (self.is_silent(row), *empty, row["start"], row["span_id"])

    @staticmethod
    def is_one_call(a: Row, b: Row) -> bool:
        if a["trace_id"] != b["trace_id"]:
            return False
        meet = a["start"] <= end(b) and b["start"] <= end(a)
        if a["response_id"] is not None and a["response_id"] == b["response_id"] and meet:
            return True
        models = [n for n in ("request_model", "response_model") if a[n] and a[n] == b[n]]
        tokens = [(total_input(row), row["output_tokens"] or 0) for row in (a, b)]
        nested = (a["start"] <= b["start"] and end(b) <= end(a)) or (
            b["start"] <= a["start"] and end(a) <= end(b)
        )
        emitters = {(row["scope_name"], row["name"]) for row in (a, b)}
        known = tokens[0][0] is not None and tokens[0] == tokens[1]
        return bool(models) and known and nested and len(emitters) == 2


few = st.integers(0, 3)
span_rows = st.fixed_dictionaries(
    {
        "trace_id": st.sampled_from(["a", "a", "b"]),
        "span_id": st.sampled_from(list("123456789")),
        "parent_span_id": st.none() | st.sampled_from(list("123456789x")),
        "name": st.sampled_from(["chat", "chat", "request"]),
        "start": few,
        "duration_ns": st.sampled_from([None, -1, 0, 0, 1, 5]),
        "status": st.sampled_from(["unset", "unset", "error"]),
        "scope_name": st.sampled_from([None, "lib", "lib", "logfire.openai"]),
        "operation": st.sampled_from(["chat", "chat", "embeddings", "agent", "tool", None]),
        "request_model": st.sampled_from([None, "m", "m", "n"]),
        "response_model": st.sampled_from([None, "m-1"]),
        "response_id": st.sampled_from([None, None, None, "r1", "r2"]),
        "input_tokens": st.none() | few,
        "output_tokens": st.none() | few,
        "cache_read_tokens": st.none() | few,
        "cache_write_tokens": st.none() | st.just(0),
        "total_tokens": st.none() | st.integers(0, 9),
        "reasoning_tokens": st.none() | st.just(0),
        "cost": st.none() | st.just(0.5),
        "attributes": st.sampled_from([None, None, PENDING]),
        "convention": st.sampled_from(["otel_genai", "otel_genai", "claude_code"]),
        "provider": st.none(),
        "norm_source": st.none(),
    }
)
traces = st.lists(
    span_rows, max_size=12, unique_by=lambda row: (row["trace_id"], row["span_id"])
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(spans=traces)
def test_the_view_counts_what_a_plain_count_does(
    cursor: duckdb.DuckDBPyConnection, spans: list[Row]
) -> None:
    found = usage_of(cursor, spans)
    expected = Plain(spans).counted()
    assert {(r["trace_id"], r["span_id"]): r["input_total_tokens"] for r in found} == expected
    assert sum(row["input_total_tokens"] or 0 for row in found) == sum(
        tokens or 0 for tokens in expected.values()
    )
    for row in found:
        parts = [row[n] or 0 for n in ("cache_read_tokens", "cache_write_tokens")]
        if row["input_total_tokens"] is not None:
            assert row["input_uncached_tokens"] + sum(parts) == row["input_total_tokens"]


@pytest.mark.parametrize(
    ("span", "total", "branch"),
    [
        # OpenAI: 21 with 5 cached; the same without cached tokens
        ({"input_tokens": 21, "cache_read_tokens": 5}, 21, "inclusive"),
        ({"input_tokens": 21}, 21, "inclusive"),
        ({}, None, None),
        # OpenLLMetry on Bedrock, issue 4449: 12 new tokens and 1000 cached ones
        ({"input_tokens": 12, "cache_read_tokens": 1000}, 1012, "exclusive_by_count"),
        ({"input_tokens": 5000, "cache_read_tokens": 1000,
          "scope_name": "opentelemetry.instrumentation.bedrock"}, 6000, "exclusive_by_emitter"),
        ({"input_tokens": 5000, "cache_read_tokens": 1000,
          "scope_name": "opentelemetry.instrumentation.anthropic"}, 5000, "inclusive"),
        # Strands before its fix: the total of Bedrock has the cached tokens, the input has not
        ({"input_tokens": 17, "cache_read_tokens": 4, "cache_write_tokens": 2,
          "output_tokens": 8, "total_tokens": 31}, 23, "exclusive_by_total"),
        ({"input_tokens": 23, "cache_read_tokens": 4, "cache_write_tokens": 2,
          "output_tokens": 8, "total_tokens": 31}, 23, "inclusive"),
        # Langfuse's LangChain handler takes cached tokens and reasoning out: 21 / 9 with 5 and 3
        ({"input_tokens": 16, "cache_read_tokens": 5, "output_tokens": 6, "reasoning_tokens": 3,
          "total_tokens": 30, "convention": "langfuse"}, 21, "exclusive_by_total"),
        ({"input_tokens": 16, "cache_read_tokens": 5, "convention": "langfuse",
          "norm_source": '{"input_tokens":"langfuse.observation.usage_details#/input"}'},
         21, "exclusive_by_emitter"),
        ({"input_tokens": 21, "cache_read_tokens": 5, "convention": "langfuse",
          "norm_source": '{"input_tokens":"langfuse.observation.usage_details#/input_tokens"}'},
         21, "inclusive"),
        ({"input_tokens": 17, "cache_read_tokens": 4, "convention": "claude_code"},
         21, "exclusive_by_emitter"),
        ({"input_tokens": 17, "cache_read_tokens": 4, "convention": "openlit",
          "provider": "anthropic"}, 21, "exclusive_by_emitter"),
        ({"input_tokens": 21, "cache_read_tokens": 5, "convention": "openlit",
          "provider": "openai"}, 21, "inclusive"),
        ({"input_tokens": 17, "cache_read_tokens": 4, "convention": "vercel_ai",
          "provider": "anthropic",
          "norm_source": '{"cache_read_tokens":"ai.usage.cachedInputTokens"}'},
         21, "exclusive_by_emitter"),
        ({"input_tokens": 23, "cache_read_tokens": 4, "convention": "vercel_ai",
          "provider": "anthropic",
          "norm_source": '{"cache_read_tokens":"ai.usage.inputTokenDetails.cacheReadTokens"}'},
         23, "inclusive"),
    ],
)  # fmt: skip
def test_cached_tokens_are_part_of_the_input(
    cursor: duckdb.DuckDBPyConnection, span: Row, total: int | None, branch: str | None
) -> None:
    (row,) = usage_of(
        cursor, [{"trace_id": "a", "span_id": "1", "start": 0, "operation": "chat", **span}]
    )
    assert (row["input_total_tokens"], row["branch"]) == (total, branch)
    if total is not None:
        assert row["input_uncached_tokens"] == total - sum(
            span.get(name) or 0 for name in ("cache_read_tokens", "cache_write_tokens")
        )
