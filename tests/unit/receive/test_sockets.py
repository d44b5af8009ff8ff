"""Clients that do not behave: slow, silent, truncated, chunked by hand. Raw sockets."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

import pytest
from google.rpc import status_pb2

from receiver_harness import Receiver, span_request
from retraind.config.settings import ReceiverLimits
from retraind.receive import http

MIB = 2**20
HEAD = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"


def read_answer(client: socket.socket) -> tuple[int, bytes]:
    """(status, body) of one response with Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return int(head.split()[1]), body


def settled(receiver: Receiver) -> bool:
    """Whether all reserved bytes come back soon."""
    deadline = time.monotonic() + 10
    while receiver.counter("receiver_in_flight_bytes") and time.monotonic() < deadline:
        time.sleep(0.01)
    return receiver.counter("receiver_in_flight_bytes") == 0


def test_a_chunked_body() -> None:
    """T5: no Content-Length; chunk borders anywhere."""
    body = span_request(3)
    with Receiver() as receiver, receiver.connect() as client:
        client.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 11):
            piece = body[start : start + 11]
            client.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        client.sendall(b"0\r\n\r\n")
        assert read_answer(client) == (200, b"")
        assert receiver.intake.calls[0].body == body


def test_length_required() -> None:
    """H3: 411 with a Status when neither length nor chunks are announced."""
    with Receiver() as receiver, receiver.connect() as client:
        client.sendall(HEAD + b"\r\n")
        status, body = read_answer(client)
        assert status == 411
        assert status_pb2.Status.FromString(body).message


@pytest.mark.parametrize("length", [b"-1", b"1_0", b"0x10", b"99999999999999999999999"])
def test_nonsense_length(length: bytes) -> None:
    """H4: never a 5xx."""
    with Receiver() as receiver, receiver.connect() as client:
        client.sendall(HEAD + b"content-length: " + length + b"\r\n\r\n")
        assert client.recv(65536).split()[1] in {b"400", b"413"}


def test_expect_continue_is_refused_before_the_body() -> None:
    """T6: with Expect: 100-continue an oversize body never crosses the wire."""
    with Receiver() as receiver, receiver.connect() as client:
        client.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
        status, body = read_answer(client)
        assert status == 413
        assert status_pb2.Status.FromString(body).message


def test_expect_continue() -> None:
    body = span_request()
    with Receiver() as receiver, receiver.connect() as client:
        client.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        assert read_answer(client) == (200, b"")


def test_a_sender_of_too_much_still_gets_its_answer() -> None:
    """T6: 413 arrives although the client first sends all of its body and only then reads."""
    limits = ReceiverLimits(request_bytes=MIB, in_flight_bytes=4 * MIB)
    with Receiver(limits=limits) as receiver, receiver.connect() as client:
        client.sendall(HEAD + b"content-length: %d\r\n\r\n" % (8 * MIB))
        client.sendall(bytes(8 * MIB))
        status, _ = read_answer(client)
        assert status == 413


def test_a_slow_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then: 408, the reserved bytes come back; a neighbour is served meanwhile."""
    monkeypatch.setattr(http, "BODY_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(http, "LINGER_SECONDS", 0.1)
    body = span_request()
    with Receiver() as receiver, receiver.connect() as slow, receiver.connect() as other:
        slow.sendall(HEAD + b"content-length: 100000\r\n\r\n")
        for _ in range(3):
            slow.sendall(b"\x0a")
            other.sendall(HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body))
            assert read_answer(other) == (200, b"")
        status, answer = read_answer(slow)
        assert status == 408
        assert status_pb2.Status.FromString(answer).message
        assert settled(receiver)


def test_announced_bytes_that_do_not_come_yield_to_others() -> None:
    """Two clients announce all the memory and send nothing: a third waits a second, not thirty."""
    limits = ReceiverLimits(request_bytes=MIB, in_flight_bytes=2 * MIB)
    big = span_request(padding=MIB // 2)
    with Receiver(limits=limits) as receiver:
        with receiver.connect() as one, receiver.connect() as two, receiver.connect() as other:
            for silent in (one, two):
                silent.sendall(HEAD + b"content-length: %d\r\n\r\n" % MIB)
            while receiver.counter("receiver_in_flight_bytes") < 2 * MIB:
                time.sleep(0.01)
            other.sendall(HEAD + b"content-length: %d\r\n\r\n%s" % (len(big), big))
            assert read_answer(other) == (200, b"")
            assert read_answer(one)[0] == 429
        assert settled(receiver)


@pytest.mark.parametrize("reset", [False, True])
def test_a_truncated_body_stores_nothing(reset: bool) -> None:
    """The client leaves in the middle: nothing reaches the intake, the bytes come back."""
    body = span_request(50)
    with Receiver() as receiver:
        with receiver.connect() as client:
            client.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body[:100])
            while not receiver.counter("receiver_in_flight_bytes"):
                time.sleep(0.01)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert settled(receiver)
        assert receiver.intake.calls == []
        assert (
            receiver.counter(
                "receiver_requests_total", transport="http", signal="traces", outcome="cancelled"
            )
            == 1
        )


def test_a_client_that_leaves_during_the_commit() -> None:
    """The commit goes on and the bytes come back."""
    body = span_request()
    with Receiver() as receiver:
        receiver.intake.delay_seconds = 0.3
        with receiver.connect() as client:
            client.sendall(HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body))
            while not receiver.intake.calls:
                time.sleep(0.01)
        assert settled(receiver)
        assert receiver.intake.finished == 1


def test_garbage_on_both_ports() -> None:
    """Bytes that are neither HTTP nor gRPC end that connection only."""
    with Receiver() as receiver:
        host, _, port = receiver.grpc_target.rpartition(":")
        for address in ((host, int(port)), ("127.0.0.1", receiver.http_port)):
            with (
                socket.create_connection(address, timeout=5) as client,
                contextlib.suppress(ConnectionError),
            ):
                client.sendall(b"\x16\x03\x01\x02\x00\x01 no such protocol\r\n\r\n" * 20)
                while client.recv(4096):
                    pass
        with receiver.connect() as client:
            body = span_request()
            client.sendall(HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body))
            assert read_answer(client) == (200, b"")


def test_pipelined_requests() -> None:
    """Two requests in one packet are answered in order."""
    body = span_request()
    one = HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    with Receiver() as receiver, receiver.connect() as client:
        client.sendall(one + one)
        data = b""
        while data.count(b"HTTP/1.1 200") < 2:
            piece = client.recv(4096)
            assert piece
            data += piece
        assert len(receiver.intake.calls) == 2
