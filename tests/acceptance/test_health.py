"""Health, readiness, reload, and what a bad configuration says."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any

import grpc
import httpx2
import pytest
import yaml
from google.rpc.status_pb2 import Status

from acceptance_harness import cli, post, secret_file
from builders import a_request, a_span
from harness import EXPORT, Daemon, eventually, free_port, plain_http

CANNOT_START = 3
RELOADED = "retraind_config_last_reload_successful"


def body(seed: int) -> bytes:
    return a_request([a_span(seed, start_ns=time.time_ns())]).SerializeToString()


def get(daemon: Daemon, path: str) -> httpx2.Response:
    return plain_http.get(f"{daemon.admin}{path}", timeout=5)


def test_healthy_and_ready(daemon: Daemon) -> None:
    assert get(daemon, "/-/healthy").status_code == 200
    assert get(daemon, "/-/ready").json() == {"ready": True, "reasons": []}
    page = get(daemon, "/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "retraind" in page.text


def test_a_low_disk_is_not_ready_and_refuses_retryably(tmp_path: Path) -> None:
    """The free space that is asked for is more than any disk has."""
    with contextlib.ExitStack() as stack:
        daemon = Daemon(tmp_path / "data", {"store": {"min_free_bytes": "100000TiB"}})
        daemon.spawn()
        stack.callback(daemon.stop)
        eventually(lambda: answers(daemon))
        # It answers, not ready, while it is still starting.
        eventually(lambda: "disk" in get(daemon, "/-/ready").json()["reasons"][0])
        assert get(daemon, "/-/ready").status_code == 503
        assert get(daemon, "/-/healthy").status_code == 200
        answer = post(daemon, body(1))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert Status.FromString(answer.content).details
        with daemon.channel() as channel, pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(EXPORT)(body(1), timeout=10)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "grpc-status-details-bin" in dict(error.value.trailing_metadata())
        assert daemon.metrics()["retraind_store_accepting"] == 0
        status = cli("status", "--data", daemon.data, "--quiet", check=False)
        assert status.returncode == 1
        assert daemon.sql("select count(*) as n from spans") == [{"n": 0}]


def answers(daemon: Daemon) -> bool:
    try:
        return get(daemon, "/-/healthy").status_code == 200
    except httpx2.TransportError:
        return False


def test_draining_answers_what_has_begun(tmp_path: Path) -> None:
    """SIGTERM while a slow client is sending: not ready, still healthy, and its span is stored."""
    daemon = Daemon(tmp_path / "data")
    daemon.start()
    payload = body(2)
    with socket.create_connection(("127.0.0.1", daemon.http_port)) as slow:
        slow.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/x-protobuf\r\n"
            + f"content-length: {len(payload)}\r\n\r\n".encode()
            + payload[:10]
        )
        time.sleep(0.3)
        assert daemon.process is not None
        daemon.process.send_signal(SIGTERM)
        ready = eventually(lambda: not_ready(daemon))
        assert "draining" in ready.json()["reasons"]
        assert get(daemon, "/-/healthy").status_code == 200
        slow.sendall(payload[10:])
        slow.settimeout(10)
        answer = slow.recv(65536)
    assert daemon.process.wait(20) == 0, daemon.log_tail()
    status = int(answer.split()[1])
    assert status in (200, 503)
    stored = daemon.sql("select count(*) as n from spans")[0]["n"]
    assert stored == (1 if status == 200 else 0)
    assert status == 200, "its body was under way before the signal"


def not_ready(daemon: Daemon) -> httpx2.Response | None:
    answer = get(daemon, "/-/ready")
    return answer if answer.status_code == 503 else None


@pytest.fixture
def configured(tmp_path: Path) -> Any:
    """A daemon with an admin token, whose file can be rewritten."""
    token = secret_file(tmp_path, "admin-token\n")
    with Daemon(tmp_path / "data", {"admin": {"token_file": str(token)}}) as running:
        yield running


def rewrite(daemon: Daemon, **changes: Any) -> None:
    daemon.config_file.write_text(yaml.safe_dump(daemon.config | changes))


def reload_by_signal(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(SIGHUP)


def reload_by_request(daemon: Daemon) -> httpx2.Response:
    headers = {"authorization": "Bearer admin-token"}
    return plain_http.post(f"{daemon.admin}/-/reload", headers=headers)


def test_reload_takes_a_good_configuration_and_refuses_a_bad_one(configured: Daemon) -> None:
    daemon = configured
    daemon.export(body(1))
    assert plain_http.post(f"{daemon.admin}/-/reload").status_code == 401
    good_at = daemon.metrics()[f"{RELOADED.replace('successful', 'success_timestamp_seconds')}"]

    rewrite(daemon, monitors=[{"name": "x", "evals": {"tone": {"treshold": 1}}}])
    refused = reload_by_request(daemon)
    assert refused.status_code == 400
    assert re.search(r":\d+:\d+: monitors\[?\.?0\]?.*treshold.*threshold", refused.text)
    assert daemon.metrics()[RELOADED] == 0
    assert get(daemon, "/-/ready").status_code == 200
    assert daemon.export(body(2)) == b"", "the old configuration goes on"

    rewrite(daemon, monitors=[{"name": "named-anew"}])
    assert reload_by_request(daemon).status_code == 200
    sample = daemon.metrics()
    assert sample[RELOADED] == 1
    assert sample["retraind_config_last_reload_success_timestamp_seconds"] > good_at

    daemon.config_file.write_text("monitors: [\n")
    reload_by_signal(daemon)
    eventually(lambda: daemon.metrics()[RELOADED] == 0)
    assert "the old one stays" in daemon.log_tail()
    rewrite(daemon)
    reload_by_signal(daemon)
    eventually(lambda: daemon.metrics()[RELOADED] == 1)


def test_reload_takes_up_tokens_and_limits_and_names_what_needs_a_restart(
    configured: Daemon,
) -> None:
    daemon = configured
    daemon.export(body(1))
    admin: dict[str, Any] = daemon.config["admin"]
    token = Path(admin["token_file"])

    def ask(path: str, bearer: str, **json: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {bearer}"}
        return plain_http.post(f"{daemon.admin}{path}", headers=headers, json=json or None)

    three = "from range(3)"
    assert len(ask("/api/v1/sql", "admin-token", sql=three).json()["rows"]) == 3

    token.write_text("# none\n")
    assert ask("/-/reload", "admin-token").status_code == 400
    token.write_text("another-token\n")
    elsewhere = f"127.0.0.1:{free_port()}"
    rewrite(
        daemon,
        admin=admin | {"sql_rows": 2, "endpoint": elsewhere},
        receivers=daemon.config["receivers"] | {"limits": {"attributes_per_span": 1}},
        store={"memory_limit": "2GiB", "min_free_bytes": "1000000TiB"},
    )
    answer = ask("/-/reload", "admin-token")
    assert answer.status_code == 200
    waiting = ["admin.endpoint", "store.memory_limit"]
    assert answer.json() == {"reloaded": True, "restart_needed": waiting}
    assert "need a restart" in daemon.log_tail()
    assert ask("/-/reload", "admin-token").status_code == 401
    cut = ask("/api/v1/sql", "another-token", sql=three).json()
    assert (len(cut["rows"]), cut["truncated"]) == (2, True)
    eventually(lambda: not_ready(daemon), 10)  # no disk has as much free space as is asked for

    rewrite(daemon, receivers=daemon.config["receivers"] | {"limits": {"attributes_per_span": 1}})
    again = ask("/-/reload", "another-token")
    assert again.json() == {"reloaded": True, "restart_needed": []}
    eventually(lambda: get(daemon, "/-/ready").status_code == 200, 10)
    daemon.export(body(2))
    (row,) = daemon.sql("select reason from quarantine")
    assert row["reason"] == "attribute_limit"


def test_a_bad_configuration_at_start_is_told_all_at_once(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "data")
    daemon.config_file.write_text(
        "monitors:\n"
        "  - name: support\n"
        "    widow: {min_sessions: 5}\n"
        "receivers:\n"
        "  grpc: {endpoint: nowhere}\n"
        "tick: soon\n"
        "tick: 1s\n"
    )
    done = cli("serve", "--config", daemon.config_file, check=False)
    assert done.returncode == CANNOT_START
    text = (done.stdout + done.stderr).decode()
    file = re.escape(str(daemon.config_file))
    for line, what in ((3, "widow"), (5, "endpoint"), (7, "tick")):
        assert re.search(rf"{file}:{line}:\d+: .*{what}", text), text
    assert "window" in text, "what to write instead"
    assert "Traceback" not in text
    checked = cli("check", "--config", daemon.config_file, check=False)
    assert checked.returncode == 1
