"""uvicorn inside the daemon: our sockets, no signal handlers, no access log, no banner."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from retraind.config.settings import Tls
from retraind.errors import StartError
from retraind.receive.auth import split_endpoint

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 60
_HEADER_BYTES = 32 * 1024
HEADER_TIMEOUT_SECONDS = 10.0
"""A connection that has not sent complete headers by then is closed."""


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the daemon."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 whose headers are bounded in size and time; uvicorn bounds neither."""

    _header_bytes = 0
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_arrived()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_headers()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._headers_arrived()
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _HEADER_BYTES:
            raise ValueError("headers too large")  # becomes a parser error: 400 and closed

    def _expect_headers(self) -> None:
        self._headers_arrived()
        self._header_bytes = 0
        self._header_timer = asyncio.get_running_loop().call_later(
            HEADER_TIMEOUT_SECONDS, self.transport.close
        )

    def _headers_arrived(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class EmbeddedServer:
    """Serves an ASGI application on `host:port` or on a socket that listens already."""

    def __init__(
        self, app: Any, endpoint: str | socket.socket, *, setting: str, tls: Tls | None = None
    ) -> None:
        """`setting` is the configuration path that an error message tells to change."""
        self._endpoint = endpoint
        self._setting = setting
        self._server = _Server(_config(app, tls))
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen and serve. Raises StartError when the address is taken or cannot be used."""
        listener = self._listen()
        if listener.family != socket.AF_UNIX:
            self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise StartError(f"cannot serve on {self._endpoint}; see the log")
            await asyncio.sleep(0.005)

    async def stop(self, grace_seconds: float) -> None:
        """Close the listener, give requests under way `grace_seconds`, then end them."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        await self._task
        self._task = None

    def _listen(self) -> socket.socket:
        if isinstance(self._endpoint, socket.socket):
            return self._endpoint
        try:
            return _listen_tcp(self._endpoint)
        except OSError as exc:
            raise StartError(
                f"cannot listen on {self._endpoint}: {os.strerror(exc.errno or 0)}; "
                f"set {self._setting}"
            ) from exc


def _config(app: Any, tls: Tls | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        loop="none",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        backlog=_BACKLOG,
        ssl_certfile=str(tls.cert_file) if tls else None,
        ssl_keyfile=str(tls.key_file) if tls else None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as exc:
        raise StartError(f"TLS certificate or key cannot be used: {exc}") from exc
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


def _listen_tcp(endpoint: str) -> socket.socket:
    host, port = split_endpoint(endpoint)
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
