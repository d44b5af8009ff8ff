"""Which SQL a user may run: one statement that only reads, checked on the parsed tree.

External access is off and transactions are read-only, yet COPY into DIR/store, checkpoints and
SQL inside strings would still pass. So functions that produce tables are listed by name, and those
that change something or run other SQL are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from retraind.errors import QueryError
from retraind.store.engine import Cursor, run

_EXPLAIN = re.compile(r"^\s*explain\s+(analyze\s+)?(\([^)]*\)\s*)?", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[\w $]+")

TABLE_FUNCTIONS = frozenset({
    "duckdb_columns", "duckdb_databases", "duckdb_functions", "duckdb_keywords", "duckdb_memory",
    "duckdb_schemas", "duckdb_settings", "duckdb_tables", "duckdb_types", "duckdb_views",
    "generate_series", "json_each", "json_tree", "pragma_table_info", "pragma_version", "range",
    "repeat", "summary", "unnest",
})  # fmt: skip
REFUSED_FUNCTIONS = frozenset({
    "getenv", "nextval", "currval", "setval", "setseed", "sleep_ms", "write_log", "getvariable",
    "current_query", "json_execute_serialized_sql", "query", "query_table",
})  # fmt: skip


def check_statement(cursor: Cursor, sql: str) -> None:
    """Raise QueryError unless `sql` is one statement that only reads."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if len(statements) != 1:
        raise QueryError("write exactly one statement")
    kind = statements[0].type
    text = statements[0].query
    if kind == duckdb.StatementType.EXPLAIN:
        inner = _EXPLAIN.sub("", _without_comments(text), count=1)
        if _EXPLAIN.match(inner):
            raise QueryError("EXPLAIN of EXPLAIN is not allowed")
        check_statement(cursor, inner)
        return
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(
            "only queries are allowed: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, "
            "EXPLAIN"
        )
    for node in _nodes(_tree(cursor, text)):
        _check_node(node)


def _without_comments(sql: str) -> str:
    """Leading comments removed, so that the first word is the statement's."""
    return re.sub(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", "", sql, flags=re.DOTALL)


def _tree(cursor: Cursor, sql: str) -> Any:
    """The parse tree. Raises QueryError for what the engine cannot serialise."""
    try:
        text = run(cursor, "SELECT json_serialize_sql(?::VARCHAR)", [sql])[0][0]
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    tree = json.loads(text)
    if tree.get("error"):
        raise QueryError(str(tree.get("error_message", "this statement is not allowed")))
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree; an explicit stack, since the user decides how deep it is."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _check_node(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryError(f"the table function {name} is not allowed")
    elif kind == "BASE_TABLE":
        name = str(node.get("table_name", ""))
        if not _IDENTIFIER.fullmatch(name):
            raise QueryError(f"{name!r} is not the name of a table")
    elif isinstance(kind, str) and kind.startswith(("INSERT", "UPDATE", "DELETE", "MERGE")):
        raise QueryError("only queries are allowed")
    function = str(node.get("function_name", "")).lower()
    if function in REFUSED_FUNCTIONS:
        raise QueryError(f"the function {function} is not allowed")
