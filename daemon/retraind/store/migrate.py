"""Brings the tables of the state file to the form that this version reads and writes."""

from __future__ import annotations

from pathlib import Path

import duckdb
import structlog

from retraind.errors import StartError
from retraind.store.engine import Cursor, run, transaction
from retraind.store.queries import in_catalog, migrations

log = structlog.get_logger(__name__)


def migrate(cursor: Cursor, path: Path, now_ns: int) -> None:
    """Apply what the attached state file of `path` lacks: all to a new one, a transaction a step.

    Raises StartError when a newer version wrote it or a step cannot be applied, which leaves the
    file as the step before left it; duckdb.Error when it cannot be read.
    """
    version = _version(cursor)
    newest = migrations()[-1].version
    if version > newest:
        raise StartError(
            f"{path} was written by a newer retraind (schema {version}); install that version"
        )
    for migration in migrations():
        if migration.version <= version:
            continue
        try:
            with transaction(cursor):
                run(cursor, in_catalog(migration.script, "state"))
                run(
                    cursor,
                    "INSERT INTO state.main.schema_migrations VALUES (?, make_timestamp(?))",
                    [migration.version, now_ns // 1000],
                )
        except duckdb.Error as error:
            if version == 0:
                raise
            raise StartError(
                f"{path} could not be brought to schema {migration.version} and is as it was: "
                f"{error}; start the version of retraind that wrote it, or report this"
            ) from error
        if version:
            log.info("state file migrated", file=str(path), schema=migration.version)


def _version(cursor: Cursor) -> int:
    """Version of the attached state file's schema, 0 when it has no tables yet."""
    try:
        rows = run(cursor, "SELECT max(version) FROM state.main.schema_migrations")
    except duckdb.CatalogException:
        return 0
    version: int = rows[0][0]
    return version
