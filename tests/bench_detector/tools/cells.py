"""Reads the cells that the benchmark wrote; used by the scripts beside it, in each tool's own
environment, so nothing but numpy is imported."""

import json
import sys
from pathlib import Path

import numpy as np


def cells(folder):
    """(name, kind, references, windows) of each file, in a stable order."""
    for path in sorted(Path(folder).glob("*.npz")):
        with np.load(path) as data:
            yield str(data["name"]), str(data["kind"]), data["references"], data["windows"]


def as_sent(kind, codes):
    """Numbers as they are, category codes as the texts that they stand for."""
    if kind == "number":
        return codes
    return np.array([f"c{int(code):03d}" for code in codes.ravel()], dtype=object).reshape(
        codes.shape
    )


def told(flags):
    """Print rule -> cell -> [flagged, windows]."""
    counted = {
        rule: {name: [sum(map(bool, own)), len(own)] for name, own in by_cell.items()}
        for rule, by_cell in flags.items()
    }
    print(json.dumps(counted))


def progress(number, name):
    if number % 20 == 0:
        print(f"{Path(sys.argv[0]).stem}: cell {number}, {name}", file=sys.stderr, flush=True)
