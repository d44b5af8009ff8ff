"""Optional part of row 1: how many spans of the same requests arize-phoenix stores a second.

It is installed into .cache/phoenix on first use, runs on loopback with SQLite in a folder that is
removed, with telemetry off. It acknowledges before it inserts, so what counts are rows in its
database: from the first request until every span that was acknowledged is there.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import closing
from pathlib import Path

import httpx2
import numpy as np
from tests.harness import free_ports

from .payload import requests
from .variation import Variation

HOME = Path(".cache/phoenix")
REQUESTS = 6
SPANS_PER_REQUEST = 512
LIMIT_SECONDS = 300.0


def run(count: int = REQUESTS) -> tuple[float, str]:
    """Stored spans a second, and phoenix's version."""
    python = _installed()
    folder = Path(tempfile.mkdtemp(prefix="retraind-bench-"))
    try:
        return _measure(python, folder, count), _version(python)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _installed() -> Path:
    """The interpreter of phoenix's own environment, made on first use."""
    python = HOME / "bin" / "python"
    if not (HOME / "ready").exists():
        venv.create(HOME, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "arize-phoenix"], check=True)
        (HOME / "ready").touch()
    return python.absolute()


def _version(python: Path) -> str:
    show = "from importlib.metadata import version; print(version('arize-phoenix'))"
    done = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _measure(python: Path, folder: Path, count: int) -> float:
    port, grpc_port = free_ports(2)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_SQL_DATABASE_URL": f"sqlite:///{folder}/phoenix.db",
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "DO_NOT_TRACK": "1",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [python, "-m", "phoenix.server.main", "serve"],
            env=environment, stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
        try:
            _wait_ready(f"http://127.0.0.1:{port}/healthz", server, folder / "log")
            return _stored_rate(f"http://127.0.0.1:{port}/v1/traces", folder / "phoenix.db", count)
        finally:
            server.terminate()
            server.wait(30)


def _wait_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx2.get(url, timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"phoenix did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _stored_rate(url: str, database: Path, count: int) -> float:
    """Send so many requests, again while refused, and wait for their rows."""
    variations = [Variation(template) for template in requests(16, SPANS_PER_REQUEST)]
    rng = np.random.default_rng(1)
    headers = {"content-type": "application/x-protobuf"}
    started = time.monotonic()
    with httpx2.Client(timeout=60) as client:
        for number in range(count):
            body = variations[number % len(variations)].body(rng, time.time_ns())
            while (status := client.post(url, content=body, headers=headers).status_code) != 200:
                if status not in (429, 503) or time.monotonic() - started > LIMIT_SECONDS:
                    raise RuntimeError(f"phoenix answered {status}")
                time.sleep(0.5)
    stored = 0
    while stored < count * SPANS_PER_REQUEST:
        if time.monotonic() - started > LIMIT_SECONDS:
            print(f"phoenix stored {stored} spans in {LIMIT_SECONDS:.0f} s", file=sys.stderr)
            break
        time.sleep(0.2)
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            stored = connection.execute("SELECT count(*) FROM spans").fetchone()[0]
    return stored / (time.monotonic() - started)
