"""Commits, duplicates, poison, back-pressure of the writer on a real engine."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from retraind.clock import ManualClock
from retraind.errors import InvalidPayload, StoreUnavailable
from retraind.model import ExportResult, WriteBatch
from retraind.store import writer
from retraind.store.ledger import Ledger
from retraind.telemetry import Telemetry
from store_harness import (
    NOW_NS,
    SECOND_NS,
    batch,
    commit,
    digest,
    open_database,
    query,
    spans,
    value,
)


def test_rows_are_stored_with_seq_and_receive_time(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    assert commit(database, batch([1, 2], [3])) == [ExportResult(2), ExportResult(1)]
    rows = query(
        database,
        "SELECT seq, span_id, epoch_ns(received_at), input_tokens, user_id FROM spans ORDER BY seq",
    )
    assert [row[0] for row in rows] == [1, 2, 3]
    assert [row[1] for row in rows] == [f"{i:016x}" for i in (1, 2, 3)]
    assert {row[2] for row in rows} == {NOW_NS}
    assert [row[3:] for row in rows] == [(1, None), (2, None), (3, None)]
    database.close()


def test_same_bytes_are_stored_once_across_restarts(tmp_path: Path) -> None:
    clock = ManualClock(NOW_NS)
    database = open_database(tmp_path, clock=clock)
    commit(database, batch([1, 2]))
    again = commit(database, batch([1, 2], [3]))
    assert again == [ExportResult(2, duplicate=True), ExportResult(1)]
    database.close()
    clock.advance(seconds=3000)
    database = open_database(tmp_path, clock=clock)
    assert database.ledger.lookup(digest([1, 2])) == ExportResult(2)
    assert commit(database, batch([1, 2])) == [ExportResult(2, duplicate=True)]
    assert query(database, "SELECT count(*) FROM seg_000001.spans") == [(3,)]
    clock.advance(seconds=3000)
    assert database.ledger.lookup(digest([1, 2])) is None
    database.close()


def test_a_request_twice_in_one_group_is_stored_once(tmp_path: Path) -> None:
    database = open_database(tmp_path, start=False)
    first = database.writer.submit(batch([1], [2]))
    second = database.writer.submit(batch([2], [3]))
    database.start()
    assert first.result(60) == [ExportResult(1), ExportResult(1)]
    assert second.result(60) == [ExportResult(1, duplicate=True), ExportResult(1)]
    assert query(database, "SELECT count(*) FROM seg_000001.spans") == [(3,)]
    assert value(database, "commits_total") == 1
    database.close()


def test_the_spans_view_shows_a_span_once(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1], text="first"))
    commit(database, batch([1, 2], text="later"))
    rows = query(database, "SELECT seq, attributes FROM spans ORDER BY seq")
    assert rows == [(1, '{"k":"first"}'), (3, '{"k":"later"}')]
    database.close()


def test_why_a_commit_failed_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are told no more than to send again; the operator has to learn the cause."""
    database = open_database(tmp_path)
    original = writer.run

    def run(cursor: Any, sql: str, parameters: Any = None) -> Any:
        if sql.startswith("INSERT"):
            raise duckdb.IOException("the cable is out")
        return original(cursor, sql, parameters)

    monkeypatch.setattr(writer, "run", run)
    with capture_logs() as logged, pytest.raises(StoreUnavailable):
        commit(database, batch([1]))
    monkeypatch.undo()
    database.close()
    assert [e["error"] for e in logged if e["event"] == "commit failed"] == ["the cable is out"]


