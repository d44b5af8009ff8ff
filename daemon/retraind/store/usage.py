"""The view `usage` and the macros behind it: SQL from schema/usage.sql, emitters from a table."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from retraind.store.engine import Cursor, quoted, run
from retraind.store.queries import script_blocks


def create_usage_view(cursor: Cursor) -> None:
    """Create memory.main.usage, over the view `spans` beside it, and its macros.

    Once: it stays when `spans` is made again over other segments.
    """
    run(cursor, script_blocks("usage")["usage_macros"].replace("{exclusive}", _exclusive()))
    run(cursor, script_blocks("usage")["usage_view"].replace("{view}", "VIEW memory.main."))
    run(cursor, script_blocks("usage")["usage_comments"])


def create_own_usage_view(cursor: Cursor) -> None:
    """The view over this connection's own `spans`."""
    run(cursor, script_blocks("usage")["usage_view"].replace("{view}", "TEMP VIEW "))


@cache
def _exclusive() -> str:
    """A condition over the macro's parameters: one of the emitters of exclusive.toml."""
    table = tomllib.loads(files(__package__).joinpath("exclusive.toml").read_text("utf-8"))
    return " OR ".join(f"({_condition(emitter)})" for emitter in table["emitter"])


def _condition(emitter: Mapping[str, Any]) -> str:
    parts = []
    for key, parameter in (("convention", "convention"), ("scope", "scope_name")):
        if key in emitter:
            parts.append(f"{parameter} = {quoted(emitter[key])}")
    if providers := emitter.get("providers"):
        parts.append(f"provider IN ({', '.join(quoted(name) for name in providers)})")
    for column, attribute in emitter.get("source", {}).items():
        member = f'"{column}":"{attribute}"'
        parts.append(f"contains(norm_source, {quoted(member)})")
    return " AND ".join(parts)
