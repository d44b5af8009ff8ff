"""Files of a newer version, an engine that fails for good, failed sealing, a disk that fills."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import duckdb
import grpc
import pytest

from builders import a_request, a_span
from harness import Daemon
from retraind.errors import StartError, StoreFatal, StoreUnavailable
from retraind.store import seal, state, writer
from retraind.store.database import Database
from retraind.store.segments import ATTACHED_FOR_ONE_READ, Segment
from retraind.store.sql import run_sql
from store_harness import NOW_NS, SECOND_NS, batch, commit, open_database, query, value

HERE = Path(__file__).parent
FEW = 8  # files that one read may open, instead of 64: the tests need not make so many
ROOT = HERE.parents[2]


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_state_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    with duckdb.connect(str(tmp_path / "retraind.duckdb")) as newer:
        newer.execute("INSERT INTO schema_migrations VALUES (99, now()::TIMESTAMP)")
    with pytest.raises(StartError, match=r"newer retraind \(schema 99\); install that version"):
        open_database(tmp_path)
    assert not list(tmp_path.glob("*.damaged-*"))


def test_a_segment_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1]))
    database.close()
    file = tmp_path / "store" / "segment-000001.duckdb"
    with duckdb.connect(str(file)) as newer:
        newer.execute("UPDATE segment_info SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(StartError, match=r"segment-000001.duckdb .*newer retraind \(schema 99\)"):
        open_database(tmp_path)
    assert file.exists()


def test_a_fatal_error_refuses_everything_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulation: the engine's exception is raised in its place."""
    database = open_database(tmp_path, start=False)
    told: list[int] = []
    database.start(on_fatal=lambda: told.append(1))
    commit(database, batch([1]))
    original = writer.run

    def run(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: object = None) -> object:
        if sql == "COMMIT":
            raise duckdb.FatalException("simulated")
        return original(cursor, sql, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "run", run)
        future = database.writer.submit(batch([2]))
        with pytest.raises(StoreFatal, match="simulated"):
            future.result(60)
        wait_for(lambda: told)
    assert told == [1]
    assert database.writer.fatal.is_set()
    assert (database.writer.accepting, database.writer.reason) == (False, "fatal")
    assert value(database, "store_accepting") == 0
    assert value(database, "commit_failures_total", reason="fatal") == 1
    with pytest.raises(StoreUnavailable):
        database.writer.submit(batch([3])).result(60)
    database.close()


def test_the_process_exits_with_a_failure_after_a_fatal_error(tmp_path: Path) -> None:
    """The same simulation in a real daemon process."""
    daemon = Daemon(tmp_path / "data")
    daemon.config_file.write_text(json.dumps(daemon.config))  # JSON is YAML
    child = [sys.executable, str(HERE / "fatal_child.py"), *daemon.command[3:]]
    with daemon.log_file.open("ab") as log:
        daemon.process = subprocess.Popen(child, stdout=log, stderr=subprocess.STDOUT)
    daemon.wait_ready()
    acknowledged, refused = [], None
    for i in range(1, 6):
        span = a_span(i, start_ns=time.time_ns())
        try:
            daemon.export(a_request([span]))
            acknowledged.append(span.trace_id.hex())
        except grpc.RpcError as error:
            refused = error
            break
    assert refused is not None
    assert refused.code() == grpc.StatusCode.UNAVAILABLE
    assert daemon.process.wait(60) == 1
    stored = {str(row["trace_id"]) for row in daemon.sql("select trace_id from stored_spans")}
    assert len(acknowledged) == 2
    assert set(acknowledged) <= stored


def test_a_file_whose_checkpoint_is_wrong_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(tmp_path, segment_bytes=1)
    original = database.segments.detach

    def damage(segment: Segment) -> None:
        original(segment)
        path = database.segments.path(segment)
        content = bytearray(path.read_bytes())
        for at in range(3 * 4096 + 64, len(content), 4096):  # behind the headers
            content[at] ^= 255
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr(database.segments, "detach", damage)
        commit(database, batch(range(100)))
        wait_for(lambda: value(database, "segments_quarantined_total") == 1)
    assert (tmp_path / "store" / "segment-000001.duckdb.quarantined").exists()
    assert any("could not be verified" in notice for notice in database.notices)
    wait_for(lambda: query(database, "SELECT count(*) FROM spans") == [(0,)])
    commit(database, batch([7]))
    assert query(database, "SELECT count(*) FROM spans") == [(1,)]
    database.close()


