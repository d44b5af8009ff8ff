"""A receiver that is down, and a daemon restarted in between: one trigger, delivered."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from builders import HOUR_NS, a_request, a_span
from harness import Daemon, eventually, free_port

SECRET = "whsec_" + "c2VjcmV0" * 6
NOW_NS = time.time_ns() // HOUR_NS * HOUR_NS
HOURS = 6
SESSIONS_AN_HOUR = 40


class Receiver:
    """A local HTTP server that keeps every request."""

    def __init__(self, port: int) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def failing_traffic(daemon: Daemon) -> None:
    """Six hours of sessions, half of whose evaluations fail; then one span now closes the hours."""
    rng = random.Random(17)
    for hour in range(HOURS):
        start = NOW_NS - (HOURS + 2 - hour) * HOUR_NS
        spans = []
        for session in range(SESSIONS_AN_HOUR):
            label = "fail" if rng.random() < 0.5 else "pass"
            at = start + session * 60_000_000_000
            spans.append(a_span(rng, start_ns=at, evaluations=[("groundedness", 0.5, label)]))
        daemon.export(a_request(spans))
    daemon.export(a_request([a_span(rng, start_ns=NOW_NS)]))


def outbox(daemon: Daemon) -> list[dict[str, Any]]:
    return daemon.sql("select trigger_id, status, attempts, body from outbox")


@pytest.mark.faults
def test_receiver_down_and_daemon_restarted(tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    secret_file.chmod(0o600)
    port = free_port()
    monitor = {
        "name": "support",
        "evals": {"groundedness": {"max_fail_rate": 0.2}},
        "window": {"min_sessions": SESSIONS_AN_HOUR, "min_sessions_at_max_length": 10},
    }
    destination = {
        "name": "pipeline",
        "url": f"http://127.0.0.1:{port}/retrain",
        "secret_file": str(secret_file),
    }
    daemon = Daemon(tmp_path / "data", {"monitors": [monitor], "destinations": [destination]})
    daemon.start()
    failing_traffic(daemon)
    eventually(lambda: outbox(daemon) and outbox(daemon)[0]["attempts"] >= 1, 60)
    before = outbox(daemon)
    daemon.kill()

    daemon.start()
    eventually(lambda: outbox(daemon)[0]["attempts"] >= 2, 60)
    receiver = Receiver(port)
    retry = [sys.executable, "-m", "retraind", "webhook", "retry", "--data", str(daemon.data)]
    subprocess.run([*retry, str(before[0]["trigger_id"])], check=True, capture_output=True)
    eventually(lambda: receiver.received, 60)
    eventually(lambda: outbox(daemon)[0]["status"] == "delivered")
    time.sleep(2)
    daemon.stop()
    receiver.close()

    assert len(before) == 1
    assert len(receiver.received) == 1, "delivered once"
    headers, body = receiver.received[0]
    assert headers["webhook-id"] == before[0]["trigger_id"]
    assert body.decode() == before[0]["body"], "the body of the first attempt"
    Webhook(SECRET).verify(body, headers)
    event = json.loads(body)
    assert event["specversion"] == "1.0"
    assert event["id"] == before[0]["trigger_id"]
    assert event["data"]["reasons"][0]["kind"] == "eval_fail_rate"
    assert event["data"]["reasons"][0]["feature"] == "groundedness"
    assert len(daemon.sql("select id from triggers")) == 1
