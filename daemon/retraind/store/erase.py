"""Erases what is stored of a user or a trace: every file that holds some of it is written anew.

Traces are erased whole, since only some spans of a trace name the user while others hold what was
said. Files change one at a time, each at one moment (see merge.py); whoever is interrupted asks
again. Counts stay: panes and windows say nothing of single rows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import structlog

from retraind.config import settings
from retraind.errors import QueryError, StoreUnavailable
from retraind.normalise.conventions import COLUMNS
from retraind.redact import keyed_hash, read_key
from retraind.store.database import Database
from retraind.store.engine import Cursor, fetch, quoted, run, store_errors, unregister
from retraind.store.segments import Segment
from retraind.store.views import STORED

log = structlog.get_logger(__name__)

SEAL_SECONDS = 120.0
_TRACE = re.compile(r"[0-9a-f]{32}")
_LINKS = ("trace_id", "response_id", "session_id")


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose rows: `users` are the forms in which a user's id may be stored, or one trace id."""

    users: tuple[str, ...] = ()
    trace: str | None = None


@dataclass(slots=True)
class Erased:
    """Rows erased by table, files written anew, and the datasets that are registered."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STORED, 0))
    files: int = 0
    datasets: list[dict[str, Any]] = field(default_factory=list)


def selection(content: settings.Content, user: str | None, trace: str | None) -> Selection:
    """A user in every form that the content policy may have stored, or a trace.

    Raises QueryError for a trace id that is none, ConfigError when the key cannot be read.
    """
    if trace is not None:
        if not _TRACE.fullmatch(trace.lower()):
            raise QueryError(f"{trace!r} is no trace id; write its 32 hex digits")
        return Selection(trace=trace.lower())
    users = [user or ""]
    if content.key_file is not None:
        users.append(keyed_hash(read_key(content.key_file), users[0]))
    return Selection(tuple(users))


def erase(database: Database, selection: Selection) -> Erased:
    """Erase what was committed before the call. Raises StoreError; asked again it goes on."""
    erased = Erased(datasets=_datasets(database))
    given, left_out = _given(database, selection), _conditions(selection)
    hot = database.segments.hot
    if any(_counts(database, hot, given, left_out).values()):
        database.writer.rotate(SEAL_SECONDS)
    for segment in _sealed(database, hot.id):
        counts = _counts(database, segment, given, left_out)
        if any(counts.values()):
            database.merger.rewrite(segment, left_out, given)
            erased.files += 1
            for table, n in counts.items():
                erased.rows[table] += n
    # Of the rows alone: an id in the log would outlive what it names.
    log.info("rows erased", files=erased.files, **erased.rows)
    return erased


def _sealed(database: Database, last_id: int) -> Iterator[Segment]:
    """Every segment up to the one that was hot, once it is sealed. They may be merged meanwhile."""
    deadline = time.monotonic() + SEAL_SECONDS
    done: set[int] = set()
    while True:
        hot = database.segments.hot.id
        waiting = [s for s in database.segments.all() if s.id not in done and s.id != hot]
        ready = next((segment for segment in waiting if segment.status == "sealed"), None)
        if ready is not None:
            done.add(ready.id)
            yield ready
        elif not any(segment.id <= last_id for segment in waiting):
            return
        elif time.monotonic() > deadline:
            raise StoreUnavailable("a segment was not sealed in time; ask again")
        else:
            time.sleep(0.05)


def _given(database: Database, selection: Selection) -> dict[str, pa.Table]:
    """The ids that link rows to the selection, as tables that the conditions name."""
    found: dict[str, set[str]] = {name: set() for name in _LINKS}
    if selection.trace is not None:
        found["trace_id"].add(selection.trace)
    named = f"user_id IN ({', '.join(map(quoted, selection.users))})" if selection.users else None
    for segment in database.segments.all():
        if named is not None:
            for table in ("spans", "span_details"):
                found["trace_id"] |= _values(database, segment, table, "trace_id", named)
    given = _tables(found)
    for segment in database.segments.all():
        for name in ("response_id", "session_id"):
            where = "trace_id IN (FROM erased_trace_id)"
            found[name] |= _values(database, segment, "spans", name, where, given)
    shared = _tables(found)
    for segment in database.segments.all():  # a session goes only with all of its traces
        where = "session_id IN (FROM erased_session_id) AND trace_id NOT IN (FROM erased_trace_id)"
        found["session_id"] -= _values(database, segment, "spans", "session_id", where, shared)
    return _tables(found)


def _tables(found: Mapping[str, set[str]]) -> dict[str, pa.Table]:
    return {
        f"erased_{name}": pa.table({name: pa.array(sorted(ids), pa.string())})
        for name, ids in found.items()
    }


def _conditions(selection: Selection) -> dict[str, str]:
    """For each table the rows that go."""
    traced = "trace_id IN (FROM erased_trace_id)"
    linked = " OR ".join(
        f"(trace_id IS NULL AND {name} IN (FROM erased_{name}))"
        for name in ("response_id", "session_id")
    )
    said = "".join(
        f" OR (source = 'api:feedback' AND evaluator = {quoted(user)})" for user in selection.users
    )
    answered = "json_extract_string(attributes, '/gen_ai.response.id')"
    logged = [
        traced,
        f"(trace_id IS NULL AND {answered} IN (FROM erased_response_id))",
        *(f"contains(attributes, {quoted(each)})" for each in _members(selection)),
    ]
    return {
        "spans": traced,
        "span_details": traced,
        "evaluations": f"{traced} OR {linked}{said}",
        "logs": " OR ".join(logged),
        "quarantine": " OR ".join(_in_quarantine(selection)),
    }


def _members(selection: Selection) -> list[str]:
    """How an attribute with the user's id looks in JSON."""
    keys = [
        source.path.holder
        for column in COLUMNS
        if column.name == "user_id"
        for source in column.sources
        if source.path.plain
    ]
    return [_json(key) + ":" + _json(user) for key in keys for user in selection.users]