@pytest.mark.parametrize(
    ("column", "sql"),
    [("text", "UPDATE seg_000001.span_rows SET attributes = 'x' WHERE seq = 8"),
     ("number", "UPDATE seg_000001.span_rows SET input_tokens = -1 WHERE seq = 3"),
     ("rows", "DELETE FROM seg_000001.span_rows WHERE seq = 3"),
     ("ledger", "UPDATE seg_000001.ledger SET accepted = 0")],
)  # fmt: skip
def test_the_fingerprint_sees_a_change(tmp_path: Path, column: str, sql: str) -> None:
    database = open_database(tmp_path)
    commit(database, batch(range(20)))
    cursor = database.engine.cursor()
    before = seal.fingerprint(cursor, "seg_000001")
    assert seal.fingerprint(cursor, "seg_000001") == before
    query(database, sql)
    assert seal.fingerprint(cursor, "seg_000001") != before, column
    database.close()


def test_sealing_looks_at_the_disk_right_before_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(tmp_path, start=False)
    database.writer.start()
    commit(database, batch(range(1000), text="z" * 500))
    old = database.segments.rotate()
    real = shutil.disk_usage(tmp_path)
    order: list[str] = []

    def usage(_path: Path) -> object:
        order.append("disk")
        return real._replace(free=2**50 if order == ["disk"] else 0)

    original = seal.fingerprint
    monkeypatch.setattr(seal.shutil, "disk_usage", usage)
    monkeypatch.setattr(
        seal, "fingerprint", lambda *args: order.append("fingerprint") or original(*args)
    )
    with pytest.raises(StoreUnavailable, match="free disk"):
        database.sealer.seal(old)
    assert order == ["disk", "fingerprint", "disk"]
    assert database.segments.log_path(old).stat().st_size > 0  # no checkpoint was begun
    monkeypatch.undo()
    database.sealer.seal(old)
    assert query(database, "SELECT count(*) FROM spans") == [(1000,)]
    database.close()


def test_a_disk_that_fills_during_a_checkpoint_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)], check=True)
    try:
        child = subprocess.run(
            [sys.executable, str(HERE / "disk_child.py"), str(disk)],
            capture_output=True, text=True, timeout=120, check=False,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT / 'tests'}"},
        )  # fmt: skip
        assert child.returncode == 3, child.stderr
        lines = [line for line in child.stdout.splitlines() if line.startswith("acked ")]
        acked = {int(line.split()[1]) for line in lines}
        assert len(acked) > 10
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        database = open_database(disk)
        assert database.notices == []
        found = query(database, "SELECT input_tokens FROM stored_spans")
        stored = [n for (n,) in found]
        assert {100 * i + k for i in acked for k in range(100)} <= set(stored)
        assert len(stored) == len(set(stored))
        database.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def many(folder: Path, n: int) -> Database:
    """n sealed segments with one span each, an hour apart."""
    database = open_database(folder, segment_bytes=1)
    for i in range(n):
        commit(database, batch([i], at_ns=NOW_NS + i * 3600 * SECOND_NS))
    wait_for(lambda: [s.status for s in database.segments.all()].count("sealed") == n)
    return database


