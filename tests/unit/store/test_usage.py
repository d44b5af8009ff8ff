"""The view `usage` wherever SQL is: over many files, on a stopped folder, with comments."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest

from retraind.store.database import Database
from retraind.store.sql import open_stopped, run_sql
from store_harness import batch, commit, open_database, query

TOTALS = "SELECT count(*) AS calls, sum(input_total_tokens)::BIGINT AS tokens FROM Usage"


def send(database: Database, tokens: int) -> None:
    """One call in a request of its own."""
    written = batch([tokens])
    assert written.spans is not None
    written.spans = written.spans.append_column("operation", pa.array(["chat"]))
    commit(database, written)


def sealed(database: Database, files: int) -> None:
    deadline = time.monotonic() + 30
    while [each.status for each in database.segments.all()].count("sealed") < files:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_usage_is_that_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that the common views leave out."""
    for module in ("segments", "sql"):
        monkeypatch.setattr(f"retraind.store.{module}.ATTACHED_FOR_ONE_READ", 1)
    database = open_database(tmp_path, segment_bytes=1)
    for tokens in (1, 2, 4, 8):
        send(database, tokens)
    sealed(database, 4)
    assert query(database, TOTALS) == [(1, 8)]  # the common view
    found = run_sql(database, TOTALS, timeout_seconds=30, max_rows=9).table.to_pylist()
    assert found == [{"calls": 4, "tokens": 15}]
    database.close()


def test_a_stopped_folder_has_the_same_usage(tmp_path: Path) -> None:
    database = open_database(tmp_path, segment_bytes=1)
    send(database, 3)
    send(database, 5)
    database.close()
    with open_stopped(tmp_path) as stopped:
        found = run_sql(stopped, TOTALS, timeout_seconds=30, max_rows=9).table.to_pylist()
    assert found == [{"calls": 2, "tokens": 8}]


def test_the_view_and_its_columns_are_explained(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    (comment,) = query(
        database, "SELECT comment FROM duckdb_views() WHERE view_name = 'usage'"
    )  # fmt: skip
    assert "nothing counted twice" in comment[0]
    unexplained = "SELECT column_name FROM duckdb_columns() WHERE table_name = 'usage' AND "
    assert query(database, unexplained + "comment IS NULL") == []
    database.close()
