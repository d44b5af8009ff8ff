"""A store with its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evaluate_harness import World
from retraind.config.settings import Config


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(config: Config | None = None) -> World:
        worlds.append(World(tmp_path / str(len(worlds)), config))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
