"""`retraind demo`: a daemon, an application and a training pipeline, from first span to trigger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from retraind.demo import report, verdict
from retraind.demo.daemon import Daemon, DemoError, config_text, free_ports
from retraind.demo.receiver import Receiver, write_secret
from retraind.demo.scenario import DAY_NS, DAYS, Drift, Scenario
from retraind.demo.scenario import Progress as Sent

_SETTLE_SECONDS: Final = 60.0
_SETTLED_TICKS: Final = 3


def main(seed: int, drift: str, data: Path | None) -> int:
    """Run the demo. 0 when the delivered events were exactly right, 1 when not, 2 for usage.

    It runs in the empty or new folder `data`, which stays, or in a temporary one that does not.
    """
    console = Console(highlight=False)
    try:
        last_midnight_ns = time.time_ns() // DAY_NS * DAY_NS
        scenario = Scenario(seed, Drift.parse(drift), last_midnight_ns)
        if find_spec("opentelemetry.sdk") is None:
            raise ValueError("the OpenTelemetry SDK is missing: pip install 'retraind[demo]'")
        if data is not None:
            _claim(data)
    except ValueError as error:
        console.print(f"retraind demo: {error}", style="red", markup=False)
        return 2
    try:
        if data is not None:
            return _demo(console, scenario, data.resolve(), kept=True)
        with tempfile.TemporaryDirectory(prefix="retraind-demo-") as folder:
            return _demo(console, scenario, Path(folder), kept=False)
    except DemoError as error:
        console.print(f"The demo could not run: {error}", style="red", markup=False)
        return 1


def _claim(folder: Path) -> None:
    """Make the folder. Raises ValueError when something is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; the demo needs a folder of its own")


def _demo(console: Console, scenario: Scenario, folder: Path, *, kept: bool) -> int:
    started = time.monotonic()
    ports = free_ports()
    secret_file = folder / "demo-webhook.secret"
    config_file = folder / "demo.yaml"
    write_secret(secret_file)
    with Receiver(secret_file) as receiver:
        config = config_text(ports, receiver.url, secret_file)
        config_file.write_text(config)
        report.introduce(console, scenario, config_file, config)
        with Daemon(config_file, folder, ports) as daemon:
            console.print(f"The daemon is ready: OTLP/gRPC on 127.0.0.1:{ports.grpc}.")
            sent = _send(console, scenario, daemon)
            _settle(console, daemon)
            found = _lost(daemon, sent)
            report.observations(console, daemon, scenario)
        found += verdict.problems(scenario, receiver.accepted, receiver.refused)
        report.deliveries(console, receiver.accepted)
    report.next_steps(console, daemon, config_file, kept=kept)
    report.conclude(console, scenario.drift, found, seconds=time.monotonic() - started)
    return 1 if found else 0


def _send(console: Console, scenario: Scenario, daemon: Daemon) -> Sent:
    """Run the application and show how far it is. Raises DemoError when it fails."""
    command = [sys.executable, "-m", "retraind.demo.application"]
    command += ["--endpoint", f"127.0.0.1:{daemon.ports.grpc}", "--seed", str(scenario.seed)]
    command += ["--drift", str(scenario.drift or "none"), "--end-ns", str(scenario.end_ns)]
    # Exporter settings of the caller's shell are not the demo's.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    sent = Sent(0, 0, scenario.start_ns)
    columns = (
        TextColumn("The application sends day {task.fields[day]} of {task.fields[days]}"),
        BarColumn(),
        TextColumn("{task.fields[spans]:,} spans"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task("", total=scenario.sessions, day=1, days=DAYS, spans=0)
        with subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                sent = Sent(**json.loads(line))
                day = min(DAYS, (sent.event_ns - scenario.start_ns) // DAY_NS + 1)
                bars.update(bar, completed=sent.conversations, day=day, spans=sent.spans)
    if process.returncode != 0 or not sent.done:
        raise DemoError(f"the application ended with code {process.returncode}")
    return sent


def _settle(console: Console, daemon: Daemon) -> None:
    """Wait until the daemon has looked at everything and has delivered what it decided."""
    watched = (
        "retraind_pane_rows_total",
        "retraind_window_evaluations_total",
        "retraind_triggers_total",
        "retraind_webhook_pending",
    )
    deadline = time.monotonic() + _SETTLE_SECONDS
    before: list[float] = []
    ticks: set[float] = set()
    with console.status("The daemon closes its windows and delivers …"):
        while time.monotonic() < deadline:
            sample = daemon.sample()
            now = [sample.total(name) for name in watched]
            if now != before:
                before, ticks = now, set()
            ticks.add(sample.total("retraind_last_tick_timestamp_seconds"))
            if len(ticks) > _SETTLED_TICKS and sample.total("retraind_webhook_pending") == 0:
                return
            time.sleep(0.3)
    raise DemoError(f"the daemon was still busy after {_SETTLE_SECONDS:.0f} s:\n{daemon.log()}")


def _lost(daemon: Daemon, sent: Sent) -> list[str]:
    """Every span that was sent must have been acknowledged and stored."""
    accepted = int(daemon.sample().total("retraind_receiver_accepted_spans_total"))
    if accepted == sent.spans:
        return []
    return [f"{sent.spans:,} spans were sent, the daemon accepted {accepted:,}"]
