"""SIGTERM under load: every request is answered or refused retryably, and nothing is lost."""

from __future__ import annotations

import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGTERM
from threading import Event

import grpc
import httpx2
import pytest

from acceptance_harness import PROTOBUF, trace_id
from builders import a_request, a_span
from harness import EXPORT, Daemon

SENDERS = 6
SPANS = 50
GRACE_SECONDS = 15.0
RETRYABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Load:
    """Senders over both transports; each remembers what was acknowledged and what else it saw."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.acknowledged: list[str] = []
        self.sent: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.stop = Event()

    def request(self, name: str) -> bytes:
        self.sent.add(trace_id(name).hex())
        now = time.time_ns()
        spans = [a_span(i, start_ns=now, trace_id=trace_id(name)) for i in range(SPANS)]
        return a_request(spans).SerializeToString()

    def over_grpc(self, number: int) -> None:
        with self.daemon.channel() as channel:
            export = channel.unary_unary(EXPORT)
            for i in range(100_000):
                if self.stop.is_set():
                    return
                name = f"grpc {number} {i}"
                try:
                    export(self.request(name), timeout=20)
                except grpc.RpcError as error:
                    self.seen[error.code().name] += 1
                    if error.code() not in RETRYABLE:
                        self.wrong.append(str(error))
                    if self.daemon_is_gone():
                        return
                else:
                    self.acknowledged.append(trace_id(name).hex())

    def over_http(self, number: int) -> None:
        url = f"http://127.0.0.1:{self.daemon.http_port}/v1/traces"
        with httpx2.Client(headers={"content-type": PROTOBUF}, timeout=20) as client:
            for i in range(100_000):
                if self.stop.is_set():
                    return
                name = f"http {number} {i}"
                try:
                    answer = client.post(url, content=self.request(name))
                except httpx2.TransportError as error:  # no answer: a client sends again
                    self.seen[type(error).__name__] += 1
                    if self.daemon_is_gone():
                        return
                    continue
                self.seen[str(answer.status_code)] += 1
                if answer.status_code == 200:
                    self.acknowledged.append(trace_id(name).hex())
                elif answer.status_code not in (429, 503):
                    self.wrong.append(answer.text)

    def daemon_is_gone(self) -> bool:
        time.sleep(0.02)
        assert self.daemon.process is not None
        return self.daemon.process.poll() is not None


@pytest.mark.parametrize("seconds", [0.7])
def test_sigterm_under_load(tmp_path: Path, seconds: float) -> None:
    daemon = Daemon(tmp_path / "data")
    daemon.start()
    load = Load(daemon)
    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [
            pool.submit(load.over_grpc if number % 2 else load.over_http, number)
            for number in range(SENDERS)
        ]
        time.sleep(seconds)
        assert daemon.process is not None
        started = time.monotonic()
        daemon.process.send_signal(SIGTERM)
        code = daemon.process.wait(30)
        took = time.monotonic() - started
        load.stop.set()
        for sender in senders:
            sender.result()
    assert code == 0, daemon.log_tail()
    assert took < GRACE_SECONDS
    assert load.wrong == []
    assert load.acknowledged
    stored = {
        row["trace_id"]: row["n"]
        for page in range(3)
        for row in daemon.sql(
            "select trace_id, count(*) as n from stored_spans group by trace_id "
            f"order by 1 limit 5000 offset {page * 5000}"
        )
    }
    assert set(load.acknowledged) <= set(stored), "an acknowledged request is missing"
    assert set(stored) <= load.sent
    assert set(stored.values()) == {SPANS}, "a request is stored whole and once"


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "data")
    daemon.start()
    daemon.export(a_request([a_span(1, start_ns=time.time_ns())]))
    assert daemon.process is not None
    daemon.process.send_signal(SIGTERM)
    daemon.process.send_signal(SIGTERM)
    assert daemon.process.wait(20) == 0
    assert daemon.sql("select count(*) as n from spans") == [{"n": 1}]


def test_a_client_that_never_finishes_does_not_hold_the_daemon(tmp_path: Path) -> None:
    """Half a request over HTTP, an idle gRPC connection and an idle scrape: gone in the grace."""
    daemon = Daemon(tmp_path / "data")
    daemon.start()
    with (
        socket.create_connection(("127.0.0.1", daemon.http_port)) as slow,
        daemon.channel() as idle,
        httpx2.Client() as scraper,
    ):
        slow.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n"
            b"content-type: application/x-protobuf\r\n\r\nhalf"
        )
        assert idle.unary_unary(EXPORT)(b"", timeout=10) == b""
        assert scraper.get(f"{daemon.admin}/metrics").status_code == 200
        assert daemon.process is not None
        daemon.process.send_signal(SIGTERM)
        assert daemon.process.wait(GRACE_SECONDS) == 0
