"""The demo's receiver against requests signed with the reference library."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from retraind.demo.receiver import Receiver, write_secret

BODY = json.dumps({"id": "trg_1", "type": "x"}).encode()


@pytest.fixture(name="secret_file")
def _secret_file(tmp_path):
    path = tmp_path / "secret"
    write_secret(path)
    return path


@pytest.fixture(name="receiver")
def _receiver(secret_file):
    with Receiver(secret_file) as receiver:
        yield receiver


def signed(secret_file, body=BODY, at=None, message_id="trg_1"):
    at = at or datetime.now(UTC)
    signature = Webhook(secret_file.read_text().strip()).sign(message_id, at, body.decode())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def post(receiver, body, headers):
    connection = http.client.HTTPConnection(urlsplit(receiver.url).netloc, timeout=10)
    connection.request("POST", "/retrain", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_signed_event_is_taken(receiver, secret_file):
    assert post(receiver, BODY, signed(secret_file)) == 204
    assert [(d.id, d.event) for d in receiver.accepted] == [("trg_1", json.loads(BODY))]
    assert receiver.refused == ()


def test_one_of_several_signatures_is_enough(receiver, secret_file):
    """While a secret is rotated, a sender signs with the old and the new one."""
    headers = signed(secret_file)
    headers["webhook-signature"] = "v2,xyz v1,AAAA " + headers["webhook-signature"]

    assert post(receiver, BODY, headers) == 204


def test_a_changed_body_is_refused(receiver, secret_file):
    assert post(receiver, BODY + b" ", signed(secret_file)) == 401
    assert receiver.accepted == ()
    assert len(receiver.refused) == 1


def test_another_secret_is_refused(receiver, tmp_path):
    other = tmp_path / "other"
    write_secret(other)

    assert post(receiver, BODY, signed(other)) == 401


@pytest.mark.parametrize("signature", ["", "v1,", "v1,%%%", "v1", "v1a,AAAA", "v1,ünïcode"])
def test_a_malformed_signature_is_refused(receiver, secret_file, signature):
    headers = signed(secret_file) | {"webhook-signature": signature.encode()}

    assert post(receiver, BODY, headers) == 401


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_or_future_signature_is_refused(receiver, secret_file, minutes):
    at = datetime.now(UTC) + timedelta(minutes=minutes)

    assert post(receiver, BODY, signed(secret_file, at=at)) == 401


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_a_missing_header_is_refused(receiver, secret_file, name):
    headers = signed(secret_file)
    del headers[name]

    assert post(receiver, BODY, headers) == 400


def test_a_body_that_is_not_an_object_is_refused(receiver, secret_file):
    assert post(receiver, b"[1]", signed(secret_file, b"[1]")) == 400
    assert post(receiver, b"{", signed(secret_file, b"{")) == 400
    assert receiver.accepted == ()


def test_an_oversized_body_is_refused_unread(receiver, secret_file):
    headers = signed(secret_file) | {"Content-Length": str(2 << 20)}

    assert post(receiver, b"", headers) == 413


def test_the_secret_is_for_the_owner_only(secret_file):
    assert secret_file.stat().st_mode & 0o777 == 0o600
