"""Rotation, sealing, restarts, damage and retention on real files."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from retraind.clock import ManualClock
from retraind.errors import StartError
from retraind.store.database import Database
from retraind.store.erase import Selection, erase
from store_harness import NOW_NS, SECOND_NS, batch, commit, open_database, query, value

DAY_NS = 86_400 * SECOND_NS


def wait_sealed(database: Database, n: int) -> None:
    deadline = time.monotonic() + 60
    while [s.status for s in database.segments.all()].count("sealed") < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rotated(folder: Path, clock: ManualClock | None = None, *, segments: int = 3) -> Database:
    """A store whose every commit fills a segment: span i of day i lies in segment i + 1."""
    database = open_database(folder, clock=clock, segment_bytes=1)
    for i in range(segments):
        commit(database, batch([i], at_ns=NOW_NS + i * DAY_NS))
        wait_sealed(database, i + 1)
    return database


def test_rotation_seals_and_records_the_old_segment(tmp_path: Path) -> None:
    database = rotated(tmp_path)
    sealed = [s for s in database.segments.all() if s.status == "sealed"]
    assert [(s.first_seq, s.last_seq, s.span_rows) for s in sealed] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 3, 1),
    ]
    assert [s.first_ns for s in sealed] == [NOW_NS + i * DAY_NS for i in range(3)]
    readonly = query(
        database, "SELECT readonly FROM duckdb_databases() WHERE database_name = 'seg_000001'"
    )
    assert readonly == [(True,)]
    with duckdb.connect(str(tmp_path / "store" / sealed[0].file), read_only=True) as other:
        assert other.execute("SELECT count(*) FROM spans").fetchall() == [(1,)]
    assert query(database, "SELECT count(*) FROM spans") == [(3,)]
    assert query(database, "SELECT status FROM segments ORDER BY id")[:3] == [("sealed",)] * 3
    assert value(database, "segment_rotations_total") == 3
    database.close()


def test_the_size_of_the_store_is_known_from_the_start(tmp_path: Path) -> None:
    rotated(tmp_path).close()
    database = open_database(tmp_path, start=False)
    sizes = [path.stat().st_size for path in (tmp_path / "store").glob("segment-*")]
    assert len(sizes) > 3
    assert value(database, "store_size_bytes") == sum(sizes)
    database.close()


def test_seq_is_monotonic_over_segments_and_restarts(tmp_path: Path) -> None:
    rotated(tmp_path).close()
    database = open_database(tmp_path)
    commit(database, batch([7], [8]))
    assert [s for (s,) in query(database, "SELECT seq FROM spans ORDER BY seq")] == [1, 2, 3, 4, 5]
    database.close()


def test_reader_restricts_by_event_time_and_seq(tmp_path: Path) -> None:
    database = rotated(tmp_path)
    read = database.reader.fetch_sql
    count = "SELECT input_tokens AS i FROM {spans} ORDER BY i"
    assert read(count)["i"].to_pylist() == [0, 1, 2]
    one = read(count, first_ns=NOW_NS + DAY_NS, last_ns=NOW_NS + 2 * DAY_NS)
    assert one["i"].to_pylist() == [1]
    assert read(count, after_seq=2)["i"].to_pylist() == [2]
    chosen = database.segments.for_range(NOW_NS, NOW_NS + 1, None)
    assert [segment.id for segment in chosen if segment.status == "sealed"] == [1]
    database.close()


def test_an_unsealed_segment_is_sealed_after_a_restart(tmp_path: Path) -> None:
    database = open_database(tmp_path, start=False, segment_bytes=1)
    database.writer.start()  # the sealing thread never runs, as if killed before it did
    for i in range(2):
        commit(database, batch([i]))
    database.close()
    database = open_database(tmp_path)
    wait_sealed(database, 2)
    assert query(database, "SELECT count(*) FROM spans") == [(2,)]
    database.close()


def as_of_version_1(file: Path) -> None:
    """Write a segment as 0.1.0 before 2026-11-21 did: spans was a table with all of its texts."""
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "CREATE TABLE whole AS FROM spans; DROP VIEW spans; DROP TABLE span_rows; "
            "DROP TABLE texts; ALTER TABLE whole RENAME TO spans; "
            "UPDATE segment_info SET value = '1' WHERE key = 'schema_version'"
        )


def test_an_older_segment_is_read_and_not_written_to(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1, 2]))
    before = query(database, "SELECT * FROM spans ORDER BY seq")
    database.close()
    as_of_version_1(tmp_path / "store" / "segment-000001.duckdb")
    database = open_database(tmp_path)
    wait_sealed(database, 1)
    commit(database, batch([3]))
    assert query(database, "SELECT * FROM spans ORDER BY seq")[:2] == before
    assert [s.span_rows for s in database.segments.all() if s.status == "sealed"] == [2]
    trace = f"{2:032x}"
    assert erase(database, Selection(trace=trace)).rows["spans"] == 1
    rows = "SELECT resource, norm_source FROM spans ORDER BY seq"
    shop = '{"service.name":"shop"}'
    assert query(database, rows) == [(shop, f'{{"input_tokens":"tokens.{i}"}}') for i in (1, 0)]
    database.close()


def test_a_text_that_spans_share_is_stored_once(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch(range(1, 100)))
    commit(database, batch(range(100, 200)))
    texts = query(database, "SELECT text FROM seg_000001.texts ORDER BY text")
    sources = [f'{{"input_tokens":"tokens.{i}"}}' for i in range(3)]
    assert texts == [(text,) for text in (*sources, '{"service.name":"shop"}')]
    assert query(database, "SELECT count(*) FROM spans WHERE norm_source IS NULL") == [(49,)]
    assert query(database, "SELECT count(*), count(DISTINCT seq) FROM stored_spans") == [(199, 199)]
    database.close()


def test_a_file_that_the_state_does_not_know_is_adopted(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1]))
    with database.state.transaction() as tx:
        tx.run("delete_segments")
    database.close()
    database = open_database(tmp_path)
    assert query(database, "SELECT count(*) FROM spans") == [(1,)]
    commit(database, batch([2]))
    assert query(database, "SELECT max(seq) FROM spans") == [(2,)]
    database.close()


def test_an_empty_file_of_a_crashed_creation_gets_its_tables(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    duckdb.connect(str(tmp_path / "store" / "segment-000002.duckdb")).close()
    database = open_database(tmp_path)
    commit(database, batch([1]))
    assert query(database, "SELECT count(*) FROM spans") == [(1,)]
    database.close()


@pytest.mark.parametrize("what", ["file", "log"])
def test_a_damaged_segment_is_set_aside(tmp_path: Path, what: str) -> None:
    store = tmp_path / "store"
    damaged = store / "segment-000001.duckdb"
    if what == "file":
        database = rotated(tmp_path, segments=1)
        database.close()
        damaged.write_bytes(b"\0" * damaged.stat().st_size)
    else:
        database = open_database(tmp_path)
        commit(database, batch(range(100), text="x" * 100))
        database.close()
        log = damaged.with_name(damaged.name + ".wal")
        content = bytearray(log.read_bytes())
        content[content.index(b"x" * 50)] ^= 255  # in a row: in a length it would be a torn end
        log.write_bytes(content)
    database = open_database(tmp_path)
    assert not damaged.exists()
    assert damaged.with_name(damaged.name + ".quarantined").exists()
    assert value(database, "segments_quarantined_total") == 1
    assert any(damaged.name in notice for notice in database.notices)
    commit(database, batch([999_999]))
    rows = query(database, "SELECT count(*) FROM spans WHERE input_tokens = 999999")
    assert rows == [(1,)]
    database.close()
    database = open_database(tmp_path)  # and the daemon starts again without a further alarm
    assert value(database, "segments_quarantined_total") == 0
    database.close()


def test_two_daemons_cannot_own_one_folder(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    with pytest.raises(StartError, match=str(os.getpid())):
        open_database(tmp_path)
    database.close()
    open_database(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_a_start_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartError, match=r"file/data cannot be made: Not a directory; .*--data"):
        open_database(tmp_path / "file" / "data")


def test_retention_deletes_old_segments(tmp_path: Path) -> None:
    clock = ManualClock(NOW_NS + 10 * DAY_NS)
    database = rotated(tmp_path, clock)
    database.close()
    clock.advance(seconds=86_400)
    database = open_database(tmp_path, clock=clock, retention_age=9.5 * 86_400)
    assert [segment.id for segment in database.retention.apply()] == [1, 2]
    assert query(database, "SELECT input_tokens FROM spans") == [(2,)]
    assert not (tmp_path / "store" / "segment-000001.duckdb").exists()
    database.close()
    database = open_database(tmp_path, clock=clock)
    assert database.notices == []
    assert query(database, "SELECT input_tokens FROM spans") == [(2,)]
    database.close()


def test_retention_by_size_keeps_the_hot_segment(tmp_path: Path) -> None:
    database = rotated(tmp_path)
    assert [s.id for s in database.retention.apply()] == []
    database.close()
    database = open_database(tmp_path, retention_bytes=1)
    commit(database, batch([50]))
    assert [s.id for s in database.retention.apply()] == [1, 2, 3]
    assert query(database, "SELECT input_tokens FROM spans") == [(50,)]
    database.close()


def test_a_crash_between_dropping_and_unlinking_is_finished(tmp_path: Path) -> None:
    database = rotated(tmp_path, segments=2)
    database.segments.record(replace(database.segments.all()[0], status="dropped"))
    database.close()
    database = open_database(tmp_path)
    assert not (tmp_path / "store" / "segment-000001.duckdb").exists()
    assert query(database, "SELECT input_tokens FROM spans") == [(1,)]
    database.close()
