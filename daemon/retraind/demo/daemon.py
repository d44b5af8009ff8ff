"""The daemon as the demo runs it: a subprocess with a config file, free ports and a data folder."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0

_CONFIG: Final = """\
receivers:
  grpc: {{endpoint: 127.0.0.1:{grpc}}}
  http: {{endpoint: 127.0.0.1:{http}}}
admin: {{endpoint: 127.0.0.1:{admin}}}
tick: 1s                      # default 5s; the demo replays two weeks in half a minute
monitors:
  - name: support
    match: {{service_name: support-bot}}
    cohort: attributes["app.cohort"]
    features:
      - input_tokens
      - output_tokens
      - {{name: product, from: 'attributes["app.product"]', type: category}}
    evals:
      groundedness: {{threshold: 0.7}}
      answer_relevance: {{threshold: 0.7}}
    reference: {{min_age: 4d}}  # default 7d; windows and detector are the defaults
destinations:
  - {{name: pipeline, url: "{url}", secret_file: {secret_file}}}
"""


class DemoError(Exception):
    """The demo could not run; the text says why."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the daemon listens on loopback."""

    grpc: int
    http: int
    admin: int


def free_ports() -> Ports:
    """Three ports that are free now, held open together so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    try:
        return Ports(*(listener.getsockname()[1] for listener in held))
    finally:
        for listener in held:
            listener.close()


def config_text(ports: Ports, url: str, secret_file: Path) -> str:
    """The demo's configuration, as written to the folder and shown."""
    quoted = json.dumps(str(secret_file))
    return _CONFIG.format(
        grpc=ports.grpc, http=ports.http, admin=ports.admin, url=url, secret_file=quoted
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """What /metrics says at one moment; names are those of docs/metrics.md."""

    values: dict[str, float]

    def total(self, name: str) -> float:
        return self.values.get(name, 0.0)


class Daemon:
    """`retraind serve`, from ready to stopped. Raises DemoError when it does not start."""

    def __init__(self, config_file: Path, data: Path, ports: Ports) -> None:
        self._config_file = config_file
        self._log_file = data / "demo-daemon.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.data = data
        self.ports = ports
        self.admin_url = f"http://127.0.0.1:{ports.admin}"

    def __enter__(self) -> Daemon:
        command = [sys.executable, "-m", "retraind", "serve"]
        command += ["--config", str(self._config_file), "--data", str(self.data)]
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._stop(self._process)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._stop(self._process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(f"the daemon ended with code {process.returncode}:\n{self.log()}")
            try:
                with urllib.request.urlopen(f"{self.admin_url}/-/ready", timeout=2):  # noqa: S310
                    return
            except OSError:
                time.sleep(0.1)
        raise DemoError(f"the daemon was not ready in {_START_SECONDS:.0f} s:\n{self.log()}")

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self, lines: int = 20) -> str:
        """The end of the daemon's log."""
        return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-lines:])

    def sample(self) -> Sample:
        """Scrape /metrics; samples of one name are summed. Raises DemoError when it is gone."""
        try:
            with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=10) as answer:  # noqa: S310
                text = answer.read().decode()
        except OSError as error:
            raise DemoError(f"/metrics does not answer: {error}\n{self.log()}") from error
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for item in family.samples:
                values[item.name] = values.get(item.name, 0.0) + item.value
        return Sample(values)

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """Rows of a query, asked as a user would: `retraind sql`. Raises DemoError."""
        command = [sys.executable, "-m", "retraind", "sql", "--data", str(self.data)]
        done = subprocess.run(  # noqa: S603 - our own command
            [*command, "--format", "json", statement], capture_output=True, check=False, timeout=60
        )
        if done.returncode != 0:
            raise DemoError(f"retraind sql failed: {done.stderr.decode(errors='replace').strip()}")
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows
