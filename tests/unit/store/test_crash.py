"""kill -9, a full disk and system calls: what was acknowledged is on disk, once."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retraind.clock import SystemClock
from retraind.errors import StoreUnavailable
from retraind.model import ExportResult
from store_harness import batch, commit, digest, open_database, query, value

CHILD = Path(__file__).with_name("crash_child.py")
ROOT = Path(__file__).parents[3]


def child(folder: Path, first: int, *, segment_bytes: int, batches: int) -> list[str]:
    return [sys.executable, str(CHILD), str(folder), str(first), str(segment_bytes), str(batches)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT / 'tests'}"}


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acked: set[int] = set()
    chance = random.Random(7)
    for round_ in range(4):
        process = subprocess.Popen(
            child(tmp_path, 100_000 * round_, segment_bytes=20_000, batches=100_000),
            stdout=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(3)]  # started, and two acknowledged
        time.sleep(chance.uniform(0.0, 0.4))
        process.kill()
        seen += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        lines = [line for line in seen if line.startswith("acked ") and line.endswith("\n")]
        acked |= {int(line.split()[1]) for line in lines}
    database = open_database(tmp_path, clock=SystemClock())
    assert database.notices == []
    catalogs = [segment.catalog for segment in database.segments.all()]
    everything = " UNION ALL ".join(
        f"FROM (SELECT input_tokens, seq FROM {c}.spans)" for c in catalogs
    )
    rows = query(database, f"SELECT input_tokens, seq FROM ({everything})")
    stored = [n for n, _ in rows]
    assert len(acked) > 4
    assert {10 * i + k for i in acked for k in range(10)} <= set(stored)
    assert len(stored) == len(set(stored))
    assert len({seq for _, seq in rows}) == len(rows)
    for i in acked:  # a client that retries everything stores nothing twice
        assert database.ledger.lookup(digest(range(10 * i, 10 * i + 10))) == ExportResult(10)
    retried = max(acked)
    outcome = commit(database, batch(range(10 * retried, 10 * retried + 10), text="x" * 200))
    assert outcome == [ExportResult(10, duplicate=True)]
    database.close()


def test_the_log_is_synced_before_the_acknowledgement(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = child(tmp_path / "data", 1, segment_bytes=2**28, batches=5)
    subprocess.run(
        ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fdatasync,fsync,write", *command],
        check=True, capture_output=True, env=environment(), timeout=120,
    )  # fmt: skip
    synced, acknowledged = False, 0
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r"(fdatasync|fsync)\(\d+<[^>]*segment-000001\.duckdb\.wal>", line):
            synced = True
        elif '"acked ' in line:
            assert synced, line
            acknowledged, synced = acknowledged + 1, False
    assert acknowledged == 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    database = open_database(small_disk)
    acked = []
    error: Exception | None = None
    for i in range(200):
        try:
            commit(database, batch(range(100 * i, 100 * i + 100), text="y" * 2000))
            acked.append(i)
        except StoreUnavailable as refused:
            error = refused
            break
    assert error is not None
    assert acked
    assert not database.writer.accepting
    assert value(database, "store_accepting") == 0
    assert value(database, "commit_failures_total", reason="io") >= 1
    assert not database.writer.fatal.is_set()
    counted = "SELECT count(*), count(DISTINCT input_tokens) FROM seg_000001.spans"
    assert query(database, counted) == [(100 * len(acked), 100 * len(acked))]
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    deadline = time.monotonic() + 30
    while not database.writer.accepting and time.monotonic() < deadline:
        time.sleep(0.05)
    assert database.writer.accepting
    failed = len(acked)
    commit(database, batch(range(100 * failed, 100 * failed + 100), text="y" * 2000))
    database.close()
    database = open_database(small_disk)
    assert query(database, counted) == [(100 * (failed + 1), 100 * (failed + 1))]
    database.close()


def test_a_nearly_full_disk_stops_new_data(tmp_path: Path) -> None:
    database = open_database(tmp_path, min_free_bytes=2**60)
    assert not database.writer.accepting
    assert database.writer.reason == "disk_low"
    database.close()
