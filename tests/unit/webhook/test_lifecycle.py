"""Delivery as the daemon runs it: started, woken, reconfigured, stopped, and let down by others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness import free_port
from retraind.errors import StoreUnavailable
from retraind.store.engine import run
from retraind.store.state import State, Transaction
from retraind.webhook import deliver, outbox
from webhook_harness import NOW_NS, Receiver, World, until

HOUR = 3600


def test_an_hour_down_and_a_restart_in_between_deliver_one_event_once(world: World):
    """Nobody listens for an hour; the daemon restarts at half time on the same state file."""
    port = free_port()
    destination = world.destination(f"http://127.0.0.1:{port}/hook")
    body = world.add("rt_1", destination)
    delivery = world.delivery(destination)
    while world.clock.now_ns() < NOW_NS + HOUR * 10**9:
        if world.clock.now_ns() > NOW_NS + HOUR // 2 * 10**9 and delivery is not None:
            world.reopen()
            delivery = world.delivery(destination)
        wait = world.attempt(delivery)
        assert wait is not None
        world.clock.advance(seconds=wait)
    failed = world.row()["attempts"]
    receiver = Receiver(port)
    while (wait := world.attempt(delivery)) is not None:
        world.clock.advance(seconds=wait)
    receiver.close()
    assert [(headers["webhook-id"], sent) for _, headers, sent in receiver.requests] == [
        ("rt_1", body)
    ]
    assert world.row()["status"] == "delivered"
    # 0 s, 5 s, 30 s, 2 m, 10 m, 30 m, each within 20 %, fit into the hour; at most one more.
    assert failed in (6, 7)
    statuses = run(world.engine.cursor("state"), "SELECT status FROM deliveries ORDER BY attempt")
    assert statuses == [(None,)] * failed + [(204,)]


def test_started_woken_from_another_thread_and_stopped(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    before = set(threading.enumerate())
    delivery = world.delivery(destination)
    delivery.wake()

    async def scenario() -> None:
        delivery.start()
        await until(lambda: world.metric("webhook_pending", destination="pipeline") == 0)
        world.add("rt_1", destination)
        threading.Thread(target=delivery.wake).start()
        await until(lambda: world.row()["status"] == "delivered")
        await delivery.stop()

    asyncio.run(scenario())
    delivery.wake()
    assert len(receiver.requests) == 1
    started = set(threading.enumerate()) - before
    assert not [each for each in started if each.name.startswith("webhook")]


def test_stopping_does_not_wait_for_a_hung_receiver_and_the_event_stays(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(deliver, "STOP_SECONDS", 0.05)
    receiver.hang = True
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    delivery = world.delivery(destination)

    async def scenario() -> None:
        delivery.start()
        await until(lambda: bool(receiver.requests))
        await delivery.stop()

    asyncio.run(scenario())
    assert (world.row()["status"], world.row()["attempts"]) == ("pending", 0)


def test_a_destination_that_is_removed_keeps_its_events_until_they_expire(
    world: World, receiver: Receiver
):
    destination = world.destination(receiver.url, name="renamed_away")
    world.add("rt_1", destination)
    delivery = world.delivery()

    async def scenario() -> None:
        delivery.start()
        await until(lambda: world.metric("webhook_pending", destination="renamed_away") == 1)
        assert world.row()["status"] == "pending"
        world.clock.advance(seconds=86401)
        delivery.configure([])
        await until(lambda: world.metric("webhook_pending", destination="renamed_away") == 0)
        await delivery.stop()

    asyncio.run(scenario())
    assert world.row()["status"] == "expired"
    assert receiver.requests == []
    assert world.metric("webhook_dead_total", destination="renamed_away") == 1


def test_a_reload_during_an_attempt_lets_it_end_and_serves_the_new_destination(
    world: World, receiver: Receiver
):
    other = Receiver()
    receiver.hang = True
    old, new = world.destination(receiver.url, name="old"), world.destination(other.url, name="new")
    world.add("rt_1", old, new)
    delivery = world.delivery(old)

    async def scenario() -> None:
        delivery.start()
        await until(lambda: bool(receiver.requests))
        delivery.configure([new])
        receiver.release.set()
        await until(lambda: bool(other.requests))
        await delivery.stop()

    asyncio.run(scenario())
    other.close()
    rows = {row["destination"]: row["status"] for row in outbox.listing(world.state, limit=9)}
    assert rows == {"old": "delivered", "new": "delivered"}


class _Failing:
    """A state whose next transactions fail, as on a full disk."""

    def __init__(self, state: State, failures: int) -> None:
        self._state = state
        self.failures = failures

    def read(self, name: str, **parameters: Any) -> Any:
        return self._state.read(name, **parameters)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnavailable("disk full")
        with self._state.transaction() as tx:
            yield tx


def test_an_attempt_that_cannot_be_recorded_is_recorded_later_and_not_repeated(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(deliver, "RECORD_SECONDS", 0.0)
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    world.state = _Failing(world.state, failures=3)  # type: ignore[assignment]
    assert world.attempt(world.delivery(destination)) == 0.0
    assert world.row()["status"] == "delivered"
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "name.invalid"])
def test_a_name_that_does_not_resolve_is_recorded_and_retried(world: World, host: str):
    destination = world.destination(f"http://{host}/hook")
    world.add("rt_1", destination)
    assert world.attempt(world.delivery(destination)) == 0.0
    assert (world.row()["status"], world.row()["attempts"]) == ("pending", 1)


def test_an_impatient_retry_after_does_not_beat_the_backoff(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    receiver.answers = [(503, {"Retry-After": "0"}, b"")]
    delivery = world.delivery(destination)
    world.attempt(delivery)
    wait = world.attempt(delivery)
    assert wait is not None
    assert 4.0 <= wait <= 6.0


def test_what_a_receiver_says_is_kept_short_and_printable(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    receiver.answers = [(422, {}, b"unknown\x00model\x1b[31m " + b"x" * 9000)]
    world.attempt(world.delivery(destination))
    error = world.row()["last_error"]
    assert error.startswith("HTTP 422: unknown model [31m xxx")
    assert error.isprintable()
    assert len(error) < 250


def test_an_unknown_destination_cannot_be_tested(world: World):
    with pytest.raises(LookupError):
        asyncio.run(world.delivery().send_test("nobody"))


def test_a_test_event_reports_a_refused_connection(world: World):
    destination = world.destination(f"http://127.0.0.1:{free_port()}/hook")
    answer = asyncio.run(world.delivery(destination).send_test("pipeline"))
    assert answer["status"] is None
    assert answer["error"]
    assert answer["seconds"] >= 0
