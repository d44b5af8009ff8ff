"""Bearer tokens, and the rule that nothing listens to the network without them."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from pathlib import Path
from typing import TypeAlias

from retraind.errors import StartError

Digests: TypeAlias = tuple[bytes, ...]


class Tokens:
    """The tokens of a file: one a line, `#` starts a comment line, an optional `name:` goes before.

    Only SHA-256 digests are kept, and every digest is compared, in constant time each.
    """

    def __init__(self, path: Path) -> None:
        """Raises StartError when the file cannot be read or holds no token."""
        self._path = path
        self._digests = self.read()

    def use(self, digests: Digests) -> None:
        """Accept these tokens from now on, and no others."""
        self._digests = digests

    def read(self) -> Digests:
        """What the file holds now. Raises StartError."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as exc:
            raise StartError(
                f"tokens file {self._path}: {exc.strerror}; create it with one token a line"
            ) from exc
        except UnicodeDecodeError as exc:
            raise StartError(f"tokens file {self._path}: not UTF-8 text") from exc
        digests = []
        for number, raw in enumerate(text.splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            token = line.rpartition(":")[2].strip()
            if not token or not token.isascii() or any(c.isspace() for c in token):
                raise StartError(
                    f"tokens file {self._path}:{number}: write one token without spaces, "
                    "or `name: token`"
                )
            digests.append(_digest(token.encode()))
        if not digests:
            raise StartError(f"tokens file {self._path}: no token in it; write one a line")
        return tuple(digests)

    def accepts(self, authorization: str | bytes | None) -> bool:
        """Whether the value of an Authorization header carries one of the tokens."""
        if authorization is None:
            return False
        value = authorization.encode() if isinstance(authorization, str) else authorization
        scheme, _, token = value.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        candidate = _digest(token.strip())
        matches = [hmac.compare_digest(candidate, known) for known in self._digests]
        return any(matches)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """(host, port) of `host:port`; brackets of an IPv6 address are taken off, no host is any."""
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(endpoint: str, *, has_auth: bool, allow_unauthenticated: bool) -> None:
    """Raises StartError when `endpoint` is open to the network and no token is asked for."""
    host, _ = split_endpoint(endpoint)
    if has_auth or allow_unauthenticated or is_loopback(host):
        return
    raise StartError(
        f"{endpoint} is reachable from the network and would take data from anyone: "
        "set receivers.tokens_file, or listen on 127.0.0.1, "
        "or set receivers.allow_unauthenticated: true"
    )
