"""What a start must survive, and when it must refuse."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from builders import a_request, a_span
from harness import Daemon, plain_http

CANNOT_START = 3


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon that was there first."""
    with Daemon(tmp_path_factory.mktemp("first") / "data") as running:
        yield running


@pytest.mark.faults
def test_second_daemon_on_one_folder_exits_with_code_3(daemon: Daemon, tmp_path: Path) -> None:
    second = Daemon(tmp_path / "second", {"data": str(daemon.data)})
    second.spawn()
    assert second.process is not None
    assert second.process.wait(30) == CANNOT_START
    assert str(daemon.data) in second.log_tail()
    assert "another" in second.log_tail().lower()


@pytest.mark.faults
@pytest.mark.parametrize("port", ["grpc_port", "http_port", "admin_port"])
def test_second_daemon_on_one_port_exits_with_code_3(
    daemon: Daemon, tmp_path: Path, port: str
) -> None:
    taken = getattr(daemon, port)
    sections = {
        "grpc_port": {"receivers": {"grpc": {"endpoint": f"127.0.0.1:{taken}"}}},
        "http_port": {"receivers": {"http": {"endpoint": f"127.0.0.1:{taken}"}}},
        "admin_port": {"admin": {"endpoint": f"127.0.0.1:{taken}"}},
    }
    second = Daemon(tmp_path / "second", sections[port])
    second.spawn()
    assert second.process is not None
    assert second.process.wait(30) == CANNOT_START
    assert str(taken) in second.log_tail()
    daemon.export(a_request([a_span(1, start_ns=time.time_ns())]))


def filled_and_stopped(data: Path, config: dict[str, object] | None = None) -> Daemon:
    daemon = Daemon(data, config)
    daemon.start()
    for seed in range(20):
        daemon.export(a_request([a_span(seed, start_ns=time.time_ns())]))
    return daemon


@pytest.mark.faults
def test_damaged_segment_is_set_aside_and_the_daemon_serves(tmp_path: Path) -> None:
    daemon = filled_and_stopped(tmp_path / "data")
    daemon.kill()
    log = next((daemon.data / "store").glob("*.wal"))
    content = bytearray(log.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    log.write_bytes(content)
    daemon.start()
    daemon.export(a_request([a_span(99, start_ns=time.time_ns())]))
    assert daemon.sql("select count(*) n from spans")[0]["n"] == 1
    assert daemon.metrics()["retraind_segments_quarantined_total"] == 1
    assert any("quarantined" in path.name for path in (daemon.data / "store").iterdir())
    assert "set aside" in daemon.log_tail()
    daemon.stop()


@pytest.mark.faults
def test_damaged_state_file_is_replaced_and_the_spans_stay(tmp_path: Path) -> None:
    daemon = filled_and_stopped(tmp_path / "data")
    daemon.stop()
    state = daemon.data / "retraind.duckdb"
    state.write_bytes(b"\0" * 4096 + b"garbage" * 1000)
    daemon.start()
    assert daemon.sql("select count(*) n from spans")[0]["n"] == 20
    assert daemon.metrics()["retraind_state_recoveries_total"] == 1
    assert any("damaged" in path.name for path in daemon.data.iterdir())
    daemon.export(a_request([a_span(99, start_ns=time.time_ns())]))
    assert daemon.sql("select count(*) n from spans")[0]["n"] == 21
    daemon.stop()


@pytest.mark.faults
def test_sigterm_answers_what_it_took_and_exits_0(tmp_path: Path) -> None:
    daemon = filled_and_stopped(tmp_path / "data")
    assert daemon.stop() == 0
    assert daemon.sql("select count(*) n from spans")[0]["n"] == 20, "read from the stopped folder"
    with pytest.raises(httpx2.TransportError):
        plain_http.get(f"{daemon.admin}/-/healthy", timeout=2)
