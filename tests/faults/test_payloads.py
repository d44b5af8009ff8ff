"""Hostile payloads, a hundred at once: the right status, bounded memory, neighbours unharmed."""

from __future__ import annotations

import gzip
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import grpc
import httpx2
import pytest
from google.rpc.status_pb2 import Status

from builders import a_request, a_span
from harness import EXPORT, Daemon, plain_http

MIB = 2**20
AT_ONCE = 100
PROTOBUF = {"content-type": "application/x-protobuf"}


def resident_bytes(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def peak_bytes(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@cache
def bomb() -> bytes:
    return gzip.compress(b"\0" * (64 * MIB))


def hostile(kind: str, rng: random.Random) -> tuple[bytes, dict[str, str], set[int]]:
    """Body, headers and the statuses that are right for it (OTLP/HTTP)."""
    good = a_request([a_span(rng, start_ns=time.time_ns()) for _ in range(20)]).SerializeToString()
    if kind == "truncated":
        return good[: rng.randrange(1, len(good) - 1)], PROTOBUF, {400}
    if kind == "garbage":
        return b"\xff" * rng.randrange(10, 5000), PROTOBUF, {400}
    if kind == "oversized":
        return b"\0" * (9 * MIB), PROTOBUF, {413}
    if kind == "bomb":
        return bomb(), PROTOBUF | {"content-encoding": "gzip"}, {413}
    assert kind == "broken gzip"
    return b"\x1f\x8b" + good, PROTOBUF | {"content-encoding": "gzip"}, {400}


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["truncated", "garbage", "oversized", "bomb", "broken gzip"])
def test_a_hundred_hostile_requests_at_once(tmp_path: Path, kind: str) -> None:
    """Refused with the right status; a busy 503/429 is right, too, when many come at once."""
    limits = {"request_bytes": "8MiB", "in_flight_bytes": "64MiB"}
    daemon = Daemon(tmp_path / "data", {"receivers": {"limits": limits}})
    daemon.start()
    before = resident_bytes(daemon)
    url = f"http://127.0.0.1:{daemon.http_port}/v1/traces"
    neighbours_ok = 0
    refused: list[grpc.StatusCode] = []
    done = threading.Event()

    def neighbour() -> None:
        nonlocal neighbours_ok
        rng = random.Random(11)
        with daemon.channel() as channel:
            export = channel.unary_unary(EXPORT)
            while not done.is_set():
                body = a_request([a_span(rng, start_ns=time.time_ns())]).SerializeToString()
                try:
                    export(body, timeout=30)
                    neighbours_ok += 1
                except grpc.RpcError as error:
                    refused.append(error.code())

    bomb()  # compressed once: the attack is the daemon's work, not ours
    beside = threading.Thread(target=neighbour)
    beside.start()

    def attack(seed: int) -> httpx2.Response:
        body, headers, expected = hostile(kind, random.Random(seed))
        answer = plain_http.post(url, content=body, headers=headers, timeout=60)
        assert answer.status_code in expected | {429, 503}, answer
        assert Status.FromString(answer.content).message
        return answer

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(attack, range(AT_ONCE)))
    done.set()
    beside.join()
    assert any(answer.status_code in {400, 413} for answer in answers)
    assert neighbours_ok > 0
    assert set(refused) <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert peak_bytes(daemon) - before < 400 * MIB
    stored = daemon.sql("select count(*) n, count(distinct span_id) d from stored_spans")[0]
    assert stored["n"] == neighbours_ok, "what was acknowledged is what is stored"
    daemon.stop()


@pytest.mark.faults
def test_oversized_and_garbage_over_grpc(daemon: Daemon) -> None:
    with daemon.channel() as channel:
        export = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as oversized:
            export(b"\0" * (65 * MIB), timeout=60)
        assert oversized.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-status-details-bin" not in dict(oversized.value.trailing_metadata())
        with pytest.raises(grpc.RpcError) as garbage:
            export(b"\xff" * 100, timeout=20)
        assert garbage.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert daemon.export(a_request([a_span(3, start_ns=time.time_ns())])) == b""
    rows = daemon.sql("select reason, octet_length(payload) n from quarantine")
    assert rows == [{"reason": "undecodable", "n": 100}]
