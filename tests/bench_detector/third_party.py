"""The same windows and streams given to the third-party tools."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from .fail_rate import CHANGE, Alarms, Streams
from .install import run_tool
from .side_by_side import Cell, Rates

SCRIPTS = {
    "evidently": "evidently_flags.py",
    "nannyml": "nannyml_flags.py",
    "alibi-detect": "alibi_flags.py",
}
STREAMS = 100
"""The first streams of each rate: one value at a time is slow in Python."""


def flags(cells: list[Cell]) -> Rates:
    """What Evidently, NannyML and alibi-detect flag by default."""
    rates: Rates = {}
    with tempfile.TemporaryDirectory(prefix="retraind-bench-") as name:
        for number, cell in enumerate(cells):
            np.savez(
                Path(name) / f"{number:05d}.npz", name=cell.name, kind=cell.kind,
                references=cell.references, windows=cell.windows,
            )  # fmt: skip
        for tool, script in SCRIPTS.items():
            for rule, own in run_tool(tool, script, Path(name)).items():
                rates[rule] = {cell: (found[0], found[1]) for cell, found in own.items()}
    return rates


def alarms(streams: Streams) -> dict[str, Alarms]:
    """What river's detectors of binary values say."""
    with tempfile.TemporaryDirectory(prefix="retraind-bench-") as name:
        path = Path(name) / "streams.npz"
        some = {rate: failed[:STREAMS] for rate, failed in streams.failed.items()}
        np.savez(path, **some)
        return run_tool("river", "river_streams.py", path, Path(str(CHANGE)))
