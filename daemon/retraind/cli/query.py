"""`retraind sql`: a read-only query on the running daemon or on a stopped data folder."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retraind.cli import show
from retraind.cli.client import Target, Unreachable, target_options

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW = "application/vnd.apache.arrow.stream"
_FORMATS = ("table", "json", "csv", "parquet")


@click.command(short_help="Run a read-only query.")
@click.argument("query")
@target_options
@click.option(
    "--format", "form", type=click.Choice(_FORMATS),
    help="Default: by the suffix of --output, else table.",
)  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
def sql(
    query: str, data: Path, url: str | None, token_file: Path | None, form: str | None,
    output: Path | None,
) -> int:  # fmt: skip
    """Run a read-only QUERY (DuckDB SQL) on the running daemon, or on a stopped data folder.

    \b
    Examples:
      retraind sql "select table_name, comment from duckdb_tables()"
      retraind sql "select service_name, count(*) from spans group by all"
      retraind sql --format json "from windows order by window_end desc limit 5"
      retraind sql --output failing.parquet "from evaluations where not passed"
    """
    form = form or _suffix(output) or "table"
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal; give --output FILE.")
    table, truncated = _run(Target(data, url, token_file), query)
    _write(table, form, output)
    if truncated:
        click.echo(
            f"retraind: only the first {table.num_rows} rows; raise admin.sql_rows for more",
            err=True,
        )
    return 0


def _suffix(output: Path | None) -> str | None:
    suffix = output.suffix.removeprefix(".") if output is not None else ""
    return suffix if suffix in _FORMATS else None


def _run(target: Target, query: str) -> tuple[pa.Table, bool]:
    import pyarrow as pa  # noqa: PLC0415

    try:
        with target.client() as client:
            answer = client.request(
                "POST", "/api/v1/sql", json={"sql": query}, headers={"Accept": _ARROW},
                timeout=None,  # admin.sql_timeout ends it
            )  # fmt: skip
    except Unreachable:
        if target.url is not None or not target.data.is_dir():
            raise
        return _run_stopped(target.data, query)
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all(), answer.headers.get("x-truncated") == "true"


def _run_stopped(data: Path, query: str) -> tuple[pa.Table, bool]:
    from retraind.config.settings import Admin  # noqa: PLC0415
    from retraind.store.sql import open_stopped, run_sql  # noqa: PLC0415

    limits = Admin()
    with open_stopped(data) as database:
        result = run_sql(
            database, query, timeout_seconds=limits.sql_timeout, max_rows=limits.sql_rows
        )
    return result.table, result.truncated


def _write(table: pa.Table, form: str, output: Path | None) -> None:
    from retraind.console.encode import dumps, rows  # noqa: PLC0415

    if form == "table" and output is None:
        found = rows(table)
        heads = list(found[0]) if found else table.column_names
        show.table(heads, (list(row.values()) for row in found))
        return
    if form == "parquet":
        content = _parquet(table)
    elif form == "json":
        content = dumps(rows(table)) + b"\n"
    else:
        content = _csv(table)
    if output is not None:
        output.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def _csv(table: pa.Table) -> bytes:
    """RFC 4180 with a head line; lists and structs as JSON."""
    from retraind.console.encode import dumps, rows  # noqa: PLC0415

    text = io.StringIO()
    found = rows(table)
    writer = csv.writer(text)
    writer.writerow(list(found[0]) if found else table.column_names)
    for row in found:
        writer.writerow(
            dumps(cell).decode() if isinstance(cell, list | dict | bytes) else cell
            for cell in row.values()
        )
    return text.getvalue().encode()
