"""A result that names only a response is shown with the span that gave it, whichever came first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from retraind.model import ExportResult, WriteBatch
from retraind.normalise import schema
from retraind.store.database import Database
from retraind.store.segments import ATTACHED_FOR_ONE_READ
from retraind.store.sql import run_sql
from store_harness import NOW_NS, batch, commit, digest, open_database, query

FOUND = (
    "SELECT e.name, s.input_tokens FROM evaluations e JOIN spans s USING (trace_id, span_id) "
    "ORDER BY ALL"
)


def calls(responses: dict[int, str], salt: str = "") -> WriteBatch:
    """Spans by number, with the ids of their responses."""
    sent = batch(list(responses), salt=salt)
    assert sent.spans is not None
    sent.spans = sent.spans.append_column("response_id", pa.array(list(responses.values())))
    return sent


def judged(*results: dict[str, Any]) -> WriteBatch:
    rows = [{"time": NOW_NS, "kind": "automated", "source": "api:evaluations"} | r for r in results]
    return WriteBatch(
        signal="evaluations",
        received_at_ns=NOW_NS,
        digests=[digest([], f"judged {results}")],
        results=[ExportResult(len(rows))],
        evaluations=pa.Table.from_pylist(rows, schema=schema.EVALUATIONS),
        evaluation_request=np.zeros(len(rows), np.int32),
    )


def sealed(database: Database, n: int) -> None:
    deadline = time.monotonic() + 120
    while sum(s.status == "sealed" for s in database.segments.all()) < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("first", ["span", "result"])
@pytest.mark.parametrize("elsewhere", ["same file", "next file", "after a restart"])
def test_a_join_finds_the_judged_span(tmp_path: Path, first: str, elsewhere: str) -> None:
    options = {"segment_bytes": 1} if elsewhere == "next file" else {}
    database = open_database(tmp_path, **options)
    parts = [calls({1: "r1", 2: "r2"}), judged({"name": "n", "response_id": "r2"})]
    for number, part in enumerate(parts if first == "span" else parts[::-1]):
        if number and elsewhere == "after a restart":
            database.close()
            database = open_database(tmp_path)
        commit(database, part)
    assert query(database, FOUND) == [("n", 2)]
    assert query(database, "SELECT trace_id, span_id FROM stored_evaluations") == [(None, None)]
    types = dict(query(database, "SELECT column_name, column_type FROM (DESCRIBE evaluations)"))
    raw = dict(
        query(database, "SELECT column_name, column_type FROM (DESCRIBE stored_evaluations)")
    )
    assert types == raw
    database.close()


def test_the_first_span_with_the_response_is_judged_and_what_is_named_stays(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, calls({3: "r"}))
    commit(database, calls({1: "r", 2: "s"}, salt="later"))
    named = {"trace_id": f"{9:032x}", "span_id": f"{9:016x}"}
    commit(
        database,
        judged(
            {"name": "a", "response_id": "r"}, {"name": "b", "response_id": "r", **named},
            {"name": "c", "response_id": "unknown"}, {"name": "d", "session_id": "x"},
        ),
    )  # fmt: skip
    assert query(database, "SELECT name, trace_id, span_id FROM evaluations ORDER BY name") == [
        ("a", f"{3:032x}", f"{3:016x}"), ("b", *named.values()),
        ("c", None, None), ("d", None, None),
    ]  # fmt: skip
    database.close()


def test_no_span_is_looked_for_before_a_result_needs_it(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, calls({1: "r"}))
    commit(database, judged({"name": "n", "trace_id": f"{1:032x}", "response_id": "r"}))
    definition = "SELECT sql FROM duckdb_views() WHERE view_name = 'evaluations'"
    assert "main.spans" not in query(database, definition)[0][0]
    commit(database, judged({"name": "n", "response_id": "r"}))
    assert "main.spans" in query(database, definition)[0][0]
    database.close()


def test_a_span_in_the_oldest_of_many_files_is_found_for_the_newest(tmp_path: Path) -> None:
    database = open_database(tmp_path, segment_bytes=1)
    commit(database, calls({1: "r"}))
    for number in range(2, ATTACHED_FOR_ONE_READ + 3):
        commit(database, batch([number]))
    commit(database, judged({"name": "n", "response_id": "r"}))
    sealed(database, ATTACHED_FOR_ONE_READ + 1)
    result = run_sql(database, FOUND, timeout_seconds=60, max_rows=10)
    assert result.table.to_pylist() == [{"name": "n", "input_tokens": 1}]
    database.close()
