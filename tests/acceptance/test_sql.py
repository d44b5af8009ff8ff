"""SQL of a user: on the running daemon over its socket and over TCP, and on the stopped folder."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest

from acceptance_harness import cli, secret_file
from builders import a_request, a_span
from harness import Daemon, plain_http

TOKEN = "an-admin-token-for-tests"
SPANS = 30
ROW_LIMIT = 25
TIME_LIMIT_SECONDS = 1

REFUSED = [
    "from read_text('/etc/passwd')",
    "from '/etc/passwd'",
    "from read_csv('{store}/*')",
    "from read_json('{data}/retraind.duckdb')",
    "from read_parquet('{store}/*')",
    "from '{store}/segment-000001.duckdb'",
    "from glob('{store}/*')",
    "select (select count(*) from glob('/*'))",
    "copy spans to '{store}/stolen.csv'",
    "copy (select 1) to '{data}/x.parquet' (format parquet)",
    "copy spans from '/etc/passwd'",
    "export database '{store}/x'",
    "import database '{store}/x'",
    "attach '{store}/x.duckdb'",
    "attach '/tmp/x.duckdb' as x",
    "attach '{data}/retraind.duckdb' as again",
    "detach state",
    "install httpfs",
    "install 'https://example.org/x.duckdb_extension'",
    "load httpfs",
    "pragma database_list",
    "pragma enable_external_access = true",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "set global memory_limit = '64GB'",
    "reset allowed_directories",
    "set python_enable_replacements = true",
    "from telemetry",
    "from self",
    "from config",
    "select getenv('HOME')",
    "checkpoint",
    "force checkpoint state",
    "from checkpoint('state')",
    "call force_checkpoint('state')",
    "from query('drop view spans')",
    "from query_table('spans')",
    "with a as (from query('select 1')) from a",
    "from duckdb_secrets()",
    "create secret s (type s3)",
    "create table x (a integer)",
    "create temp view v as select 1",
    "create macro f() as 1",
    "insert into triggers select * from triggers",
    "delete from state.triggers",
    "update state.progress set through_seq = 0",
    "drop view spans",
    "alter table state.series rename to lost",
    "select 1; select 2",
    "begin",
    "vacuum",
    "use state",
    "prepare p as select 1",
    "explain analyze from query('drop view spans')",
    "select * from parquet_metadata('{store}/x')",
    "",
    ";",
    "selec 1",
    "\x00",
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("sql")
    admin = {
        "token_file": str(secret_file(folder, f"ops: {TOKEN}\n", "admin-token")),
        "sql_rows": ROW_LIMIT,
        "sql_timeout": f"{TIME_LIMIT_SECONDS}s",
    }
    with Daemon(folder / "data", {"admin": admin}) as running:
        spans = [
            a_span(i, start_ns=time.time_ns(), attributes={"k": 'say "hi", äö\n'})
            for i in range(SPANS)
        ]
        running.export(a_request(spans))
        yield running


def over_tcp(daemon: Daemon, query: str, token: str | None = TOKEN) -> httpx2.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return plain_http.post(f"{daemon.admin}/api/v1/sql", json={"sql": query}, headers=headers)


def test_four_formats_give_the_same_rows(daemon: Daemon, tmp_path: Path) -> None:
    query = "select span_id, input_tokens, attributes from spans order by span_id limit 3"
    sql = ("sql", "--data", daemon.data, query)
    as_json: list[dict[str, Any]] = json.loads(cli(*sql, "--format", "json").stdout)
    assert len(as_json) == 3
    assert json.loads(as_json[0]["attributes"]) == {"k": 'say "hi", äö\n'}
    text = cli(*sql, "--format", "csv").stdout.decode()
    as_csv = list(csv.DictReader(io.StringIO(text)))
    assert [{**row, "input_tokens": int(row["input_tokens"])} for row in as_csv] == as_json
    file = tmp_path / "spans.parquet"
    cli(*sql, "--output", file)
    assert pq.read_table(file).to_pylist() == as_json
    piped = tmp_path / "piped.parquet"
    piped.write_bytes(cli(*sql, "--format", "parquet").stdout)
    assert pq.read_table(piped).to_pylist() == as_json
    table = cli(*sql).stdout.decode()
    for row in as_json:
        assert row["span_id"] in table
    assert "input_tokens" in table


def test_more_rows_than_the_limit_are_cut_and_said(daemon: Daemon) -> None:
    done = cli("sql", "--data", daemon.data, "--format", "json", "from spans")
    assert len(json.loads(done.stdout)) == ROW_LIMIT
    assert b"admin.sql_rows" in done.stderr
    answer = over_tcp(daemon, "from spans").json()
    assert (len(answer["rows"]), answer["truncated"]) == (ROW_LIMIT, True)


def test_a_slow_query_ends_and_the_daemon_goes_on(daemon: Daemon) -> None:
    slow = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"
    done = cli("sql", "--data", daemon.data, slow, check=False)
    assert done.returncode == 1
    assert b"admin.sql_timeout" in done.stderr
    assert daemon.sql("select count(*) as n from spans") == [{"n": SPANS}]
    assert daemon.export(a_request([])) == b""


def test_over_tcp_the_token_is_needed(daemon: Daemon, tmp_path: Path) -> None:
    assert over_tcp(daemon, "select 1 as x").json()["rows"] == [{"x": 1}]
    for token in (None, "another", f"ops: {TOKEN}"):
        assert over_tcp(daemon, "select 1", token).status_code == 401
    query = ("sql", "--url", daemon.admin, "--format", "json", "select 1 as x")
    assert cli(*query, check=False).returncode == 1
    file = secret_file(tmp_path, TOKEN + "\n")
    assert json.loads(cli(*query, "--token-file", file).stdout) == [{"x": 1}]


def test_every_way_out_is_locked(daemon: Daemon) -> None:
    """Refused with 400, nothing written, and the database is as it was."""
    store = daemon.data / "store"
    before = sorted(path.name for path in daemon.data.rglob("*") if path.suffix != ".wal")
    through = daemon.sql("from progress")
    for query in REFUSED:
        answer = over_tcp(daemon, query.format(store=store, data=daemon.data))
        assert answer.status_code == 400, (query, answer.text[:300])
        assert answer.json()["error"], query
        assert "root:" not in answer.text, query
    assert sorted(p.name for p in daemon.data.rglob("*") if p.suffix != ".wal") == before
    assert daemon.sql("from progress") == through
    assert daemon.sql("select count(*) as n from spans") == [{"n": SPANS}]
    assert not Path("/tmp/x.duckdb").exists()


def test_reading_is_allowed(daemon: Daemon) -> None:
    for query in (
        "describe spans",
        "show tables",
        "summarize select input_tokens from spans",
        "explain from spans",
        "with a as (from spans) select count(*) from a",
        "select json_extract_string(attributes, '$.k') from spans",
        'from "references"',
        "select list_transform([1, 2], lambda x: x + 1)",
    ):
        assert over_tcp(daemon, query).status_code == 200, query


def test_tables_and_columns_explain_themselves(daemon: Daemon) -> None:
    """COMMENT ON everything a user can select from."""
    (views,) = daemon.sql(
        "select list(view_name) as names, list(view_name) filter (comment is null) as silent "
        "from duckdb_views() where database_name = 'memory' and schema_name = 'main' "
        "and not internal",
    )
    named = {"spans", "evaluations", "logs", "quarantine", "windows", "triggers"}
    assert named <= set(views["names"])
    assert not views["silent"]
    found = daemon.sql(
        "select table_name, count(*) as n from duckdb_columns() where comment is null "
        "and database_name not in ('memory', 'system', 'temp') and not internal "
        "and table_name <> 'span_rows' group by all",  # the columns of the view spans
    )
    assert found == []


def test_the_stopped_folder_answers_alike(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "data")
    with daemon:
        daemon.export(a_request([a_span(1, start_ns=time.time_ns())]))
        running = daemon.sql("from spans")
        files = daemon.sql("select count(*) as n from segments")
    assert daemon.sql("from spans") == running
    assert files
    assert daemon.sql("select count(*) as n from triggers") == [{"n": 0}]
    # The rest was tried on the running daemon, by the same code; a process each takes time.
    for attempt in ("from read_text('/etc/passwd')", "copy spans to '{store}/x.csv'",
                    "attach '/tmp/x.duckdb'", "set lock_configuration = false",
                    "delete from state.triggers"):  # fmt: skip
        query = attempt.format(store=daemon.data / "store")
        done = cli("sql", "--data", daemon.data, query, check=False)
        assert done.returncode == 1, (query, done.stdout)
        assert b"root:" not in done.stdout
    assert cli("sql", "--data", tmp_path / "none", "select 1", check=False).returncode == 1


def test_the_socket_is_for_its_owner_only(daemon: Daemon) -> None:
    assert (daemon.data / "retraind.sock").stat().st_mode & 0o777 == 0o600
