"""Under strace: the segment's log is on the disk before each reply leaves."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from builders import a_request, a_span
from harness import EXPORT, Daemon

REQUESTS = 8
# start time, call, file, duration; strace -ff -ttt -T -y. One file a thread: in a common one a call
# during which another thread makes one is cut in two lines.
CALL = re.compile(r"^(\d+\.\d+) (\w+)\(\d+<([^>]*)>.*<(\d+\.\d+)>$")


@pytest.mark.faults
@pytest.mark.real
def test_log_is_synced_between_the_last_row_and_each_reply(tmp_path: Path) -> None:
    assert shutil.which("strace"), "strace is missing: apt-get install strace"
    trace = tmp_path / "trace"
    calls = "trace=fdatasync,fsync,pwrite64,write"
    strace = ["strace", "-D", "-ff", "-ttt", "-T", "-y", "-e", calls, "-o", str(trace)]
    daemon = Daemon(tmp_path / "data", wrapper=strace)
    daemon.start(ready_within=120)
    intervals = []
    with daemon.channel() as channel:
        export = channel.unary_unary(EXPORT)
        for seed in range(REQUESTS):
            body = a_request([a_span(seed, start_ns=time.time_ns())]).SerializeToString()
            sent = time.time()
            export(body, timeout=30)
            intervals.append((sent, time.time()))
    daemon.stop(within=60)

    on_log = [
        (float(start), name, float(start) + float(seconds))
        for file in tmp_path.glob("trace.*")
        for line in file.read_text().splitlines()
        if (match := CALL.match(line))
        for start, name, path, seconds in [match.groups()]
        if path.endswith(".wal") and "/store/" in path
    ]
    for sent, answered in intervals:
        within = [call for call in on_log if sent <= call[0] and call[2] <= answered]
        writes = [end for _, name, end in within if name in ("write", "pwrite64")]
        syncs = [start for start, name, _ in within if name in ("fdatasync", "fsync")]
        assert writes, "no row was written to the log before the reply"
        assert syncs, "the log was not synced before the reply"
        assert max(syncs) >= max(writes), "a row was written after the last sync before the reply"