def _in_quarantine(selection: Selection) -> list[str]:
    """What was rejected has no columns: rows go that have the id anywhere."""
    conditions = [
        (
            "EXISTS (SELECT 1 FROM erased_trace_id e WHERE contains(item, e.trace_id)"
            " OR contains(lower(hex(payload)), e.trace_id))"
        )
    ]
    for user in selection.users:
        conditions.append(f"contains(item, {quoted(_json(user))})")
        conditions.append(f"contains(lower(hex(payload)), {quoted(user.encode().hex())})")
    return conditions


def _json(text: str) -> str:
    return orjson.dumps(text).decode()


def _counts(
    database: Database,
    segment: Segment,
    given: Mapping[str, pa.Table],
    left_out: Mapping[str, str],
) -> dict[str, int]:
    """Rows of a segment that go, by table; none when the file is gone meanwhile."""
    with _reading(database, segment, given) as cursor:
        if cursor is None:
            return {}
        return {
            table: run(
                cursor,
                f"SELECT count(*) FROM {segment.catalog}.main.{table} WHERE {condition}",  # noqa: S608
            )[0][0]
            for table, condition in left_out.items()
        }


def _values(
    database: Database,
    segment: Segment,
    table: str,
    column: str,
    where: str,
    given: Mapping[str, pa.Table] | None = None,
) -> set[str]:
    with _reading(database, segment, given or {}) as cursor:
        if cursor is None:
            return set()
        rows = run(
            cursor,
            f"SELECT DISTINCT {column} FROM {segment.catalog}.main.{table} "  # noqa: S608
            f"WHERE {column} IS NOT NULL AND ({where})",
        )
        return {value for (value,) in rows}


@contextmanager
def _reading(
    database: Database, segment: Segment, given: Mapping[str, pa.Table]
) -> Iterator[Cursor | None]:
    """A cursor that sees one segment; None when it has been merged away."""
    segments = database.segments
    with segments.reading(), store_errors():
        if segment.id not in {each.id for each in segments.all()}:
            yield None
            return
        segments.attach(segment)
        cursor = segments.engine.cursor()
        try:
            for name, table in given.items():
                cursor.register(name, table)
            yield cursor
        finally:
            for name in given:
                unregister(cursor, name)


def _datasets(database: Database) -> list[dict[str, Any]]:
    """What is registered as a dataset: copies that the caller has to look after."""
    with store_errors():
        cursor = database.engine.cursor("state")
        tables: Sequence[Any] = run(
            cursor,
            "SELECT 1 FROM duckdb_tables() "
            "WHERE database_name = 'state' AND table_name = 'datasets'",
        )
        if not tables:
            return []
        rows: list[dict[str, Any]] = fetch(cursor, "FROM datasets").to_pylist()
        return rows
