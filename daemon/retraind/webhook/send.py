"""One signed POST: no redirects, bounded in time and in what is read of the answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx2

from retraind import __version__
from retraind.webhook import sign
from retraind.webhook.address import resolve
from retraind.webhook.event import CONTENT_TYPE

MAX_ANSWER_BYTES = 4096
QUOTED_BYTES = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP status, headers with lower-case names, and the first bytes of the body as text."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


def new_client() -> httpx2.AsyncClient:
    """A client that follows no redirect and no proxy of the environment, with the system's CAs.

    Connections are not kept: they are made to an address, so two names behind one address would
    share them, and with them the certificate that was checked.
    """
    return httpx2.AsyncClient(
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        limits=httpx2.Limits(max_keepalive_connections=0),
        timeout=None,  # `post` bounds the whole attempt
    )


async def post(
    client: httpx2.AsyncClient,
    url: str,
    body: bytes,
    *,
    event_id: str,
    secrets: Sequence[bytes],
    timestamp: int,
    timeout_seconds: float,
) -> Answer:
    """Send an event. `timestamp` is the attempt's Unix time in seconds.

    Raises RefusedAddressError, TimeoutError, and OSError or httpx2.HTTPError for network faults.
    """
    headers = {
        "content-type": CONTENT_TYPE,
        "user-agent": f"retraind/{__version__}",
        **sign.headers(secrets, event_id, timestamp, body),
    }
    async with asyncio.timeout(timeout_seconds):
        target = httpx2.URL(url)
        port = target.port or (443 if target.scheme == "https" else 80)
        addresses = await resolve(target.host, port)
        for address in addresses[:-1]:
            try:
                return await _post(client, target, address, headers, body)
            except httpx2.ConnectError:
                continue  # the next address of the same name, e.g. ::1 then 127.0.0.1
        return await _post(client, target, addresses[-1], headers, body)


async def _post(
    client: httpx2.AsyncClient,
    target: httpx2.URL,
    address: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Answer:
    async with client.stream(
        "POST",
        target.copy_with(host=address),
        content=body,
        headers={**headers, "host": target.netloc.decode("ascii")},
        extensions={"sni_hostname": target.host},
    ) as response:
        read = bytearray()
        async for chunk in response.aiter_raw():
            read += chunk
            if len(read) > MAX_ANSWER_BYTES:
                break
        quoted = bytes(read[:QUOTED_BYTES]).decode("utf-8", "replace")
        text = "".join(each if each.isprintable() else " " for each in quoted)
        return Answer(response.status_code, dict(response.headers), text)
