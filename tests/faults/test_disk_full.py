"""A full disk: clients are told to retry, nothing acknowledged is lost, and space heals it."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from builders import a_request, a_span
from harness import EXPORT, Daemon, eventually

RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 64 MiB; needs root, as CI has."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def send_until_refused(daemon: Daemon, rng: random.Random) -> tuple[set[str], grpc.RpcError]:
    """Sends requests of 1 MB until one is refused; the acknowledged keys and the error."""
    acknowledged: set[str] = set()
    with daemon.channel() as channel:
        export = channel.unary_unary(EXPORT)
        for _ in range(200):
            filler = {"filler": rng.randbytes(5000).hex()}
            spans = [a_span(rng, start_ns=time.time_ns(), attributes=filler) for _ in range(100)]
            try:
                export(a_request(spans).SerializeToString(), timeout=20)
            except grpc.RpcError as error:
                return acknowledged, error
            acknowledged |= {span.trace_id.hex() + span.span_id.hex() for span in spans}
    raise AssertionError("the disk never filled")


def assert_told_to_retry(error: grpc.RpcError) -> None:
    assert error.code() in RETRYABLE, error
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.seconds >= 1 or retry.retry_delay.nanos > 0


@pytest.mark.faults
@pytest.mark.parametrize("min_free", ["8MiB", "0B"], ids=["watchdog", "engine"])
def test_full_disk(small_disk: Path, min_free: str) -> None:
    """Once with the watchdog in front, once with the engine itself hitting ENOSPC."""
    daemon = Daemon(small_disk / "data", {"store": {"min_free_bytes": min_free}})
    daemon.start()
    acknowledged, error = send_until_refused(daemon, random.Random(5))
    assert_told_to_retry(error)
    assert acknowledged

    subprocess.run(["mount", "-o", "remount,size=512m", str(small_disk)], check=True)
    body = a_request([a_span(1, start_ns=time.time_ns())]).SerializeToString()

    def accepted() -> bool:
        assert daemon.process is not None
        if daemon.process.poll() is not None:  # the engine gave up: the supervisor restarts it
            daemon.start()
        try:
            return daemon.export(body) == b""
        except grpc.RpcError:
            return False

    eventually(accepted, 60)
    rows = daemon.sql("select count(*) n, count(distinct trace_id || span_id) d from stored_spans")
    assert rows[0]["n"] == rows[0]["d"]
    stored: set[str] = set()
    while page := daemon.sql(
        f"select trace_id || span_id k from stored_spans order by 1 limit 5000 offset {len(stored)}"
    ):
        stored |= {str(row["k"]) for row in page}
    assert acknowledged <= stored
    daemon.stop()