def test_more_files_than_one_read_may_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ATTACHED_FOR_ONE_READ == 64
    for module in ("segments", "sql"):
        monkeypatch.setattr(f"retraind.store.{module}.ATTACHED_FOR_ONE_READ", FEW)
    n = FEW + 6
    database = many(tmp_path, n)
    segments = database.segments
    everything = "SELECT count(*) AS n FROM spans"
    assert query(database, everything) == [(FEW,)]  # the common view
    before = value(database, "segments_left_out_total")
    with segments.reading():
        chosen = segments.for_range(None, None, None)
    assert [s.first_seq for s in chosen if s.status == "sealed"] == list(range(7, n + 1))
    assert value(database, "segments_left_out_total") == before + 6
    old = database.reader.fetch_sql(
        "SELECT seq FROM {spans}", first_ns=NOW_NS, last_ns=NOW_NS + 3 * 3600 * SECOND_NS
    )
    assert sorted(old["seq"].to_pylist()) == [1, 2, 3]
    for sql in (everything, "select count(*) as n from stored_SPANS"):
        asked = run_sql(database, sql, timeout_seconds=30, max_rows=9)
        assert asked.table["n"].to_pylist() == [n]  # a user sees all of them
    assert query(database, everything) == [(FEW,)]
    assert value(database, "segments_left_out_total") == before + 6
    database.close()


def test_old_files_are_detached_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.store.segments.ATTACHED_FOR_ONE_READ", 2)
    monkeypatch.setattr("retraind.store.sql.ATTACHED_FOR_ONE_READ", 2)
    database = many(tmp_path, 8)
    asked = run_sql(
        database, "SELECT count(*) AS n FROM spans", timeout_seconds=30, max_rows=9
    )  # fmt: skip
    assert asked.table["n"].to_pylist() == [8]
    attached = "SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'seg_%'"
    assert query(database, attached)[0][0] <= 2 + 1 + 2  # in views, hot, kept for the next read
    with monkeypatch.context() as patch:
        patch.setattr("retraind.store.sql.ATTACHED_FOR_SQL", 5)
        with pytest.raises(Exception, match="more than the 5"):
            run_sql(database, "FROM spans", timeout_seconds=30, max_rows=9)
    database.close()


def test_the_state_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "LOG_BYTES", 16 * 1024)
    database = open_database(tmp_path)
    log = tmp_path / "retraind.duckdb.wal"
    sizes = []
    for through in range(600):
        with database.state.transaction() as tx:
            tx.run("write_progress", through=through)
        sizes.append(log.stat().st_size if log.exists() else 0)
    assert max(sizes) <= 16 * 1024
    assert sum(b < a for a, b in pairwise(sizes)) >= 2  # several checkpoints
    database.close()
    database = open_database(tmp_path)
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [599]
    database.close()


@pytest.mark.parametrize("killed", [False, True])
def test_a_restarted_daemon_begins_with_an_empty_state_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Else the first tick pays for what the last process has written."""
    folder, copy = tmp_path / "data", tmp_path / "copy"
    database = open_database(folder)
    monkeypatch.setattr(state, "IDLE_LOG_BYTES", 16 * 1024)
    for through in range(600):
        with database.state.transaction() as tx:
            tx.run("write_progress", through=through)
    log = folder / "retraind.duckdb.wal"
    assert log.stat().st_size > 16 * 1024
    if killed:
        shutil.copytree(folder, copy)
    database.close()
    left = (copy if killed else folder) / "retraind.duckdb.wal"
    assert (left.exists() and left.stat().st_size > 16 * 1024) == killed
    database = open_database(left.parent)
    assert not left.exists() or left.stat().st_size <= 16 * 1024
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [599]
    database.close()


def test_a_full_disk_at_the_end_leaves_the_state_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "IDLE_LOG_BYTES", 0)
    database = open_database(tmp_path)
    with database.state.transaction() as tx:
        tx.run("write_progress", through=5)
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(state.shutil, "disk_usage", lambda _path: real._replace(free=0))
    database.close()
    assert (tmp_path / "retraind.duckdb.wal").stat().st_size > 0
    database = open_database(tmp_path)
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [5]
    database.close()


def test_a_state_checkpoint_waits_for_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "LOG_BYTES", 0)
    database = open_database(tmp_path)
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(state.shutil, "disk_usage", lambda _path: real._replace(free=0))
    with database.state.transaction() as tx:
        tx.run("write_progress", through=5)
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [5]
    with pytest.raises(StoreUnavailable, match="free disk"):
        database.snapshot()
    monkeypatch.undo()
    database.snapshot()
    database.close()
