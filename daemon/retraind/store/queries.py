"""Loads the SQL that lives beside this module: schemas, and named queries.

A named query is a block `-- name: the_name`, one comment line that says what it answers, and one
statement. Names are unique over all files of queries/.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)
_OBJECT = re.compile(
    r"^((?:CREATE|COMMENT ON) (?:TABLE|VIEW)|COMMENT ON COLUMN|FROM|LEFT JOIN) ", re.MULTILINE
)

_COMMENT = re.compile(
    r"""^COMMENT ON (?:TABLE|VIEW) "?(\w+)"? IS ('(?:[^']|'')*');$""", re.MULTILINE
)

SCHEMA_VERSION = 1
SEGMENT_VERSION = 2
"""Of schema/segment.sql. Older files are read, merged among themselves and never written to."""


def schema_script(name: str, catalog: str) -> str:
    """The statements of schema/<name>.sql for the attached file `catalog`."""
    text = files(__package__).joinpath("schema", f"{name}.sql").read_text(encoding="utf-8")
    return _OBJECT.sub(rf"\1 {catalog}.", text)


@cache
def table_comments(name: str) -> dict[str, str]:
    """What schema/<name>.sql says of each table, as the literal that it gives."""
    text = files(__package__).joinpath("schema", f"{name}.sql").read_text(encoding="utf-8")
    return dict(_COMMENT.findall(text))


def parse_queries(text: str) -> dict[str, str]:
    """Name to statement. Raises ValueError for a name that is given twice or has no statement."""
    parts = _NAME.split(text)
    queries: dict[str, str] = {}
    for name, block in zip(parts[1::2], parts[2::2], strict=True):
        statement = block.strip().rstrip(";").strip()
        if name in queries or not statement:
            raise ValueError(f"query {name!r} is given twice or is empty")
        queries[name] = statement
    return queries


@cache
def named_queries() -> dict[str, str]:
    """Every named query of queries/*.sql."""
    queries: dict[str, str] = {}
    folder = files(__package__).joinpath("queries")
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".sql"):
            found = parse_queries(entry.read_text(encoding="utf-8"))
            if twice := queries.keys() & found.keys():
                raise ValueError(f"queries given twice: {sorted(twice)}")
            queries |= found
    return queries
