"""`retraind serve` whose engine fails for good at the third commit of data. A simulation."""

from __future__ import annotations

from typing import Any

import duckdb

from retraind.cli import main
from retraind.store import writer

_real = writer.run
_commits = 0


def run(cursor: Any, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    global _commits  # noqa: PLW0603
    if sql == "COMMIT":
        _commits += 1
        if _commits >= 3:
            raise duckdb.FatalException("simulated: database has been invalidated")
    return _real(cursor, sql, parameters)


if __name__ == "__main__":
    writer.run = run
    main()
