"""A retry is the same bytes again: stored once, answered with success, counted as a duplicate.

What is recognised is the signal and the decompressed body, whatever the transport, the compression
and the connection; across restarts and while the first copy still waits for its commit.
"""

from __future__ import annotations

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from acceptance_harness import LOGS, post, trace_id
from builders import a_request, a_span
from harness import EXPORT, Daemon

NOW_NS = time.time_ns()
SPANS = 5
DUPLICATES = "retraind_receiver_duplicate_requests_total"
DUPLICATE_SPANS = "retraind_receiver_duplicate_spans_total"


def body_of(seed: str) -> bytes:
    return a_request(
        [
            a_span(i, start_ns=NOW_NS, trace_id=trace_id(seed), evaluations=[("tone", 1, "pass")])
            for i in range(SPANS)
        ]
    ).SerializeToString()


def counts(daemon: Daemon, seed: str) -> tuple[int, int]:
    """(stored spans, evaluations) of a trace."""
    where = f"where trace_id = '{trace_id(seed).hex()}'"
    query = f"select (select count(*) from stored_spans {where}) as s, "
    (row,) = daemon.sql(query + f"(select count(*) from evaluations {where}) as e")
    return row["s"], row["e"]


def test_a_retry_is_stored_once_on_every_transport(daemon: Daemon) -> None:
    body = body_of("ways")
    before = daemon.metrics()
    with daemon.channel() as channel:
        export = channel.unary_unary(EXPORT)
        assert [export(body, timeout=20), export(body, timeout=20)] == [b"", b""]
        assert export(body, timeout=20, compression=grpc.Compression.Gzip) == b""
    assert daemon.export(body) == b"", "another connection"
    assert post(daemon, body).status_code == 200
    assert post(daemon, gzip.compress(body), content_encoding="gzip").status_code == 200
    assert counts(daemon, "ways") == (SPANS, SPANS)
    after = daemon.metrics()
    assert after[DUPLICATES] == before[DUPLICATES] + 5
    assert after[DUPLICATE_SPANS] == before[DUPLICATE_SPANS] + 5 * SPANS
    accepted = 'retraind_receiver_accepted_spans_total{transport="%s"}'
    assert after[accepted % "grpc"] == before[accepted % "grpc"] + SPANS
    assert after[accepted % "http"] == before[accepted % "http"]


def test_a_partial_success_is_answered_the_same_again(daemon: Daemon) -> None:
    spans = [a_span(i, start_ns=NOW_NS, trace_id=trace_id("partly")) for i in range(3)]
    spans[0].span_id = b"\0" * 8
    request = a_request(spans)
    first = daemon.export(request)
    assert first != b""
    assert daemon.export(request) == first
    assert counts(daemon, "partly") == (2, 0)


def test_the_same_bytes_of_another_signal_are_another_request(daemon: Daemon) -> None:
    """An empty body is the same bytes for traces and logs, and unknown fields are ignored."""
    body = b"\xc2\x3e\x05other"
    before = daemon.metrics()[DUPLICATES]
    with daemon.channel() as channel:
        assert channel.unary_unary(EXPORT)(body, timeout=20) == b""
        assert channel.unary_unary(LOGS)(body, timeout=20) == b""
        assert daemon.metrics()[DUPLICATES] == before
        assert channel.unary_unary(LOGS)(body, timeout=20) == b""
    assert daemon.metrics()[DUPLICATES] == before + 1


def test_spans_batched_anew_are_stored_again_and_shown_once(daemon: Daemon) -> None:
    span = a_span(1, start_ns=NOW_NS, trace_id=trace_id("anew"))
    beside = a_span(2, start_ns=NOW_NS, trace_id=trace_id("anew"))
    daemon.export(a_request([span]))
    daemon.export(a_request([span, beside]))
    assert counts(daemon, "anew")[0] == 3
    where = f"trace_id = '{trace_id('anew').hex()}'"
    assert daemon.sql(f"select count(*) as n from spans where {where}") == [{"n": 2}]


def test_a_span_id_may_occur_in_two_traces(daemon: Daemon) -> None:
    """The key is (trace_id, span_id): two spans with one id in different traces are two spans."""
    spans = [a_span(1, start_ns=NOW_NS, trace_id=trace_id(f"id in {n}")) for n in range(2)]
    for span in spans:
        span.span_id = b"same id!"
    daemon.export(a_request(spans))
    query = f"select count(*) as n from spans where span_id = '{b'same id!'.hex()}'"
    assert daemon.sql(query) == [{"n": 2}]


def test_the_same_request_many_times_at_once_is_stored_once(daemon: Daemon) -> None:
    """Beside other load, so that copies meet in the queue, in one group and after the commit."""
    stop = threading.Event()

    def load(number: int) -> None:
        with daemon.channel() as channel:
            export = channel.unary_unary(EXPORT)
            i = 0
            while not stop.is_set():
                span = a_span(i, start_ns=NOW_NS, trace_id=trace_id(f"load {number} {i}"))
                export(a_request([span]).SerializeToString(), timeout=20)
                i += 1

    before = daemon.metrics()
    others = [threading.Thread(target=load, args=(n,)) for n in range(2)]
    for other in others:
        other.start()
    with ThreadPoolExecutor(16) as pool:
        for round_ in range(10):
            body = body_of(f"at once {round_}")
            assert set(pool.map(daemon.export, [body] * 16)) == {b""}
    stop.set()
    for other in others:
        other.join()
    for round_ in range(10):
        assert counts(daemon, f"at once {round_}") == (SPANS, SPANS)
    assert daemon.metrics()[DUPLICATES] == before[DUPLICATES] + 10 * 15


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_retry_after_a_restart(tmp_path: Path, end: str) -> None:
    body = body_of("restart")
    daemon = Daemon(tmp_path / "data")
    daemon.start()
    daemon.export(body)
    getattr(daemon, end)()
    daemon.start()
    assert daemon.export(body) == b""
    assert counts(daemon, "restart") == (SPANS, SPANS)
    assert daemon.metrics()[DUPLICATES] == 1
    assert daemon.metrics()[DUPLICATE_SPANS] == SPANS
    daemon.stop()
