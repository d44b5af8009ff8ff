"""The views through which users and named queries see all segments and the state file at once."""

from __future__ import annotations

from collections.abc import Sequence

from retraind.store.engine import Cursor, run
from retraind.store.queries import table_comments

STORED = ("spans", "evaluations", "logs", "quarantine")


def union(relation: str, catalogs: Sequence[str], where: str = "") -> str:
    """One relation over several segments."""
    parts = [f"SELECT * FROM {catalog}.main.{relation}{where}" for catalog in catalogs]  # noqa: S608
    return " UNION ALL BY NAME ".join(parts)


def create_segment_views(cursor: Cursor, catalogs: Sequence[str]) -> None:
    """(Re)create spans, evaluations, logs and quarantine over these attached segments.

    `stored_spans` has every stored row. `spans` shows each (trace_id, span_id) once, the copy with
    the lowest seq: a span that was sent again in another batch is stored twice.
    """
    if not catalogs:
        return
    for relation in STORED:
        everything = union(relation, catalogs)
        if relation == "spans":
            run(cursor, f"CREATE OR REPLACE VIEW memory.main.stored_spans AS {everything}")
            _comment(cursor, "segment", relation, "stored_spans")
            everything = _once(catalogs)
        run(cursor, f"CREATE OR REPLACE VIEW memory.main.{relation} AS {everything}")
        _comment(cursor, "segment", relation, relation)


def create_own_views(cursor: Cursor, catalogs: Sequence[str], sql: str) -> None:
    """Views over these segments that this connection alone sees, as far as `sql` names them."""
    for relation, view in (*((r, r) for r in STORED), ("spans", "stored_spans")):
        if view in sql.lower():
            rows = _once(catalogs) if view == "spans" else union(relation, catalogs)
            run(cursor, f"CREATE TEMP VIEW {view} AS {rows}")


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
