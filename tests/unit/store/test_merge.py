"""Merging: which files, that no row is lost or doubled, and what a crash leaves."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from retraind.clock import ManualClock
from retraind.errors import StoreUnavailable
from retraind.model import ExportResult
from retraind.store import merge as merging
from retraind.store.database import Database
from retraind.store.merge import Merger, choose_run
from retraind.store.segments import Segment
from retraind.store.sql import open_stopped, run_sql
from store_harness import NOW_NS, SECOND_NS, batch, commit, digest, open_database, query, value

HOUR = 3600 * SECOND_NS
DAY = 24 * HOUR
MIB = 2**20


def sealed(i: int, *, mib: int = 10, hour: float = 0, width: float = 1) -> Segment:
    """A segment that was written, and whose events lie, in [hour, hour + width)."""
    first, last = round(NOW_NS + hour * HOUR), round(NOW_NS + (hour + width) * HOUR)
    return Segment(
        i, "sealed", first, sealed_ns=last, bytes=mib * MIB, first_seq=i, last_seq=i,
        first_ns=first, last_ns=last,
    )  # fmt: skip


def ids(run: list[Segment]) -> list[int]:
    return [segment.id for segment in run]


def test_four_small_neighbours_are_merged_and_three_are_not() -> None:
    hours = [sealed(i, hour=i) for i in range(4)]
    assert choose_run(hours[:3], NOW_NS + 5 * HOUR) == []
    assert ids(choose_run(hours, NOW_NS + 5 * HOUR)) == [0, 1, 2, 3]


def test_a_large_file_waits_until_as_much_has_come() -> None:
    small = [sealed(i, hour=i) for i in range(1, 5)]
    assert ids(choose_run([sealed(0, mib=500), *small], NOW_NS + 6 * HOUR)) == [1, 2, 3, 4]
    equal = [sealed(i, mib=120, hour=i) for i in range(1, 5)]
    assert ids(choose_run([sealed(0, mib=400), *equal], NOW_NS + 6 * HOUR)) == [0, 1, 2, 3, 4]


def test_a_finished_day_is_merged_and_then_left_alone() -> None:
    day = [sealed(0, mib=500), sealed(1, hour=5), sealed(2, hour=20, width=4)]
    later = sealed(3, hour=25)
    assert choose_run([*day, later], NOW_NS + 23 * HOUR) == []
    assert ids(choose_run([*day, later], NOW_NS + 26 * HOUR)) == [0, 1, 2]
    merged = replace(day[0], sealed_ns=day[2].sealed_ns, last_ns=day[2].last_ns)
    assert choose_run([merged, later], NOW_NS + 26 * HOUR) == []


def test_neither_a_gibibyte_nor_a_day_is_exceeded() -> None:
    large = [sealed(i, mib=300, hour=i) for i in range(5)]
    assert choose_run(large, NOW_NS + 6 * HOUR) == []  # three fit, and three are too few
    assert ids(choose_run(large, NOW_NS + 30 * HOUR)) == [0, 1, 2]
    days = [sealed(i, hour=24 * i, width=24) for i in range(5)]
    assert choose_run(days, NOW_NS + 10 * DAY) == []


def test_only_sealed_neighbours_are_merged() -> None:
    hours = [sealed(i, hour=i) for i in range(5)]
    hours[2] = replace(hours[2], status="sealing")
    assert choose_run(hours, NOW_NS + 6 * HOUR) == []


def rotated(folder: Path, n: int, first: int = 0, clock: ManualClock | None = None) -> Database:
    """n sealed segments with one request of ten spans each."""
    database = open_database(folder, clock=clock, segment_bytes=1)
    for i in range(first, first + n):
        commit(database, batch(range(10 * i, 10 * i + 10)))
    deadline = time.monotonic() + 60
    while sum(s.span_rows or 0 for s in database.segments.all()) < 10 * (first + n):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return database


def merge(database: Database) -> Segment:
    sources = [s for s in database.segments.all() if s.status == "sealed"]
    return database.merger.merge(sources)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "store").iterdir())


def assert_all_once(database: Database, spans: int) -> None:
    counted = "SELECT count(*), count(DISTINCT seq), count(DISTINCT input_tokens) FROM stored_spans"
    assert query(database, counted) == [(spans, spans, spans)]


def test_a_merge_keeps_every_row_once_and_survives_a_restart(tmp_path: Path) -> None:
    database = rotated(tmp_path, 5)
    before = query(database, "FROM stored_spans ORDER BY seq")
    merged = merge(database)
    assert (merged.first_seq, merged.last_seq, merged.span_rows) == (1, 50, 50)
    assert query(database, "FROM stored_spans ORDER BY seq") == before
    statuses = query(database, "SELECT status FROM segments ORDER BY id")
    assert [status for (status,) in statuses] == ["merged"] * 5 + ["hot", "sealed"]
    assert not {f"segment-{i:06d}.duckdb" for i in range(1, 6)} & set(files(tmp_path))
    assert merged.file in files(tmp_path)
    assert value(database, "segment_merges_total") == 1
    assert value(database, "merged_segments_total") == 5
    assert value(database, "segment_merge_duration_seconds_count") == 1
    commit(database, batch([999]))
    database.close()
    database = open_database(tmp_path)
    assert database.notices == []
    assert database.ledger.lookup(digest(range(10))) == ExportResult(10)
    assert commit(database, batch(range(10))) == [ExportResult(10, duplicate=True)]
    assert query(database, "SELECT max(seq) FROM spans") == [(51,)]
    assert_all_once(database, 51)
    database.close()


def test_reads_find_merged_rows_by_seq_and_a_merge_can_be_merged_again(tmp_path: Path) -> None:
    database = rotated(tmp_path, 4)
    merge(database)
    database.close()
    database = rotated(tmp_path, 3, first=4)
    found = database.reader.fetch_sql("SELECT seq FROM {spans} ORDER BY seq", after_seq=35)
    assert found["seq"].to_pylist() == list(range(36, 71))
    filled = [s.first_seq for s in database.segments.all() if s.span_rows]
    assert filled == [1, 41, 51, 61]
    merge(database)
    assert_all_once(database, 70)
    assert [s.first_seq for s in database.segments.all() if s.span_rows] == [1]
    database.close()


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs but `finally`, and those blocks are cut off too."""


