"""What log records say of a span is shown with it, in whichever file each of them lies."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retraind.model import ExportResult, WriteBatch
from retraind.normalise import schema
from retraind.store.database import Database
from retraind.store.segments import ATTACHED_FOR_ONE_READ
from retraind.store.sql import run_sql
from store_harness import NOW_NS, SECOND_NS, batch, commit, digest, open_database, query

Row = dict[str, Any]
MINUTE_NS = 60 * SECOND_NS
WHOLE = "gen_ai.client.inference.operation.details"


def said(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def detail(span: int, event: str = WHOLE, after: int = 0, **columns: Any) -> Row:
    sources = dict.fromkeys(columns, f"log:{event}/body")
    return {
        "trace_id": f"{span:032x}", "span_id": f"{span:016x}", "event_name": event,
        "time": NOW_NS + after, "norm_source": json.dumps(sources), **columns,
    }  # fmt: skip


def details(*rows: Row, salt: str = "") -> WriteBatch:
    table = pa.Table.from_pylist(list(rows), schema=schema.SPAN_DETAILS)
    return WriteBatch(
        signal="logs",
        received_at_ns=NOW_NS,
        digests=[digest([], f"details {salt} {rows}")],
        results=[ExportResult(len(rows))],
        span_details=table,
        span_detail_request=np.zeros(len(rows), np.int32),
    )


def judged(*rows: Row, salt: str = "") -> WriteBatch:
    table = pa.Table.from_pylist(list(rows), schema=schema.EVALUATIONS)
    return WriteBatch(
        signal="logs",
        received_at_ns=NOW_NS,
        digests=[digest([], f"judged {salt} {rows}")],
        results=[ExportResult(len(rows))],
        evaluations=table,
        evaluation_request=np.zeros(len(rows), np.int32),
    )


def shown(database: Database, columns: str, table: str = "spans") -> list[tuple[Any, ...]]:
    return query(database, f"SELECT {columns} FROM {table} ORDER BY ALL")


def sealed(database: Database, n: int) -> None:
    deadline = time.monotonic() + 120
    while sum(s.status == "sealed" for s in database.segments.all()) < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("first", ["span", "details"])
@pytest.mark.parametrize("elsewhere", ["same file", "next file", "after a restart"])
def test_details_are_shown_with_their_span(tmp_path: Path, first: str, elsewhere: str) -> None:
    options = {"segment_bytes": 1} if elsewhere == "next file" else {}
    database = open_database(tmp_path, **options)
    parts = [
        batch([1, 2]),
        details(detail(1, input_messages=said("user", "hello"), input_text="hello", user_id="u")),
    ]
    for number, part in enumerate(parts if first == "span" else parts[::-1]):
        if number and elsewhere == "after a restart":
            database.close()
            database = open_database(tmp_path)
        commit(database, part)
    columns = "input_tokens, input_text, user_id, norm_source->>'$.input_text'"
    assert shown(database, columns) == [
        (1, "hello", "u", f"log:{WHOLE}/body"), (2, None, None, None),
    ]  # fmt: skip
    ((messages,),) = query(database, "SELECT input_messages FROM spans WHERE input_tokens = 1")
    assert json.loads(messages) == json.loads(said("user", "hello"))
    assert query(database, "SELECT input_text FROM stored_spans") == [(None,), (None,)]
    types = dict(query(database, "SELECT column_name, column_type FROM (DESCRIBE spans)"))
    raw = dict(query(database, "SELECT column_name, column_type FROM (DESCRIBE stored_spans)"))
    assert types == raw
    database.close()


def test_a_span_is_incomplete_where_its_records_are(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1, 2]))
    cut = detail(1, "gen_ai.user.message", 1, input_text="h", content_incomplete=True)
    commit(database, details(cut, detail(1, "gen_ai.choice", 2, output_text="ho")))
    commit(database, details(detail(2, output_text="ho")))
    assert shown(database, "input_tokens, content_incomplete") == [(1, True), (2, None)]
    database.close()


def test_details_of_an_older_segment_are_shown(tmp_path: Path) -> None:
    """Version 2 did not say whether a record came incomplete."""
    database = open_database(tmp_path)
    commit(database, batch([1]))
    commit(database, details(detail(1, input_text="hello")))
    database.close()
    with duckdb.connect(str(tmp_path / "store" / "segment-000001.duckdb")) as connection:
        connection.execute(
            "ALTER TABLE span_details DROP COLUMN content_incomplete; "
            "UPDATE segment_info SET value = '2' WHERE key = 'schema_version'"
        )
    database = open_database(tmp_path)
    sealed(database, 1)
    assert shown(database, "input_text, content_incomplete") == [("hello", None)]
    told = database.reader.fetch_sql(
        "SELECT input_text, content_incomplete FROM {told_spans} WHERE seq <= $through", through=10
    )
    assert told.to_pylist() == [{"input_text": "hello", "content_incomplete": None}]
    database.close()


def test_messages_follow_each_other_and_a_record_sent_again_counts_once(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1]))
    system = detail(
        1, "gen_ai.system.message", 1, input_messages=said("system", "be brief"),
        system_instructions="be brief",
    )  # fmt: skip
    user = detail(1, "gen_ai.user.message", 2, input_messages=said("user", "hi"), input_text="hi")
    answer = detail(
        1, "gen_ai.choice", 3, output_messages=said("assistant", "ho"), output_text="ho",
        finish_reasons=["stop"],
    )  # fmt: skip
    commit(database, details(answer, user))
    commit(database, details(system, answer, salt="again"))
    ((row,),) = query(database, "SELECT s FROM spans s")
    messages = json.loads(row["input_messages"])
    assert [message["role"] for message in messages] == ["system", "user"]
    assert (row["input_text"], row["system_instructions"]) == ("hi", "be brief")
    assert json.loads(row["output_messages"]) == json.loads(said("assistant", "ho"))
    assert (row["output_text"], row["finish_reasons"]) == ("ho", ["stop"])
    assert json.loads(row["norm_source"])["input_messages"] == "log:gen_ai.user.message/body"
    whole = detail(1, input_text="all", input_messages=said("user", "all"))
    commit(database, details(whole))
    assert shown(database, "input_text, output_text") == [("all", "ho")]
    database.close()


def test_what_the_span_says_itself_comes_first(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    own = batch([1])
    assert own.spans is not None
    own.spans = (
        own.spans.drop_columns(["norm_source"])
        .append_column("input_text", pa.array(["own"]))
        .append_column("norm_source", pa.array(['{"input_text":"input.value"}']))
    )
    commit(database, own)
    commit(database, details(detail(1, input_text="log", output_text="ho")))
    ((row,),) = query(database, "SELECT s FROM spans s")
    assert (row["input_text"], row["output_text"]) == ("own", "ho")
    assert json.loads(row["norm_source"]) == {
        "input_text": "input.value", "output_text": f"log:{WHOLE}/body",
    }  # fmt: skip
    database.close()


def test_nothing_is_joined_before_there_are_details(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1]))
    definition = "SELECT sql FROM duckdb_views() WHERE view_name = 'spans'"
    assert "span_details" not in query(database, definition)[0][0]
    commit(database, details(detail(1, input_text="hi")))
    assert "span_details" in query(database, definition)[0][0]
    database.close()


def test_a_span_in_the_oldest_of_many_files_shows_details_of_the_newest(tmp_path: Path) -> None:
    database = open_database(tmp_path, segment_bytes=1)
    calls = 34  # two files each: more than one read keeps attached
    for number in range(calls):
        commit(database, batch([number]))
        commit(database, details(detail(calls - 1 - number, input_text=f"t{number}")))
    sealed(database, ATTACHED_FOR_ONE_READ + 1)
    result = run_sql(
        database, "SELECT input_tokens AS n, input_text FROM spans ORDER BY 1",
        timeout_seconds=60, max_rows=1000,
    )  # fmt: skip
    rows = [(row["n"], row["input_text"]) for row in result.table.to_pylist()]
    assert rows == [(n, f"t{calls - 1 - n}") for n in range(calls)]
    database.close()


def test_a_merged_file_keeps_its_details(tmp_path: Path) -> None:
    database = open_database(tmp_path, segment_bytes=1)
    for number in range(3):
        commit(database, batch([number]))
        commit(database, details(detail(number, input_text=f"t{number}")))
    sealed(database, 5)
    database.merger.merge([s for s in database.segments.all() if s.status == "sealed"])
    assert shown(database, "input_text") == [("t0",), ("t1",), ("t2",)]
    database.close()


results = st.fixed_dictionaries(
    {
        "time": st.sampled_from([0, 1, 4, 5, 6, 10]).map(lambda m: NOW_NS + m * MINUTE_NS)
        | st.none(),
        "trace_id": st.sampled_from(["a" * 32, "b" * 32, None]),
        "span_id": st.sampled_from(["c" * 16, None]),
        "response_id": st.sampled_from(["r", None]),
        "name": st.sampled_from(["n", "m"]),
        "score": st.sampled_from([None, 0.5]),
        "label": st.sampled_from([None, "pass"]),
        "evaluator": st.sampled_from([None, "judge"]),
        "kind": st.just("automated"),
        "source": st.sampled_from(["log:x", "event:x", "attribute:y", "span:z", "api:feedback"]),
        "idempotency_key": st.sampled_from([None, None, "k"]),
    }
)


def is_shown(row: Row, rows: list[Row]) -> bool:
    """The rule of the evaluations view, one pair of rows at a time."""
    carriers = ["log", "event", "attribute", "span"]

    def rank(each: Row) -> tuple[int, int]:
        return carriers.index(each["source"].split(":")[0]), each["seq"]

    if row["source"].startswith("api"):
        return True
    for other in rows:
        if other["source"].startswith("api") or rank(other) >= rank(row):
            continue
        names = ["trace_id", "span_id", "name", "idempotency_key"]
        near = True
        if row["idempotency_key"] is None:
            names += ["evaluator", "score", "label"]
            names += ["response_id"] if row["trace_id"] is None else []
            times = row["time"], other["time"]
            near = times == (None, None) or (
                None not in times and abs(times[0] - times[1]) <= 5 * MINUTE_NS
            )
        if near and all(other[name] == row[name] for name in names):
            return False
    return True


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(results, min_size=1, max_size=14), number=st.integers(0, 2**60))
def test_evaluations_are_shown_once(shared: Database, rows: list[Row], number: int) -> None:
    mark = f"{number}"
    commit(shared, judged(*({**row, "explanation": mark} for row in rows), salt=mark))
    newest = shared.writer.newest_seq
    seqs = range(newest - len(rows) + 1, newest + 1)
    numbered = [{**row, "seq": seq} for row, seq in zip(rows, seqs, strict=True)]
    want = sorted(row["seq"] for row in numbered if is_shown(row, numbered))
    text = shared_query(shared, seqs)
    assert [seq for (seq,) in query(shared, text)] == want


def shared_query(database: Database, seqs: range) -> str:
    """The view's query over these rows alone: earlier examples must not count."""
    ((view,),) = query(database, "SELECT sql FROM duckdb_views() WHERE view_name = 'evaluations'")
    inner = view.partition(" AS ")[2].rstrip(";")
    raw = "seg_000001.main.evaluations"
    assert raw in inner
    only = f"(SELECT * FROM {raw} WHERE seq BETWEEN {seqs[0]} AND {seqs[-1]})"
    return f"SELECT seq FROM ({inner.replace(raw, only)}) ORDER BY 1"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    database = open_database(tmp_path_factory.mktemp("shared"))
    yield database
    database.close()
