"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Daemon

# A developer's shell must not leak into the daemon under test.
for _name in [name for name in os.environ if name.startswith(("OTEL_", "RETRAIND_"))]:
    if _name != "RETRAIND_REQUIRE_PROGRAMS":  # read by tests: a missing program is a failure
        del os.environ[_name]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon on free ports and a fresh folder, with the default configuration."""
    with Daemon(tmp_path / "data") as running:
        yield running
