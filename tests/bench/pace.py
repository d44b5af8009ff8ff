"""Row 3: acknowledgement at half of the maximum rate for minutes, and what memory does meanwhile.

The load is open: a request counts from the moment it was due. Segments have their default size, so
that several are sealed on the way; event time runs at 360 times wall time as in row 1.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from .ingest import fresh_daemon, load
from .machine import MemorySampler
from .row import Row

MIB = 2**20
PLATEAU = 1.10
"""The last third's median resident memory is at most this times the middle third's."""


def run(rate: float, minutes: float, clients: int = 32) -> Row:
    """Send `rate` spans/s for so many minutes."""
    with fresh_daemon() as daemon:
        assert daemon.process is not None
        with MemorySampler(daemon.process.pid) as memory:
            client = load(daemon, minutes * 60, clients, "--rate", rate)
        metrics = daemon.metrics()
    third = max(1, len(memory.samples) // 3)
    middle = median(memory.samples[third : 2 * third] or memory.samples)
    last = median(memory.samples[2 * third :] or memory.samples)
    rotations = metrics["retraind_segment_rotations_total"]
    row = Row("3. At half of the maximum rate: acknowledgement and resident memory")
    row.figures = {
        "minutes": minutes,
        "spans/s asked for": rate,
        "spans/s acknowledged": client["spans_per_second"],
        "acknowledgement p50, ms": client["latency_p50_ms"],
        "acknowledgement p99, ms": client["latency_p99_ms"],
        "acknowledgement max, ms": client["latency_max_ms"],
        "refused requests": sum(client["errors"].values()),
        "segment rotations (256 MiB of log each)": rotations,
        "decision windows evaluated": metrics["retraind_window_evaluations_total"],
        "resident memory, middle third, MiB": middle / MIB,
        "resident memory, last third, MiB": last / MIB,
        "resident memory, peak, MiB": max(memory.samples) / MIB,
        "  median of each tenth, MiB": _tenths(memory.samples),
    }
    row.goals = {
        "p99 < 1 s": client["latency_p99_ms"] < 1000,
        "at least two rotations": rotations >= 2,
        f"last third <= {PLATEAU:.2f} x middle third": last <= PLATEAU * middle,
    }
    return row


def _tenths(samples: list[int]) -> str:
    edges = [len(samples) * i // 10 for i in range(11)]
    parts = [samples[first:last] for first, last in pairwise(edges) if last > first]
    return ", ".join(f"{median(part) / MIB:.0f}" for part in parts)
