"""A hundred hostile requests at once, against receivers in a process of their own."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import grpc
import pytest

from receiver_harness import span_request

MIB = 2**20
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SERVER = """
import sys
from receiver_harness import Receiver
from retraind.config.settings import ReceiverLimits
limits = ReceiverLimits(request_bytes=16 * 2**20, in_flight_bytes=64 * 2**20)
with Receiver(limits=limits) as receiver:
    receiver.intake.calls = type("Forgets", (), {"append": lambda self, call: None})()
    print(receiver.grpc_target.rpartition(":")[2], receiver.http_port, flush=True)
    sys.stdin.read()
    print(int(receiver.counter("receiver_in_flight_bytes")))
"""


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[str]
    grpc_port: int
    http_port: int

    def peak_mib(self) -> float:
        """The highest resident memory so far, as the kernel counts it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) / 1024

    def post(self, body: bytes, encoding: str = "identity") -> int:
        connection = HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        headers = {"content-type": "application/x-protobuf", "content-encoding": encoding}
        try:
            connection.request("POST", "/v1/traces", body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def call(self, body: bytes) -> grpc.StatusCode:
        """gzip goes as it is: on the wire only a flag differs, and the bytes tell."""
        target = f"127.0.0.1:{self.grpc_port}"
        with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            try:
                channel.unary_unary(TRACES)(body, timeout=30)
            except grpc.RpcError as error:
                return error.code()  # type: ignore[no-any-return]
        return grpc.StatusCode.OK


@pytest.fixture
def server() -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    grpc_port, http_port = map(int, process.stdout.readline().split())
    yield Server(process, grpc_port, http_port)
    process.stdin.close()
    assert process.stdout.read() == "0\n"  # every reserved byte came back
    assert process.wait(10) == 0


def test_a_hundred_bombs(server: Server) -> None:
    """T2, T4, T6: 100 x 15 MiB and 100 x 1 GiB of zeros would need over 100 GiB.

    Memory stays within the 64 MiB of admission and their copies; small requests of neighbours
    succeed all the while.
    """
    before = server.peak_mib()
    inside = gzip.compress(bytes(15 * MIB))
    outside = gzip.compress(bytes(64 * MIB)) * 16  # members of one stream
    # In the flood there may never be room to inflate one to its limit: all may be told 429.
    assert server.post(outside, "gzip") == 413
    with ThreadPoolExecutor(50) as pool:
        posts = [pool.submit(server.post, bomb, "gzip") for bomb in [inside, outside] * 50]
        calls = [pool.submit(server.call, bomb) for bomb in [inside, outside] * 50]
        neighbours = [server.post(span_request()) for _ in range(20)]
        neighbour_calls = [server.call(span_request()) for _ in range(20)]
        statuses = Counter(post.result() for post in posts)
        codes = Counter(call.result() for call in calls)
    # Zeros are not valid protobuf: 400 where there was room to inflate them, else try again.
    assert set(statuses) <= {400, 413, 429}
    assert statuses[413] + statuses[429] >= 50
    assert set(codes) <= {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    assert set(neighbours) == {200}
    assert set(neighbour_calls) == {grpc.StatusCode.OK}
    assert server.peak_mib() - before < 4 * 64


def test_a_hundred_of_each_kind(server: Server) -> None:
    """H4, H5, G8, G9: truncated, garbage, oversize and good ones mixed: each its own status."""
    good = span_request(20)
    kinds = {
        good: (200, grpc.StatusCode.OK),
        good[:-3]: (400, grpc.StatusCode.INVALID_ARGUMENT),
        b"\xff" * 1000: (400, grpc.StatusCode.INVALID_ARGUMENT),
        bytes(16 * MIB + 1): (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
    }
    bodies = list(kinds) * 25
    with ThreadPoolExecutor(25) as pool:
        statuses = list(pool.map(server.post, bodies))
        codes = list(pool.map(server.call, bodies))
    assert statuses == [kinds[body][0] for body in bodies]
    assert codes == [kinds[body][1] for body in bodies]
