"""Row 1: from an OTLP/gRPC export to its acknowledgement after the commit, against a bare loop.

Daemon and load generator are processes of their own on the same cores. Event time runs at 360 times
wall time, so that an hour closes every ten seconds: panes are built and windows of the default
monitor are evaluated while the load goes on. The bare loop runs between the rounds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.harness import Daemon

from .machine import cpu_seconds
from .row import Row

EVENT_SPEED = 360.0
DAY_NS = 86_400_000_000_000
GOAL = 0.40


@dataclass(frozen=True, slots=True)
class Extent:
    """How much to measure."""

    clients: Sequence[int] = (8, 16, 24, 32)
    probe_seconds: float = 8.0
    seconds: float = 25.0
    rounds: int = 3
    bare_commits: int = 24


QUICK = Extent(clients=(8,), probe_seconds=0.0, seconds=3.0, rounds=1, bare_commits=2)


@contextmanager
def fresh_daemon(config: dict[str, Any] | None = None) -> Iterator[Daemon]:
    """A daemon with the default configuration but for `config`, on a folder that is removed."""
    folder = Path(tempfile.mkdtemp(prefix="retraind-bench-"))
    try:
        with Daemon(folder / "data", {"tick": "5s"} | (config or {})) as daemon:
            yield daemon
    finally:
        shutil.rmtree(folder)


def child(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module of this package in a process of its own; it prints JSON."""
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.{module}", *map(str, arguments)],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def load(daemon: Daemon, seconds: float, clients: int, *more: object) -> dict[str, Any]:
    """Drive the daemon; the load generator's result."""
    return child(
        "load", "--target", f"127.0.0.1:{daemon.grpc_port}", "--seconds", seconds,
        "--clients", clients, "--event-start-ns", time.time_ns() - 2 * DAY_NS,
        "--event-speed", EVENT_SPEED, *more,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Round:
    """One run: the load generator's view, the daemon's metrics and its CPU time in seconds."""

    client: dict[str, Any]
    metrics: dict[str, float]
    cpu: float


def measure(seconds: float, clients: int) -> Round:
    with fresh_daemon() as daemon:
        assert daemon.process is not None
        before = cpu_seconds(daemon.process.pid)
        client = load(daemon, seconds, clients)
        used = cpu_seconds(daemon.process.pid) - before
        metrics = daemon.metrics()
    stored = metrics['retraind_receiver_accepted_spans_total{transport="grpc"}']
    if stored < client["spans_in_all"]:
        raise RuntimeError(f"{client['spans_in_all']} spans acknowledged, {stored} accepted")
    return Round(client, metrics, used)


def run(extent: Extent) -> Row:
    best = extent.clients[0]
    probes = {}
    if len(extent.clients) > 1:
        probes = {
            n: measure(extent.probe_seconds, n).client["spans_per_second"] for n in extent.clients
        }
        best = max(probes, key=lambda n: probes[n])
    bare, rounds = [child("bare", "--commits", extent.bare_commits)], []
    for _ in range(extent.rounds):
        rounds.append(measure(extent.seconds, best))
        bare.append(child("bare", "--commits", extent.bare_commits))
    rate = median(r.client["spans_per_second"] for r in rounds)
    one, two = (median(b[name] for b in bare) for name in ("one_thread", "two_threads"))
    yardstick = max(one, two)
    row = Row("1. End to end over OTLP/gRPC, acknowledged after commit, load generator included")
    row.figures = {
        "spans per request": 512,
        "bytes per span on the wire": rounds[0].client["bytes_per_span"],
        "attributes and events per span": "18 and 1 (an evaluation)",
        "clients (the best of those below)": best,
        **{f"  probe with {n} clients, spans/s": found for n, found in probes.items()},
        "spans/s acknowledged": rate,
        "  each round": _list(r.client["spans_per_second"] for r in rounds),
        "acknowledgement p50, ms": median(r.client["latency_p50_ms"] for r in rounds),
        "acknowledgement p99, ms": median(r.client["latency_p99_ms"] for r in rounds),
        "refused requests": sum(sum(r.client["errors"].values()) for r in rounds),
        "CPU time per span, daemon, µs": _per_span(rounds, lambda r: r.cpu),
        "CPU time per span, load generator, µs": _per_span(
            rounds, lambda r: r.client["client_cpu_seconds"]
        ),
        **_background(rounds),
        "bare loop, one thread, spans/s and evaluations": one,
        "bare loop, two threads, spans/s and evaluations": two,
        "  the faster one each time": _list(b["spans_per_second"] for b in bare),
        "bare loop, rows/s of both tables": 2 * yardstick,
        "bare loop, spans/s without evaluations": median(b["spans_alone_per_second"] for b in bare),
        "bytes per span as columns": bare[0]["bytes_per_span"],
        "ratio to the faster bare loop": rate / yardstick,
    }
    row.goals = {f"ratio >= {GOAL:.2f}": rate / yardstick >= GOAL}
    return row


def _background(rounds: list[Round]) -> dict[str, float | str]:
    """Panes, windows and segments of the rounds together."""

    def total(name: str) -> float:
        return sum(r.metrics.get(f"retraind_{name}", 0.0) for r in rounds)

    seconds = total("pane_build_duration_seconds_sum")
    hours = total("panes_built_total")
    rows = total("pane_rows_total")
    return {
        "pane rows written": hours,
        "decision windows evaluated": total("window_evaluations_total"),
        "pane building, µs per span read": seconds / max(rows, 1.0) * 1e6,
        "segment rotations": total("segment_rotations_total"),
        "rows per commit, with evaluations": total("commit_rows_sum") / total("commits_total"),
    }


def _per_span(rounds: list[Round], seconds: Any) -> float:
    return median(seconds(r) / r.client["spans_in_all"] * 1e6 for r in rounds)


def _list(values: Any) -> str:
    return ", ".join(f"{value:,.0f}" for value in values)
