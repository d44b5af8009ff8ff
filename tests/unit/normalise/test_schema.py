"""The Arrow schemas are those of the tables in the database."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from otlp_samples import encode, request_of, span
from retraind.decode import decode_traces
from retraind.normalise import normalise_traces, schema
from retraind.store.commit import inserts

SEGMENT = Path(__file__).parents[3] / "daemon/retraind/store/schema/segment.sql"


@pytest.fixture
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(SEGMENT.read_text())
    return connection


@pytest.mark.parametrize(
    ("table", "want"),
    [("spans", schema.SPANS), ("evaluations", schema.EVALUATIONS), ("logs", schema.LOGS)],
)
def test_columns_order_and_types(
    database: duckdb.DuckDBPyConnection, table: str, want: pa.Schema
) -> None:
    result = database.execute(f"SELECT * EXCLUDE (seq, received_at) FROM {table}")
    columns = result.to_arrow_table().schema
    assert columns.names == want.names
    for ours, theirs in zip(want, columns, strict=True):
        same = ours.type == theirs.type or (
            pa.types.is_list(ours.type) and "list" in str(theirs.type)
        )
        assert same, (ours, theirs)


def test_rows_can_be_inserted_as_they_are(database: duckdb.DuckDBPyConnection) -> None:
    attributes = {"gen_ai.response.finish_reasons": ["stop"], "x": "\x00 é", "n": 2**63 - 1}
    payload = encode(request_of(span(attributes=attributes), span()))
    rows = normalise_traces(decode_traces([payload]), attribute_limit=9).spans
    database.register("rows", rows)
    stored = "(SELECT 1 AS seq, now()::TIMESTAMP_NS AS received_at, * FROM rows)"
    for statement in inserts("memory", "spans", stored):
        database.execute(statement)
    found = database.execute(
        "SELECT finish_reasons, attributes->>'x', attributes->>'n', epoch_ns(start_time) "
        "FROM spans WHERE attributes IS NOT NULL"
    ).fetchall()
    assert found == [(["stop"], "\x00 é", str(2**63 - 1), 1_790_000_000_000_000_000)]
