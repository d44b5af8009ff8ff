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


# Tests that run real programs for a minute come first, so that the workers end together.
_LONG = ("faults", "acceptance", "corpus", "properties")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return _LONG.index(folder) if folder in _LONG else len(_LONG)

    items.sort(key=place)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon on free ports and a fresh folder, with the default configuration."""
    with Daemon(tmp_path / "data") as running:
        yield running
