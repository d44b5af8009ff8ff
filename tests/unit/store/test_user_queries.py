"""Users' queries beside commits: what they take away from incoming data, they lose."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb
import pytest

from retraind.errors import QueryError, StoreUnavailable
from retraind.model import ExportResult
from retraind.store import engine, sql, user_queries, writer
from retraind.store.database import Database
from retraind.store.sql import SqlResult, Stop
from store_harness import batch, commit, open_database, query, value

ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
# One string that only grows: nothing of it can be spilled.
HUNGRY = "SELECT string_agg(md5(range::VARCHAR), ',') FROM range(100000000)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path)
    yield opened
    opened.close()


def ask(database: Database, sql: str, seconds: float = 60) -> Future[SqlResult]:
    return database.queries.submit(sql, timeout_seconds=seconds, max_rows=10)


def running(database: Database) -> Future[SqlResult]:
    """A query that does not end by itself, begun."""
    asked = ask(database, ENDLESS)
    deadline = time.monotonic() + 60
    busy = "SELECT count(*) FROM duckdb_memory()"  # any statement; other connections go on
    while not database.queries._running:
        assert time.monotonic() < deadline
        query(database, busy)
    return asked


def test_a_commit_without_memory_ends_queries_and_is_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's error is injected at the first INSERT; the query and all else is real."""
    original, failures = writer.run, iter([True])

    def run(cursor: Any, sql: str, parameters: Any = None) -> Any:
        if sql.startswith("INSERT") and next(failures, False):
            raise duckdb.OutOfMemoryException("simulated")
        return original(cursor, sql, parameters)

    asked = running(database)
    monkeypatch.setattr(writer, "run", run)
    assert commit(database, batch([1, 2])) == [ExportResult(2)]
    with pytest.raises(QueryError, match="incoming data needed the memory"):
        asked.result(60)
    assert database.writer.accepting
    assert value(database, "commit_failures_total", reason="io") == 0
    assert value(database, "user_queries_ended_total") == 1
    assert ask(database, "SELECT count(*) AS n FROM spans").result(60).table["n"][0].as_py() == 2


def test_a_commit_that_finds_no_memory_after_it_is_done_is_not_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the engine was seen to do: the rows were durable, and the statement raised."""
    original, failures = writer.run, iter([True])

    def run(cursor: Any, sql: str, parameters: Any = None) -> Any:
        done = original(cursor, sql, parameters)
        if sql == "COMMIT" and next(failures, False):
            raise duckdb.OutOfMemoryException("simulated")
        return done

    monkeypatch.setattr(writer, "run", run)
    assert commit(database, batch([1, 2])) == [ExportResult(2)]
    assert next(failures, None) is None
    assert commit(database, batch([3])) == [ExportResult(1)]
    assert query(database, "SELECT seq, input_tokens FROM stored_spans ORDER BY 1, 2") == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    assert commit(database, batch([1, 2])) == [ExportResult(2, duplicate=True)]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask_after(database: Database, sql: str) -> list[Any]:
    return ask(database, sql).result(60).table.to_pylist()


@pytest.mark.parametrize("error", [duckdb.OutOfMemoryException, duckdb.IOException])
def test_a_commit_that_was_durable_after_all_is_not_stored_again_by_a_retry(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: type[duckdb.Error]
) -> None:
    """COMMIT fails after it is done, and so does asking whether it was: the client has to retry."""
    original, failing, failures = writer.run, threading.Event(), [0]

    def run(cursor: Any, sql: str, parameters: Any = None) -> Any:
        if failing.is_set() and sql.startswith("SELECT 1 FROM"):
            failures[0] += 1
            raise error("simulated")
        done = original(cursor, sql, parameters)
        if failing.is_set() and sql == "COMMIT":
            failures[0] += 1
            raise error("simulated")
        return done

    monkeypatch.setattr(writer, "run", run)
    failing.set()
    with pytest.raises(StoreUnavailable, match="simulated"):
        commit(database, batch([1, 2]))
    with pytest.raises(StoreUnavailable, match="simulated"):  # no seq is given a second time
        commit(database, batch([3]))
    assert failures[0] >= 3
    failing.clear()
    assert commit(database, batch([1, 2])) == [ExportResult(2, duplicate=True)]
    assert commit(database, batch([3])) == [ExportResult(1)]
    assert query(database, "SELECT seq, input_tokens FROM stored_spans ORDER BY 1, 2") == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    assert database.writer.newest_seq == 3


def test_a_commit_that_fails_before_it_is_durable_is_stored_by_its_retry(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the same bytes stand in the ledger, from before the hour in which retries count."""
    assert commit(database, batch([1, 2])) == [ExportResult(2)]
    database._clock.advance(seconds=7200)  # type: ignore[attr-defined]
    original, failures = writer.run, iter([True])

    def run(cursor: Any, sql: str, parameters: Any = None) -> Any:
        if sql == "COMMIT" and next(failures, False):
            raise duckdb.OutOfMemoryException("simulated")
        return original(cursor, sql, parameters)

    monkeypatch.setattr(writer, "run", run)
    assert commit(database, batch([1, 2])) == [ExportResult(2)]
    assert next(failures, None) is None
    seqs = query(database, "SELECT seq FROM stored_spans ORDER BY 1")
    assert seqs == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("what", ["seal", "merge", "state"])