@pytest.mark.parametrize("poisoned", range(5))
def test_one_poison_request_does_not_harm_its_neighbours(tmp_path: Path, poisoned: int) -> None:
    database = open_database(tmp_path, start=False)
    bad = batch([10], [11], [12], [13], [14])
    ids = bad.spans.column("trace_id").to_pylist()  # type: ignore[union-attr]
    ids[poisoned] = None  # NOT NULL in the table
    bad.spans = bad.spans.set_column(0, "trace_id", pa.array(ids, pa.string()))  # type: ignore[union-attr]
    futures = [database.writer.submit(b) for b in (batch([1], [2]), bad, batch([3]))]
    database.start()
    good, mixed, last = (future.result(60) for future in futures)
    assert good == [ExportResult(1), ExportResult(1)]
    assert last == [ExportResult(1)]
    assert isinstance(mixed[poisoned], InvalidPayload)
    assert [o for i, o in enumerate(mixed) if i != poisoned] == [ExportResult(1)] * 4
    stored = query(database, "SELECT input_tokens FROM spans ORDER BY 1")
    assert [n for (n,) in stored] == sorted({1, 2, 3, 10, 11, 12, 13, 14} - {10 + poisoned})
    assert query(database, "SELECT reason FROM quarantine") == [("refused_by_database",)]
    assert database.ledger.lookup(digest([10 + poisoned])) is None
    assert value(database, "poison_requests_total") == 1
    seqs = query(database, "SELECT count(*), count(DISTINCT seq) FROM seg_000001.spans")
    assert seqs == [(7, 7)]
    database.close()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_commit_that_fails_half_way_acknowledges_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Bisected around one poison request into three transactions, one of which meets a bad disk."""
    database = open_database(tmp_path, start=False)
    three = batch([1], [2], [3])
    ids = three.spans.column("trace_id").to_pylist()  # type: ignore[union-attr]
    ids[1] = None  # NOT NULL in the table
    three.spans = three.spans.set_column(0, "trace_id", pa.array(ids, pa.string()))  # type: ignore[union-attr]
    original, commits = writer.run, count(1)

    def run(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: object = None) -> object:
        if sql == "COMMIT" and next(commits) == failing:
            raise duckdb.IOException("simulated")
        return original(cursor, sql, parameters)

    monkeypatch.setattr(writer, "run", run)
    future = database.writer.submit(three)
    database.start()
    final = {1: [], 2: [ExportResult(1)], 3: [ExportResult(1), InvalidPayload]}[failing]
    if failing == 1:
        with pytest.raises(StoreUnavailable):
            future.result(60)
    else:
        found = [o if isinstance(o, ExportResult) else type(o) for o in future.result(60)]
        assert found == final + [StoreUnavailable] * (3 - len(final))
    assert value(database, "poison_requests_total") == (failing == 3)
    stored = query(database, "SELECT input_tokens FROM stored_spans")
    assert stored == [(1,)] * (failing > 1)
    again = commit(database, three)
    assert [isinstance(o, ExportResult) for o in again] == [True, False, True]
    assert [o.duplicate for o in (again[0], again[2])] == [failing > 1, False]
    assert query(database, "SELECT input_tokens FROM stored_spans ORDER BY 1") == [(1,), (3,)]
    database.close()


def test_rejected_items_are_kept_up_to_the_limit(tmp_path: Path) -> None:
    database = open_database(tmp_path, quarantine_rows=3)
    for _ in range(2):
        rejected = WriteBatch(
            signal="traces", received_at_ns=NOW_NS, digests=[], results=[],
            quarantine=pa.table({"signal": ["traces"] * 2, "reason": ["undecodable"] * 2}),
        )  # fmt: skip
        assert commit(database, rejected) == []
    assert query(database, "SELECT count(*) FROM quarantine") == [(3,)]
    assert value(database, "quarantine_overflow_total") == 1
    database.close()
    database = open_database(tmp_path, quarantine_rows=3)
    commit(database, rejected)
    assert query(database, "SELECT count(*) FROM quarantine") == [(3,)]
    database.close()


def test_all_tables_of_a_request_share_one_commit(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    written = WriteBatch(
        signal="logs", received_at_ns=NOW_NS, digests=[b"x"], results=[ExportResult(1, 1, "no")],
        logs=pa.table({"event_name": ["gen_ai.choice"]}), log_request=np.array([0]),
        evaluations=pa.table(
            {"trace_id": ["a"], "response_id": ["b"], "name": ["g"], "kind": ["human"],
             "source": ["event"]}
        ),
        evaluation_request=np.array([0]),
        quarantine=pa.table({"signal": ["logs"], "reason": ["bad"]}),
        quarantine_request=np.array([0]),
    )  # fmt: skip
    commit(database, written)
    seqs = query(
        database, "SELECT seq FROM evaluations UNION ALL FROM (SELECT seq FROM logs) "
        "UNION ALL SELECT seq FROM quarantine ORDER BY 1",
    )  # fmt: skip
    assert [seq for (seq,) in seqs] == [1, 2, 3]
    assert query(database, "SELECT accepted, rejected, message FROM seg_000001.ledger") == [
        (1, 1, "no")
    ]
    database.close()


def test_submit_blocks_when_four_batches_wait(tmp_path: Path) -> None:
    database = open_database(tmp_path, start=False)
    for i in range(4):
        database.writer.submit(batch([i]))
    submitted = threading.Event()
    thread = threading.Thread(target=lambda: (database.writer.submit(batch([9])), submitted.set()))
    thread.start()
    assert not submitted.wait(0.2)
    database.start()
    assert submitted.wait(30)
    thread.join()
    database.close()
    database = open_database(tmp_path)
    assert query(database, "SELECT count(*) FROM spans") == [(5,)]
    database.close()


def test_ledger_is_bounded() -> None:
    telemetry, clock = Telemetry(), ManualClock(NOW_NS)
    ledger = Ledger(telemetry, clock, max_entries=10)
    ledger.add([(b"%d" % i, ExportResult(i)) for i in range(12)], NOW_NS)
    assert ledger.lookup(b"0") is None
    assert ledger.lookup(b"2") == ExportResult(2)
    assert telemetry.registry.get_sample_value("retraind_ledger_evictions_total") == 2
    clock.advance(seconds=3601)
    ledger.add([(b"new", ExportResult(1))], NOW_NS + 3601 * SECOND_NS)
    assert telemetry.registry.get_sample_value("retraind_ledger_entries") == 1
    assert telemetry.registry.get_sample_value("retraind_ledger_evictions_total") == 2


def test_dictionary_and_wide_arrow_types_are_taken(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    written = batch([1, 2])
    rows = spans([1, 2])
    rows = rows.set_column(2, "name", rows.column("name").combine_chunks().dictionary_encode())
    written.spans = rows.set_column(0, "trace_id", rows.column("trace_id").cast(pa.large_string()))
    commit(database, written)
    assert query(database, "SELECT DISTINCT name FROM spans") == [("chat",)]
    database.close()
