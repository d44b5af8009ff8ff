"""Users' queries that want all memory, or never end, beside incoming data on the real process."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from acceptance_harness import cli
from builders import a_request, a_span
from harness import Daemon
from retraind.cli.client import Declined, Target

REQUESTS = 60
SPANS = 200
HUNGRY = (
    # One string that only grows, lists of a window, states of many groups.
    "select length(string_agg(md5(range::varchar), ',')) from range(100000000)",
    "select list(md5(range::varchar)) over (order by range) from range(3000000)",
    "select list(attributes || range) from range(9999999), (from spans limit 1) group by range % 9",
)


def test_queries_that_want_all_memory_fail_themselves_and_no_request(tmp_path: Path) -> None:
    """Three at once, again and again; each request is acknowledged at its first try."""
    config = {"store": {"memory_limit": "256MiB", "segment_bytes": "16MiB"}}
    with Daemon(tmp_path / "data", config) as daemon:
        stop, failed = threading.Event(), []

        def ask(sql: str) -> None:
            with Target(daemon.data, None, None).client() as client:
                while not stop.is_set():
                    try:
                        client.post("/api/v1/sql", json={"sql": sql}, timeout=120)
                    except Declined as error:
                        failed.append(str(error))

        askers = [threading.Thread(target=ask, args=(sql,)) for sql in HUNGRY]
        for asker in askers:
            asker.start()
        sent = 0
        while sent < REQUESTS or len(failed) < 5:  # export raises unless it is acknowledged
            spans = [
                a_span(sent * SPANS + i, start_ns=time.time_ns(), attributes={"k": "x" * 1500})
                for i in range(SPANS)
            ]
            daemon.export(a_request(spans))
            sent += 1
        stop.set()
        for asker in askers:
            asker.join()
        ended = ("memory", "write its log into a file")  # also by a checkpoint, which would fail
        assert all(any(why in error.lower() for why in ended) for error in failed), failed
        sample = daemon.metrics()
        for reason in ("io", "fatal", "data"):
            assert sample[f'retraind_commit_failures_total{{reason="{reason}"}}'] == 0
        assert sample["retraind_store_accepting"] == 1
        assert daemon.sql("select count(*) as n from stored_spans") == [{"n": sent * SPANS}]


def test_a_query_inside_one_endless_call_is_answered_and_does_not_keep_the_process(
    tmp_path: Path,
) -> None:
    """The engine notices an interrupt between calls only; this one would take many minutes."""
    daemon = Daemon(tmp_path / "data", {"admin": {"sql_timeout": "1s"}})
    with daemon:
        endless = "select levenshtein(repeat('a', 500000), repeat('b', 500000))"
        done = cli("sql", "--data", daemon.data, endless, check=False)
        assert done.returncode == 1
        assert b"admin.sql_timeout" in done.stderr
        daemon.export(a_request([a_span(1, start_ns=time.time_ns())]))
        assert daemon.sql("select count(*) as n from spans") == [{"n": 1}]
        assert daemon.stop() == 0
    assert daemon.sql("select count(*) as n from spans") == [{"n": 1}]