def test_a_checkpoint_runs_beside_no_query(
    database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """One that runs out of memory invalidates the engine, and the daemon exits."""
    original, beside = engine.run, []

    def run(cursor: Any, sql: str, parameters: Any = None) -> Any:
        if sql.startswith("CHECKPOINT"):
            beside.append((sql, len(database.queries._running)))
        return original(cursor, sql, parameters)

    commit(database, batch([1]))
    old = database.segments.hot
    if what == "merge":
        for i in (2, 3):
            database.writer.rotate(60)
            commit(database, batch([i]))
        wait_for(lambda: [s.status for s in database.segments.all()] == ["sealed"] * 2 + ["hot"])
    monkeypatch.setattr(engine, "run", run)
    monkeypatch.setattr(user_queries, "PATIENCE_SECONDS", 0.1)
    asked = running(database)
    if what == "seal":
        database.writer.rotate(60)
        wait_for(lambda: database.segments.all()[0].status == "sealed")
    elif what == "merge":
        database.merger.merge(database.segments.all()[:2])
    else:
        database.snapshot()
    with pytest.raises(QueryError, match="write its log"):
        asked.result(60)
    catalog = {"seal": old.catalog, "merge": "seg_", "state": "state"}[what]
    assert beside
    assert all(sql.startswith(f"CHECKPOINT {catalog}") and n == 0 for sql, n in beside)
    assert ask_after(database, "SELECT 1 AS x") == [{"x": 1}]


def test_a_query_that_ends_soon_is_waited_for_by_a_checkpoint(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_queries, "PATIENCE_SECONDS", 60.0)
    asked = ask(database, "SELECT count(*) AS n FROM range(20000000) WHERE hash(range) % 7 = 0")
    wait_for(lambda: database.queries._running or asked.done())
    database.snapshot()
    assert asked.done()
    assert asked.result().table.num_rows == 1


def test_no_checkpoint_is_begun_while_a_query_cannot_be_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside one long call of a function the engine does not notice the interrupt."""
    monkeypatch.setattr(user_queries, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(user_queries, "END_SECONDS", 0.05)
    monkeypatch.setattr(Stop, "end", lambda *_: None)
    asked = running(database)
    with pytest.raises(StoreUnavailable, match="does not end"):
        database.snapshot()
    monkeypatch.undo()
    with database.queries.ended("the test is over"), pytest.raises(QueryError):
        asked.result(60)
    assert database.snapshot().exists()


def test_a_query_that_is_ended_before_it_has_begun_is_told_why(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt meets the check of the statement, which says only that it was interrupted."""
    began, go_on = threading.Event(), threading.Event()

    def check(*_: Any) -> None:
        began.set()
        assert go_on.wait(60)
        raise QueryError("INTERRUPT Error: Interrupted!")

    monkeypatch.setattr(sql, "check_statement", check)
    asked = ask(database, "SELECT 1")
    assert began.wait(60)
    monkeypatch.setattr(user_queries, "END_SECONDS", 0.0)
    with database.queries.ended("the reason"):
        go_on.set()
        with pytest.raises(QueryError, match="the reason"):
            asked.result(60)


def test_a_query_that_has_just_ended_may_still_be_ended(database: Database) -> None:
    """Whoever ends it cannot know; a commit that needs its memory must not fail for that."""
    cursor = database.segments.engine.new_cursor()
    stop = Stop(cursor)
    database.segments.engine.release(cursor)
    stop.end("too late")
    assert stop.reason == "too late"


def test_a_disk_that_gets_low_ends_queries_before_data_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = running(database)
    real = shutil.disk_usage(database.data_dir)
    looked = threading.Event()

    def usage(_: Path) -> Any:
        looked.set()
        return real._replace(free=0 if database.queries._running else real.free)

    monkeypatch.setattr(writer.shutil, "disk_usage", usage)
    with pytest.raises(QueryError, match="incoming data needed the disk"):
        asked.result(60)
    assert looked.is_set()
    assert commit(database, batch([1])) == [ExportResult(1)]


def test_a_query_that_holds_too_much_is_ended_while_memory_is_left(tmp_path: Path) -> None:
    database = open_database(tmp_path, memory_limit=1024 * 2**20)
    stop, failed = threading.Event(), []

    def send() -> None:
        for i in range(10_000):
            if stop.is_set():
                return
            if commit(database, batch([i], text="x" * 10_000)) != [ExportResult(1)]:
                failed.append(i)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(QueryError, match=r"store\.memory_limit|Out of Memory"):
        ask(database, HUNGRY).result(120)
    stop.set()
    sender.join()
    assert failed == []
    assert value(database, "commit_failures_total", reason="io") == 0
    database.close()


def test_queries_take_turns(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [running(database), ask(database, ENDLESS)]
    with pytest.raises(QueryError, match="other queries ran all the time"):
        ask(database, "SELECT 1", seconds=0.2).result(60)
    monkeypatch.setattr(user_queries, "WAITING", 0)
    with pytest.raises(QueryError, match="too many queries"):
        ask(database, "SELECT 1").result(60)
    monkeypatch.undo()
    with database.queries.ended("the test is over"):
        for each in first:
            with pytest.raises(QueryError):
                each.result(60)
    assert ask(database, "SELECT 1 AS x").result(60).table["x"].to_pylist() == [1]


def test_a_rollback_that_finds_no_memory_is_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the connection stays in the failed transaction, and refuses everything from then on."""
    original, failures = engine.run, iter([True, True])

    def run(cursor: Any, sql: str, parameters: Any = None) -> Any:
        if sql == "ROLLBACK" and next(failures, False):
            raise duckdb.OutOfMemoryException("simulated")
        return original(cursor, sql, parameters)

    monkeypatch.setattr(engine, "run", run)
    with pytest.raises(RuntimeError), database.state.transaction() as tx:  # noqa: PT012
        tx.run("write_progress", through=5)
        raise RuntimeError
    assert next(failures, None) is None
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [0]
