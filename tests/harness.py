"""Runs the real daemon as a subprocess and talks to it as a user would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx2
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from retraind.cli.client import Target

# Reads no certificates, as a call of `httpx2.get` does for 25 ms each time; keeps no connection, as
# the daemon behind it is stopped and killed.
plain_http = httpx2.Client(
    verify=False,
    trust_env=False,
    limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
)

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; none is given twice, or a second server could not start."""
    ports: list[int] = []
    with ExitStack() as held:  # until all are chosen, so that the system offers others
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if port not in _given:
                _given.add(port)
                ports.append(port)
    return ports


def free_port() -> int:
    return free_ports(1)[0]


class Daemon:
    """One daemon process. Entering starts it and waits until it is ready."""

    def __init__(
        self, data: Path, config: dict[str, Any] | None = None, wrapper: list[str] | None = None
    ) -> None:
        self.data = data
        self.grpc_port, self.http_port, self.admin_port = free_ports(3)
        self.config: dict[str, Any] = {
            "data": str(data),
            "tick": "500ms",
            "receivers": {
                "grpc": {"endpoint": f"127.0.0.1:{self.grpc_port}"},
                "http": {"endpoint": f"127.0.0.1:{self.http_port}"},
            },
            "admin": {"endpoint": f"127.0.0.1:{self.admin_port}"},
        }
        _merge(self.config, config or {})
        self.config_file = data.parent / f"{data.name}.yaml"
        self.log_file = data.parent / f"{data.name}.log"
        self.wrapper = wrapper or []
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def command(self) -> list[str]:
        return [
            *self.wrapper,
            sys.executable,
            "-m",
            "retraind",
            "serve",
            "--config",
            str(self.config_file),
        ]

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, ready_within: float = 60) -> None:
        self.spawn()
        self.wait_ready(ready_within)

    def spawn(self) -> None:
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(yaml.safe_dump(self.config))
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"NO_COLOR": "1"},
            )

    def wait_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"daemon exited {self.process.returncode}:\n{self.log_tail()}")
            try:
                if plain_http.get(f"{self.admin}/-/ready", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"daemon not ready after {seconds} s:\n{self.log_tail()}")

    def stop(self, *, within: float = 30) -> int:
        """SIGTERM, as a supervisor would; returns the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"daemon did not stop:\n{self.log_tail()}") from None

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def log_tail(self, lines: int = 40) -> str:
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Rows of a query: from the running daemon over its socket, else by the CLI."""
        if self.process is not None and self.process.poll() is None:
            with Target(self.data, None, None).client() as client:
                answer: dict[str, Any] = client.post("/api/v1/sql", json={"sql": query})
            return list(answer["rows"])
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "retraind",
                "sql",
                "--data",
                str(self.data),
                "--format",
                "json",
                query,
            ],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def metrics(self) -> dict[str, float]:
        """Samples of /metrics by `name{labels}` as exposed."""
        text = plain_http.get(f"{self.admin}/metrics", timeout=10).text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in pairs}

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(
            f"127.0.0.1:{self.grpc_port}",
            options=[("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)],
        )

    def export(self, request: ExportTraceServiceRequest | bytes, timeout: float = 20) -> bytes:
        """One raw OTLP/gRPC export; returns the raw response bytes."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        with self.channel() as channel:
            answer: bytes = channel.unary_unary(EXPORT)(body, timeout=timeout)
        return answer


def _merge(into: dict[str, Any], what: dict[str, Any]) -> None:
    for key, value in what.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def eventually(check: Any, seconds: float = 30, every: float = 0.1) -> Any:
    """The first truthy value of `check()`; fails with its last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {seconds} s")
        time.sleep(every)
