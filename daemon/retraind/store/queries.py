"""Loads the SQL that lives beside this module: schemas, migrations, and named queries.

A named query is a block `-- name: the_name`, one comment line that says what it answers, and one
statement. Names are unique over all files of queries/.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)
_OBJECT = re.compile(
    r"^((?:CREATE|COMMENT ON) (?:TABLE|VIEW)|COMMENT ON COLUMN|ALTER TABLE|INSERT INTO|UPDATE"
    r"|FROM|LEFT JOIN) ",
    re.MULTILINE,
)

_COMMENT = re.compile(
    r"""^COMMENT ON (?:TABLE|VIEW) "?(\w+)"? IS ('(?:[^']|'')*');$""", re.MULTILINE
)

SEGMENT_VERSION = 3
"""Of schema/segment.sql. Older files are read, merged among themselves and never written to."""


class Migration(NamedTuple):
    """One step of the state file's schema: migrations/<version>_<name>.sql."""

    version: int
    script: str


@cache
def migrations() -> tuple[Migration, ...]:
    """The steps that make the state file, in order. One that was released is never changed."""
    folder = files(__package__).joinpath("migrations")
    return tuple(
        Migration(int(entry.name.partition("_")[0]), entry.read_text(encoding="utf-8"))
        for entry in sorted(folder.iterdir(), key=lambda item: item.name)
        if entry.name.endswith(".sql")
    )


def schema_script(name: str, catalog: str) -> str:
    """The statements that make the tables of `state` or `segment` in the attached `catalog`."""
    return in_catalog(_schema(name), catalog)


def in_catalog(script: str, catalog: str) -> str:
    """A script whose statements are about the attached file `catalog`."""
    return _OBJECT.sub(rf"\1 {catalog}.", script)


@cache
def table_comments(name: str) -> dict[str, str]:
    """What the schema `state` or `segment` says of each table, as the literal that it gives."""
    return dict(_COMMENT.findall(_schema(name)))


@cache
def _schema(name: str) -> str:
    if name == "state":
        return "\n".join(migration.script for migration in migrations())
    return files(__package__).joinpath("schema", f"{name}.sql").read_text(encoding="utf-8")


@cache
def script_blocks(name: str) -> dict[str, str]:
    """The named statements of schema/<name>.sql."""
    return parse_queries(_schema(name))


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
