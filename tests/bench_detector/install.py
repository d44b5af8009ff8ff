"""Third-party tools, each in an environment of its own: their pins conflict."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

HOME = Path(".cache/bench-detector")
TOOLS = Path(__file__).parent / "tools"
REQUIREMENTS = {
    "evidently": ("evidently==0.7.23", "pandas==2.3.3", "scipy==1.17.1"),
    # statsmodels is imported by nannyml without being declared
    "nannyml": ("nannyml==0.13.1", "statsmodels==0.15.0", "pandas==3.1.1"),
    "alibi-detect": ("alibi-detect==0.13.0", "scipy==1.17.1"),
    "river": ("river==0.26.1",),
}
QUIET = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
"""Evidently and NannyML report their use otherwise."""


def python_of(tool: str) -> Path:
    """The interpreter of a tool's environment, made on first use and when its pins change."""
    home, pins = HOME / tool, REQUIREMENTS[tool]
    ready = home / hashlib.sha256(repr(pins).encode()).hexdigest()[:16]
    if not ready.exists():
        print(f"installing {' '.join(pins)} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        pip = [
            home / "bin/python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, *pins], check=True)
        ready.touch()
    return (home / "bin" / "python").absolute()


def run_tool(tool: str, script: str, *arguments: Path) -> dict[str, Any]:
    """Run a script of tools/ in the environment of `tool`; it prints one JSON object."""
    command = [python_of(tool), "-W", "ignore", TOOLS / script, *arguments]
    environment = {**os.environ, **QUIET, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.decode().strip().splitlines()[-1])
    return found


def package_of(tool: str, package: str) -> Path:
    """Where an installed package keeps its files; it is not imported."""
    found = list(python_of(tool).parent.parent.glob(f"lib/python3*/site-packages/{package}"))
    return found[0]


def version_of(tool: str) -> str:
    return REQUIREMENTS[tool][0].replace("==", " ")
