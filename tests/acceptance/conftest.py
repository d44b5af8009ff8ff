"""One daemon for each module: its tests tell their rows apart by trace ids of their own.

Run in parallel with `--dist loadfile`, else every worker starts the daemon of every module.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import Daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon with the default configuration, shared by the tests of a module.

    Whatever was sent to it, no tick failed and nothing unexpected was logged.
    """
    with Daemon(tmp_path_factory.mktemp("daemon") / "data") as running:
        yield running
        assert running.metrics()["retraind_evaluation_failures_total"] == 0
    assert '"exception"' not in running.log_file.read_text(), running.log_tail()
