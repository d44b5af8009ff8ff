"""The same seed gives the same bits: every part twice, in fresh processes that differ otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

from .gates import certain
from .section import Section, Size

ENVIRONMENTS = (
    {"PYTHONHASHSEED": "1", "OPENBLAS_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "2", "OPENBLAS_NUM_THREADS": "2"},
)
REPEATED: Size = "test"
"""What is run again, in every form: the smallest, because it is run twice."""


def run(seed: int, size: Size) -> Section:  # noqa: ARG001
    section = Section("Replay: digest of every result of two processes with the same seed")
    digests = [_digest(seed, environment) for environment in ENVIRONMENTS]
    section.header = ["environment", "digest"]
    for environment, digest in zip(ENVIRONMENTS, digests, strict=True):
        settings = " ".join(f"{name}={value}" for name, value in environment.items())
        section.rows.append([settings, digest])
    same = digests[0] == digests[1]
    found = "identical" if same else "different"
    section.gates.append(certain("replay", "the same bits", found, kept=same))
    return section


def _digest(seed: int, environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", f"{__package__}", "--digest", REPEATED, "--seed", str(seed)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
