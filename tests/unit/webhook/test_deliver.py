"""Delivery against real HTTP receivers on a socket, with time moved by hand."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from cloudevents.v1.http import from_http
from google.protobuf import json_format
from standardwebhooks import Webhook

from retraind.clock import ManualClock
from retraind.store.engine import run
from retraind.webhook import outbox, trigger_pb2
from webhook_harness import NOW_NS, SECRET, Receiver, World, until


def test_a_delivered_event_satisfies_the_reference_libraries(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    body = world.add("rt_1", destination)
    world.clock = ManualClock(time.time_ns())  # the library checks the timestamp
    with world.state.transaction() as tx:
        tx.run("outbox_retry", trigger_id="rt_1", destination=None, delivered=False,
               now_us=world.clock.now_ns() // 1000)  # fmt: skip
    assert world.attempt(world.delivery(destination)) == 0.0
    path, headers, sent = receiver.requests[0]
    assert (path, sent) == ("/hook", body)
    Webhook(SECRET).verify(sent, headers)
    event = from_http(headers, sent)
    assert event["id"] == headers["webhook-id"] == "rt_1"
    assert event["type"] == "dev.retraind.retrain.requested.v1"
    message = json_format.ParseDict(event.data, trigger_pb2.RetrainRequested())
    assert message.scope.model == "gpt"
    assert message.reasons[0].n == 300
    assert message.reasons[0].contributions[0].label == "übrige"
    assert world.row()["status"] == "delivered"
    assert world.attempt(world.delivery(destination)) is None
    assert len(receiver.requests) == 1


def test_a_receiver_that_was_down_gets_the_same_event_once_after_a_restart(
    world: World, receiver: Receiver
):
    destination = world.destination(receiver.url)
    body = world.add("rt_1", destination)
    receiver.answers = [(503, {}, b"down"), (503, {}, b"down"), (200, {}, b"")]
    first = world.delivery(destination)
    assert world.attempt(first) == 0.0
    wait = world.attempt(first)
    assert wait is not None
    assert 4.0 <= wait <= 6.0  # 5 s within 20 %
    world.reopen()
    second = world.delivery(destination)
    assert world.attempt(second) == pytest.approx(wait, abs=1e-3)
    world.clock.advance(seconds=7)
    assert world.attempt(second) == 0.0
    wait = world.attempt(second)
    assert wait is not None
    assert 24.0 <= wait <= 36.0  # 30 s within 20 %
    world.clock.advance(seconds=3600)
    assert world.attempt(second) == 0.0
    assert world.attempt(second) is None
    assert [(h["webhook-id"], b) for _, h, b in receiver.requests] == [("rt_1", body)] * 3
    stamps = [int(h["webhook-timestamp"]) for _, h, _ in receiver.requests]
    assert stamps == [NOW_NS // 10**9 + s for s in (0, 7, 3607)]
    attempts = run(
        world.engine.cursor("state"), "SELECT attempt, status FROM deliveries ORDER BY 1"
    )
    assert attempts == [(1, 503), (2, 503), (3, 200)]


def test_nobody_listening_is_retried(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    receiver.close()
    delivery = world.delivery(destination)
    world.attempt(delivery)
    assert world.row()["status"] == "pending"
    assert world.row()["last_status"] is None
    assert "ConnectError" in world.row()["last_error"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("999999", 3600), ("Fri, 19 Nov 2027 00:00:00 GMT", 3600), ("soon", None)],
)
def test_retry_after_is_honoured_up_to_an_hour(
    world: World, receiver: Receiver, header: str, seconds: float | None
):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    receiver.answers = [(429, {"Retry-After": header}, b"")]
    delivery = world.delivery(destination)
    world.attempt(delivery)
    wait = world.attempt(delivery)
    assert wait is not None
    if seconds is None:
        assert 4.0 <= wait <= 6.0
    else:
        assert wait == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 422])
def test_a_final_answer_ends_the_event_at_once(world: World, receiver: Receiver, status: int):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    receiver.answers = [(status, {"Location": receiver.url + "/elsewhere"}, b"no")]
    delivery = world.delivery(destination)
    world.attempt(delivery)
    assert world.row()["status"] == "dead"
    assert world.attempt(delivery) is None
    assert [path for path, _, _ in receiver.requests] == ["/hook"]
    assert world.metric("webhook_dead_total", destination="pipeline") == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 504])
def test_a_passing_answer_is_retried(world: World, receiver: Receiver, status: int):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    receiver.answers = [(status, {}, b"")]
    world.attempt(world.delivery(destination))
    assert world.row()["status"] == "pending"


def test_410_disables_the_destination_until_reload(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    world.clock.advance(seconds=1)
    world.add("rt_2", destination)
    receiver.answers = [(410, {}, b""), (200, {}, b"")]
    delivery = world.delivery(destination)
    world.attempt(delivery)
    assert world.attempt(delivery) is None
    assert len(receiver.requests) == 1
    assert world.metric("webhook_disabled", destination="pipeline") == 1
    delivery.configure([destination])
    assert world.metric("webhook_disabled", destination="pipeline") == 0
    assert world.attempt(delivery) == 0.0
    assert receiver.requests[1][1]["webhook-id"] == "rt_2"


def test_a_large_answer_is_not_read_to_its_end(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    receiver.answers = [(200, {}, b"x" * 20_000_000)]
    world.attempt(world.delivery(destination))
    assert world.row()["status"] == "delivered"


def test_a_hung_receiver_times_out_and_is_retried(world: World, receiver: Receiver):
    destination = world.destination(receiver.url, timeout=0.2)
    world.add("rt_1", destination)
    receiver.hang = True
    world.attempt(world.delivery(destination))
    assert world.row()["status"] == "pending"
    assert "TimeoutError" in world.row()["last_error"]


def test_order_is_kept_while_the_first_event_waits(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.add("rt_b", destination)
    world.clock.advance(seconds=1)
    world.add("rt_a", destination)
    receiver.answers = [(500, {}, b""), (200, {}, b"")]
    delivery = world.delivery(destination)
    world.attempt(delivery)
    assert world.attempt(delivery) is not None
    world.clock.advance(seconds=60)
    while world.attempt(delivery) is not None:
        pass
    assert [h["webhook-id"] for _, h, _ in receiver.requests] == ["rt_b", "rt_b", "rt_a"]


def test_expiry_ends_an_event_and_a_retry_by_command_revives_it(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.add("rt_1", destination)
    delivery = world.delivery(destination)
    world.clock.advance(seconds=86401)
    assert world.attempt(delivery) is None
    assert world.row()["status"] == "expired"
    assert receiver.requests == []
    assert outbox.retry(world.state, "rt_1", "other", world.clock.now_ns()) == 0
    assert outbox.retry(world.state, "rt_1", None, world.clock.now_ns()) == 1
    assert world.attempt(delivery) == 0.0
    assert world.row()["status"] == "delivered"
    assert outbox.retry(world.state, "rt_1", None, world.clock.now_ns()) == 0


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0", "224.0.0.1",
             "[fd00:ec2::254]", "100.100.100.200", "[64:ff9b::a9fe:a9fe]"],
)  # fmt: skip
def test_metadata_and_link_local_addresses_are_never_contacted(world: World, host: str):
    destination = world.destination(f"http://{host}/latest")
    world.add("rt_1", destination)
    world.attempt(world.delivery(destination))
    assert world.row()["status"] == "pending"
    assert "RefusedAddressError" in world.row()["last_error"]


def test_a_name_is_resolved_and_sent_as_host(world: World, receiver: Receiver):
    url = receiver.url.replace("127.0.0.1", "localhost")
    destination = world.destination(url)
    world.add("rt_1", destination)
    world.attempt(world.delivery(destination))
    assert world.row()["status"] == "delivered"
    assert receiver.requests[0][1]["host"] == url.removeprefix("http://").removesuffix("/hook")


def test_run_delivers_on_wake_past_a_hung_neighbour_and_stops_cleanly(
    world: World, receiver: Receiver
):
    hung = Receiver()
    hung.hang = True
    slow = world.destination(hung.url, name="slow")
    fast = world.destination(receiver.url, name="fast")
    delivery = world.delivery(slow, fast)

    async def scenario() -> None:
        task = asyncio.create_task(delivery.run())
        await asyncio.sleep(0)
        await asyncio.to_thread(world.add, "rt_1", slow, fast)
        await until(lambda: (delivery.wake(), bool(receiver.requests and hung.requests))[1])
        assert not task.done()
        delivery.end()
        hung.release.set()
        await task

    asyncio.run(scenario())
    hung.close()
    rows = {row["destination"]: row["status"] for row in outbox.listing(world.state, limit=9)}
    assert rows == {"slow": "delivered", "fast": "delivered"}
    assert world.metric("webhook_pending", destination="fast") == 0
    assert world.metric("webhook_oldest_pending_timestamp_seconds", destination="fast") is None


def test_a_test_event_is_signed_and_leaves_no_row(world: World, receiver: Receiver):
    destination = world.destination(receiver.url)
    world.clock = ManualClock(time.time_ns())
    answer = asyncio.run(world.delivery(destination).send_test("pipeline"))
    assert answer["delivered"] is True
    assert answer["status"] == 204
    _, headers, body = receiver.requests[0]
    Webhook(SECRET).verify(body, headers)
    assert json.loads(body)["type"] == "dev.retraind.webhook.test.v1"
    assert outbox.listing(world.state, limit=1) == []
