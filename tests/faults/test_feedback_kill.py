"""kill -9 while feedback comes in: what was acknowledged is there, and a retry stores it once."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness import Daemon, eventually

ROUNDS = 6
SENDERS = 4


class Sender(threading.Thread):
    """Presses buttons one after the other; a press without an answer is sent again, as it was."""

    def __init__(self, number: int, daemon: Daemon) -> None:
        super().__init__(daemon=True)
        self.number, self.target = number, daemon
        self.http = httpx2.Client(timeout=10)
        self.acknowledged = 0
        self.answers: list[Any] = []
        self.stopping = False

    def press(self, index: int) -> httpx2.Response:
        """By key and by id in turn; two items each, of which one is bad."""
        name = f"{self.number}-{index}"
        item = {"kind": "rating", "value": index % 6, "session_id": name}
        headers = {"idempotency-key": name}
        if index % 2:
            item, headers = item | {"id": name}, {}
        url = f"{self.target.admin}/api/v1/feedback"
        return self.http.post(url, json=[item, {"kind": "nothing"}], headers=headers)

    def run(self) -> None:
        while not self.stopping:
            try:
                answer = self.press(self.acknowledged)
            except httpx2.TransportError:
                time.sleep(0.1)  # it is down: leave it the processor to come back
                continue
            if answer.status_code == 503:
                continue
            assert answer.status_code == 200, answer.text
            self.answers.append(answer.json())
            self.acknowledged += 1


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_acknowledged_feedback_survives_and_is_stored_once(tmp_path: Path) -> None:
    rng = random.Random(5)
    daemon = Daemon(tmp_path / "data", {"store": {"segment_bytes": "256KiB"}})
    daemon.start()
    senders = [Sender(number, daemon) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    for _ in range(ROUNDS):
        enough = sum(sender.acknowledged for sender in senders) + rng.randrange(20, 60)
        eventually(lambda: sum(each.acknowledged for each in senders) >= enough, 60, every=0.001)  # noqa: B023
        daemon.kill()
        daemon.start()
    for sender in senders:
        sender.stopping = True
        sender.join(60)
        assert not sender.is_alive()
    expected = [f"{s.number}-{i}" for s in senders for i in range(s.acknowledged)]
    query = "select session_id, count(*)::int as n, max(score) as score from evaluations group by 1"
    stored = {row["session_id"]: row for row in _all(daemon, query)}
    assert {name: row["n"] for name, row in stored.items()} == dict.fromkeys(expected, 1)
    for sender in senders:
        for index in rng.sample(range(sender.acknowledged), 10):
            again = sender.press(index)
            assert again.json() == sender.answers[index]
            assert again.headers["idempotency-replayed"] == "true"
    (count,) = daemon.sql("select count(*)::int as n from evaluations")
    assert count["n"] == len(expected)
    daemon.stop()


def _all(daemon: Daemon, query: str) -> list[dict[str, Any]]:
    """Every row, in pages: a query returns ten thousand at most."""
    found: list[dict[str, Any]] = []
    while True:
        page = daemon.sql(f"{query} order by 1 limit 5000 offset {len(found)}")
        found += page
        if len(page) < 5000:
            return found
