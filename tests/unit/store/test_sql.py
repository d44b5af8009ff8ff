"""What a user's SQL can and cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retraind.errors import QueryError
from retraind.store.database import Database
from retraind.store.sql import SqlResult, open_stopped, run_sql
from store_harness import batch, commit, open_database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(tmp_path_factory.mktemp("data"))
    commit(opened, batch([1], [2]))
    yield opened
    opened.close()


def ask(database: Database, sql: str, **limits: float) -> SqlResult:
    return run_sql(
        database,
        sql,
        timeout_seconds=limits.get("seconds", 30),
        max_rows=int(limits.get("rows", 100)),
    )


def test_rows_columns_and_limit(database: Database) -> None:
    result = ask(database, "SELECT input_tokens AS n, name FROM spans ORDER BY n", rows=1)
    assert result.columns == ("n", "name")
    assert result.types == ("BIGINT", "VARCHAR")
    assert result.table.to_pylist() == [{"n": 1, "name": "chat"}]
    assert result.truncated
    assert not ask(database, "SELECT * FROM spans", rows=2).truncated


@pytest.mark.parametrize("sql", [
    "from spans", "with a as (select 1) select * from a", "values (1)", "describe spans",
    "show tables", "summarize spans", "explain select * from spans", "explain analyze from spans",
    "-- why\nselect 1;", "/* x */ explain select 1", "table spans", "from segments",
    'select * from "references"', "from range(3)", "select unnest([1, 2])",
    "select list_transform([1], lambda x: x + 1)", "from seg_000001.spans",
    "select json_extract(attributes, '$.k') from spans", "from duckdb_tables()",
])  # fmt: skip
def test_reading_is_allowed(database: Database, sql: str) -> None:
    ask(database, sql)


@pytest.mark.parametrize("sql", [
    "select * from read_text('/etc/passwd')", "from '/etc/passwd'",
    "from 'STORE/segment-000001.duckdb'",
    "select * from read_csv('STORE/*')", "from glob('STORE/*')", "select (from glob('STORE/*'))",
    "copy spans to 'STORE/x.csv'", "copy (from spans) to 'STORE/x.parquet'",
    "export database 'STORE/x'",
    "attach 'STORE/x.duckdb'", "detach seg_000001", "install httpfs", "load httpfs",
    "pragma database_list", "pragma force_checkpoint", "set threads = 1", "reset threads",
    "use state",
    "checkpoint seg_000001", "call checkpoint('seg_000001')", "from checkpoint('seg_000001')",
    "select * from force_checkpoint('state')", "explain analyze from checkpoint('state')",
    "explain explain analyze from checkpoint('state')",
    "from query('drop table seg_000001.spans')", "from query_table('spans')",
    "from json_execute_serialized_sql('{}')", "select getenv('HOME')", "select write_log('x')",
    "from duckdb_secrets()", "from which_secret('x', 's3')",
    "insert into state.progress values (1)",
    "with a as (insert into state.progress values (1) returning 1) from a", "delete from spans",
    "with a as materialized (delete from state.progress returning 1) from a",
    "create table x (a int)", "create temp table x (a int)", "drop view spans", "begin", "commit",
    "select 1; drop view spans", "", "select", "prepare p as select 1", "execute p", "vacuum",
    "from local_rows", "update state.progress set through_seq = 9", "from enable_logging()",
    "select * from parquet_metadata('STORE/x')", "from sniff_csv('STORE/x')",
])  # fmt: skip
def test_everything_else_is_refused(database: Database, sql: str) -> None:
    tmp_path = database.data_dir
    local_rows = [1]  # a Python variable that a replacement scan would find
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(QueryError):
        ask(database, sql.replace("STORE", str(tmp_path / "store")))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [0]
    assert ask(database, "SELECT count(*) AS n FROM spans").table["n"].to_pylist() == [2]
    assert local_rows


def test_a_slow_query_is_interrupted(database: Database) -> None:
    with pytest.raises(QueryError, match=r"admin\.sql_timeout"):
        ask(
            database,
            "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b",
            seconds=0.2,
        )
    assert ask(database, "SELECT 1 AS x").table.num_rows == 1


def test_a_stopped_folder_answers_the_same(tmp_path: Path) -> None:
    database = open_database(tmp_path, segment_bytes=1)
    commit(database, batch([1], [2]))
    commit(database, batch([3]))
    with pytest.raises(QueryError, match="owns"), open_stopped(tmp_path):
        pass
    database.close()
    before = {path: path.stat().st_size for path in (tmp_path / "store").iterdir()}
    with open_stopped(tmp_path) as stopped:
        result = run_sql(stopped, "FROM spans", timeout_seconds=30, max_rows=100)
        assert sorted(result.table["input_tokens"].to_pylist()) == [1, 2, 3]
        run_sql(stopped, "FROM windows", timeout_seconds=30, max_rows=100)
        with pytest.raises(QueryError):
            run_sql(stopped, "DELETE FROM spans", timeout_seconds=30, max_rows=100)
    assert {path: path.stat().st_size for path in (tmp_path / "store").iterdir()} == before
    open_database(tmp_path).close()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="not a data folder"), open_stopped(tmp_path):
        pass