@pytest.mark.parametrize("moment", ["writing", "before rename", "before state", "before unlink"])
def test_a_crash_at_any_moment_of_a_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    database = rotated(tmp_path, 4)
    kept: dict[str, bytes] = {}

    def kill(*_: object, **__: object) -> None:
        kept.update({p.name: p.read_bytes() for p in (tmp_path / "store").iterdir()})
        kept["state"] = (tmp_path / "retraind.duckdb").read_bytes()
        kept["log"] = (tmp_path / "retraind.duckdb.wal").read_bytes()
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "writing":
            patch.setattr(Merger, "_verify", kill)
        elif moment == "before rename":
            patch.setattr(Merger, "_switch", kill)
        elif moment == "before state":
            patch.setattr(database.segments, "record", kill)
        else:
            patch.setattr(database.segments, "refresh_views", kill)
        with pytest.raises(Killed):
            merge(database)
    database.close()
    for path in (tmp_path / "store").iterdir():
        path.unlink()
    (tmp_path / "retraind.duckdb").write_bytes(kept.pop("state"))
    (tmp_path / "retraind.duckdb.wal").write_bytes(kept.pop("log"))
    for name, content in kept.items():
        (tmp_path / "store" / name).write_bytes(content)
    with open_stopped(tmp_path) as stopped:  # a reader before the daemon has tidied up
        result = run_sql(
            stopped, "SELECT count(*) AS n FROM stored_spans", timeout_seconds=30, max_rows=9
        )
        assert result.table["n"].to_pylist() == [40]
    database = open_database(tmp_path)
    assert database.notices == []
    assert_all_once(database, 40)
    assert not [name for name in files(tmp_path) if "merging" in name]
    on_disk = [name for name in files(tmp_path) if name.endswith(".duckdb")]
    assert len(on_disk) == (5 if moment in ("writing", "before rename") else 2)
    commit(database, batch([999]))
    assert query(database, "SELECT seq FROM spans WHERE input_tokens = 999") == [(41,)]
    database.close()


def test_a_lost_state_file_does_not_double_merged_rows(tmp_path: Path) -> None:
    database = rotated(tmp_path, 4)
    copies = {p.name: p.read_bytes() for p in (tmp_path / "store").glob("*.duckdb")}
    hot = database.segments.hot.file
    merge(database)
    database.close()
    for name, content in copies.items():  # the sources come back, as from a backup
        if name != hot:
            (tmp_path / "store" / name).write_bytes(content)
    (tmp_path / "retraind.duckdb").write_bytes(b"nonsense" * 4096)
    database = open_database(tmp_path)
    assert_all_once(database, 40)
    database.close()


