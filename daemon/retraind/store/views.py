"""The views through which users and named queries see all segments and the state file at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from retraind.store.engine import Cursor, run
from retraind.store.queries import named_queries, table_comments
from retraind.store.usage import create_own_usage_view

STORED = ("spans", "evaluations", "logs", "span_details", "quarantine")
# Views that show less than was stored: what was stored is to be seen under a name of its own.
_RAW = {"spans": "stored_spans", "evaluations": "stored_evaluations"}


def union(relation: str, catalogs: Sequence[str], where: str = "") -> str:
    """One relation over several segments."""
    parts = [f"SELECT * FROM {catalog}.main.{relation}{where}" for catalog in catalogs]  # noqa: S608
    return " UNION ALL BY NAME ".join(parts)


def create_segment_views(
    cursor: Cursor, catalogs: Sequence[str], detailed: Collection[str], *, placing: bool
) -> None:
    """(Re)create spans, evaluations, logs, span_details and quarantine over attached segments.

    `stored_spans` and `stored_evaluations` have every stored row. `spans` shows each (trace_id,
    span_id) once, the copy with the lowest seq: a span that was sent again in another batch is
    stored twice. Where segments are `detailed`, it shows what log records say of a span. When
    `placing`, `evaluations` finds the span of a result that names only the response it judges.
    """
    if not catalogs:
        return
    for view, (relation, rows) in _views(catalogs, detailed, placing).items():
        run(cursor, f"CREATE OR REPLACE VIEW memory.main.{view} AS {rows}")
        _comment(cursor, "segment", relation, view)


def create_own_views(
    cursor: Cursor, catalogs: Sequence[str], detailed: Collection[str], sql: str, *, placing: bool
) -> None:
    """Views over these segments that this connection alone sees, as far as `sql` names them."""
    sql = sql.lower()
    for view, (_, rows) in _views(catalogs, detailed, placing).items():
        if view in sql or (view == "spans" and "usage" in sql):
            run(cursor, f"CREATE TEMP VIEW {view} AS {rows}")
    if "usage" in sql:
        create_own_usage_view(cursor)


def _views(
    catalogs: Sequence[str], detailed: Collection[str], placing: bool
) -> dict[str, tuple[str, str]]:
    """Each view with the table whose rows it shows, and its query."""
    views = {_RAW.get(name, name): (name, union(name, catalogs)) for name in STORED}
    spans = _once(catalogs)
    if detailed:  # else nothing is joined for nothing
        joined = with_details(f"({spans})", union("span_details", sorted(detailed)))
        spans = f"SELECT * FROM {joined}"  # noqa: S608
    views["spans"] = "spans", spans
    everything = f"({union('evaluations', catalogs)})"
    results = named_queries()["distinct_evaluations"].replace("{evaluations}", everything)
    if placing:
        placed = named_queries()["placed_evaluations"].replace("{distinct}", results)
        placed = placed.replace("{spans}", f"({union('spans', catalogs)})")
        results = placed.replace("{evaluations}", everything)
    views["evaluations"] = "evaluations", results
    return views


def with_details(spans: str, details: str) -> str:
    """Rows of spans with what log records say of them; `details`: rows of span_details."""
    contents = named_queries()["span_contents"].replace("{span_details}", f"({details})")
    query = named_queries()["spans_with_details"].replace("{span_contents}", contents)
    return "(" + query.replace("{spans}", spans) + ")"


def has_details(cursor: Cursor, catalog: str) -> bool:
    """Whether log records in this segment say anything of spans."""
    return bool(run(cursor, f"SELECT 1 FROM {catalog}.main.span_details LIMIT 1"))  # noqa: S608


def has_unplaced(cursor: Cursor, catalog: str) -> bool:
    """Whether results in this segment name only the response that they judge."""
    asked = (
        f"SELECT 1 FROM {catalog}.main.evaluations "  # noqa: S608
        "WHERE trace_id IS NULL AND response_id IS NOT NULL LIMIT 1"
    )
    return bool(run(cursor, asked))


def _once(catalogs: Sequence[str]) -> str:
    """Each span once. The ids alone decide which row is shown: wide columns are read once."""
    ids = " UNION ALL ".join(
        f"SELECT seq, trace_id, span_id FROM {catalog}.main.spans"  # noqa: S608
        for catalog in catalogs
    )
    return (
        f"SELECT * FROM ({union('spans', catalogs)}) WHERE seq IN "  # noqa: S608
        f"(SELECT min(seq) FROM ({ids}) GROUP BY trace_id, span_id)"
    )


def create_state_views(cursor: Cursor) -> None:
    """Show every table of the state file under its plain name."""
    tables = run(
        cursor, "SELECT table_name FROM duckdb_tables() WHERE database_name = 'state' ORDER BY 1"
    )
    for (table,) in tables:
        everything = f'SELECT * FROM state.main."{table}"'  # noqa: S608
        run(cursor, f'CREATE OR REPLACE VIEW memory.main."{table}" AS {everything}')
        _comment(cursor, "state", table, table)


def _comment(cursor: Cursor, schema: str, table: str, view: str) -> None:
    """Give a view its table's comment: from the script, since the catalogue is slow to search."""
    if comment := table_comments(schema).get(table):
        run(cursor, f'COMMENT ON VIEW memory.main."{view}" IS {comment}')
