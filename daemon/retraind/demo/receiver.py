"""The demo's training pipeline: an HTTP endpoint for signed triggers, as a user would write one.

Signatures follow Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, base64, in a list of
`v1,…` entries; the timestamp may be five minutes off. Standard library only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final

TOLERANCE_SECONDS: Final = 300
_BODY_BYTES: Final = 1 << 20
_PREFIX: Final = "whsec_"


class DeliveryError(Exception):
    """A request that the receiver refuses; the text says why, `status` is the HTTP answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Delivery:
    """One accepted request: the webhook id and the CloudEvent."""

    id: str
    event: dict[str, Any]


def write_secret(path: Path) -> None:
    """Make a new signing secret, readable by the owner only."""
    path.touch(mode=0o600)
    path.write_text(_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode() + "\n")


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The webhook id of a well-signed request; `now` in Unix seconds. Raises DeliveryError."""
    message_id = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    if not message_id or not stamp.isascii() or not stamp.isdigit():
        raise DeliveryError(400, "webhook-id or webhook-timestamp is missing or malformed")
    if abs(now - int(stamp)) > TOLERANCE_SECONDS:
        raise DeliveryError(401, "webhook-timestamp is more than five minutes off")
    key = base64.b64decode(secret.strip().removeprefix(_PREFIX))
    signed = f"{message_id}.{stamp}.".encode() + body
    expected = hmac.new(key, signed, hashlib.sha256).digest()
    for entry in headers.get("webhook-signature", "").split():
        version, _, encoded = entry.partition(",")
        if version == "v1" and hmac.compare_digest(expected, _decoded(encoded)):
            return message_id
    raise DeliveryError(401, "no webhook-signature matches")


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


class Receiver:
    """Serves on a free loopback port; keeps what was accepted and why anything was refused."""

    def __init__(self, secret_file: Path) -> None:
        self._secret = secret_file.read_text()
        self._lock = threading.Lock()
        self._accepted: list[Delivery] = []
        self._refused: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status = receiver.take(self)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
                """Quiet: the report shows what arrived."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo-receiver")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/retrain"

    @property
    def accepted(self) -> tuple[Delivery, ...]:
        with self._lock:
            return tuple(self._accepted)

    @property
    def refused(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._refused)

    def take(self, request: BaseHTTPRequestHandler) -> int:
        """Check and keep one request; the HTTP status to answer with."""
        try:
            delivery = self._read(request)
        except DeliveryError as refusal:
            with self._lock:
                self._refused.append(str(refusal))
            return refusal.status
        with self._lock:
            self._accepted.append(delivery)
        return 204

    def _read(self, request: BaseHTTPRequestHandler) -> Delivery:
        length = request.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise DeliveryError(411, "Content-Length is missing")
        if int(length) > _BODY_BYTES:
            raise DeliveryError(413, "the body is larger than 1 MiB")
        body = request.rfile.read(int(length))
        headers = {name.lower(): value for name, value in request.headers.items()}
        message_id = verify(self._secret, headers, body, time.time())
        try:
            event = json.loads(body)
        except ValueError as error:
            raise DeliveryError(400, f"the body is not JSON: {error}") from error
        if not isinstance(event, dict):
            raise DeliveryError(400, "the body is not a JSON object")
        return Delivery(message_id, event)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
