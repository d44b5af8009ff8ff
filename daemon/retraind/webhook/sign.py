"""Standard Webhooks 1.0.0: who sent this, when, and that nobody changed it.

The receiver recomputes HMAC-SHA256 over `id.timestamp.body` with the shared secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stat
from collections.abc import Sequence
from pathlib import Path

from retraind.errors import ConfigError

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64


def load_secrets(path: Path) -> tuple[bytes, ...]:
    """The secrets of a file, one `whsec_…` a line; two lines while a secret is being replaced.

    Raises ConfigError, without the secret, when the file cannot be read, can be changed by others,
    or holds something else.
    """
    try:
        if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(f"{path}: others can write this file; run `chmod 600 {path}`")
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the webhook secret: {error}") from None
    if not lines:
        raise ConfigError(f"{path}: is empty; write whsec_ and the base64 of 24 to 64 random bytes")
    return tuple(_decode(path, number, line) for number, line in enumerate(lines, 1))


def headers(secrets: Sequence[bytes], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt at `timestamp` (Unix seconds); without secrets, unsigned."""
    result = {"webhook-id": event_id, "webhook-timestamp": str(timestamp)}
    if secrets:
        signed = f"{event_id}.{timestamp}.".encode() + body
        result["webhook-signature"] = " ".join(
            "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
            for secret in secrets
        )
    return result


def _decode(path: Path, number: int, line: str) -> bytes:
    wanted = f"{path}:{number}: write whsec_ and the base64 of 24 to 64 random bytes"
    if not line.startswith(PREFIX):
        raise ConfigError(f"{wanted}; this line does not start with whsec_")
    try:
        secret = base64.b64decode(line[len(PREFIX) :], validate=True)
    except binascii.Error:
        raise ConfigError(f"{wanted}; this is not base64") from None
    if not MIN_BYTES <= len(secret) <= MAX_BYTES:
        raise ConfigError(f"{wanted}; these are {len(secret)} bytes")
    return secret