def test_a_copy_that_differs_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = rotated(tmp_path, 4)
    before = files(tmp_path)
    original = merging.fingerprint
    calls: list[int] = []

    def off_by_one(*args: object, **options: int) -> list[tuple[str, int, int]]:
        calls.append(1)
        return [(part, n, total + len(calls)) for part, n, total in original(*args, **options)]

    monkeypatch.setattr(merging, "fingerprint", off_by_one)
    with pytest.raises(StoreUnavailable, match="does not hold"):
        merge(database)
    assert files(tmp_path) == before
    assert_all_once(database, 40)
    database.close()


def test_a_merge_needs_room_and_sources_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = rotated(tmp_path, 4)
    sources = [s for s in database.segments.all() if s.status == "sealed"]
    with monkeypatch.context() as patch:
        patch.setattr(database.merger, "config", replace_config(database, 2**60))
        with pytest.raises(StoreUnavailable, match="free disk"):
            database.merger.merge(sources)
    database.segments.record(replace(sources[0], status="dropped"))
    with pytest.raises(StoreUnavailable, match="gone"):
        database.merger.merge(sources)
    database.close()


def replace_config(database: Database, min_free_bytes: int) -> object:
    return database.merger.config.model_copy(update={"min_free_bytes": min_free_bytes})


def test_retention_waits_for_a_merge(tmp_path: Path) -> None:
    clock = ManualClock(NOW_NS)
    database = rotated(tmp_path, 4, clock=clock)
    clock.advance(seconds=40 * 86_400)
    sources = [s for s in database.segments.all() if s.status == "sealed"]
    with database.segments.pinned(sources[:2]):
        database.retention.apply()
        assert [s.id for s in database.segments.all() if s.status == "sealed"] == [1, 2]
    database.retention.apply()
    assert [s.status for s in database.segments.all()] == ["hot"]
    database.close()


def test_the_thread_merges_once_it_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "START_SECONDS", 0.0)
    monkeypatch.setattr(merging, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(merging, "QUIET_SECONDS", 0.2)
    database = rotated(tmp_path, 6)
    deadline = time.monotonic() + 60
    while value(database, "segment_merges_total") < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert_all_once(database, 60)
    database.close()


def test_counts_never_fall_and_never_double_while_files_rotate_and_merge(  # noqa: C901
    tmp_path: Path,
) -> None:
    database = open_database(tmp_path, segment_bytes=1)
    stop = threading.Event()
    acked = [0]
    failures: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            while not stop.is_set():
                work()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    def write() -> None:
        i = acked[0]
        commit(database, batch(range(10 * i, 10 * i + 10)))
        acked[0] = i + 1

    def merge_some() -> None:
        found = [s for s in database.segments.all() if s.status == "sealed"]
        if len(found) >= 4:
            database.merger.merge(found)
        time.sleep(0.05)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, merge_some)]
    for thread in threads:
        thread.start()
    seen, queries = 0, 0
    begun = time.monotonic()

    def enough() -> bool:
        merges, seconds = value(database, "segment_merges_total"), time.monotonic() - begun
        return bool(failures) or (seconds > 5 and merges > 0) or seconds > 60

    sql = "SELECT count(*) AS n, count(DISTINCT seq) AS d, max(seq) AS m FROM stored_spans"
    while not enough():
        least = 10 * acked[0]
        row = run_sql(database, sql, timeout_seconds=30, max_rows=9).table.to_pylist()[0]
        once = run_sql(
            database, "SELECT count(*) AS n FROM spans", timeout_seconds=30, max_rows=9
        ).table["n"][0].as_py()  # fmt: skip
        assert row["n"] == row["d"] == (row["m"] or 0)  # every seq up to the newest, once
        assert row["n"] >= max(least, seen)
        assert once >= row["n"]
        seen, queries = once, queries + 1
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert queries > 3
    assert value(database, "segment_merges_total") > 0
    assert_all_once(database, 10 * acked[0])
    database.close()
    database = open_database(tmp_path)
    assert_all_once(database, 10 * acked[0])
    database.close()
