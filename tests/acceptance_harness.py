"""What the acceptance tests share: raw OTLP/HTTP, the command line."""

from __future__ import annotations

import random
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2

from harness import Daemon, plain_http

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def post(
    daemon: Daemon,
    body: bytes,
    media_type: str = PROTOBUF,
    *,
    path: str = "/v1/traces",
    **headers: str,
) -> httpx2.Response:
    """One OTLP/HTTP request. Header names are written with underscores."""
    return plain_http.post(
        f"http://127.0.0.1:{daemon.http_port}{path}",
        content=body,
        headers={
            "content-type": media_type,
            **{k.replace("_", "-"): v for k, v in headers.items()},
        },
        timeout=30,
    )


def cli(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """`retraind …` as a user types it."""
    done = subprocess.run(
        [sys.executable, "-m", "retraind", *map(str, arguments)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not check or done.returncode == 0, done.stderr.decode()
    return done


def trace_id(seed: object) -> bytes:
    """A trace id of one's own, so that tests can share a daemon."""
    return random.Random(str(seed)).randbytes(16)


class Receiver:
    """A webhook receiver that answers 204 and keeps every request."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/retrain"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def secret_file(folder: Path, text: str, name: str = "secret") -> Path:
    """A file that only its owner can read."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path
