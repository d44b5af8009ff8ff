"""Log lines as a collector and as a person read them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from retraind import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_not_a_terminal_gets_one_json_object_a_line() -> None:
    out = io.StringIO()
    log.configure(out)
    structlog.get_logger().info("segment sealed", segment=7)
    structlog.get_logger().debug("not shown")
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("tick failed")
    logging.getLogger("elsewhere").warning("from %s", "elsewhere")
    lines = {line["event"]: line for line in map(json.loads, out.getvalue().splitlines())}
    sealed = lines["segment sealed"]
    assert (sealed["segment"], sealed["level"]) == (7, "info")
    assert sealed["time"].endswith("Z")
    assert lines["tick failed"]["exception"][0]["exc_type"] == "ValueError"
    assert "from elsewhere" in lines
    assert "not shown" not in lines


@pytest.mark.parametrize("terminal", [False, True])
def test_local_variables_never_reach_a_log(terminal: bool) -> None:
    out = Terminal() if terminal else io.StringIO()
    log.configure(out)
    content = "what the user " + "wrote"
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("tick failed", length=len(content))
    assert "broken" in out.getvalue()
    assert content not in out.getvalue()


def test_a_terminal_gets_text() -> None:
    out = Terminal()
    log.configure(out)
    structlog.get_logger().info("segment sealed", segment=7)
    assert "segment sealed" in out.getvalue()
    assert not out.getvalue().startswith("{")
