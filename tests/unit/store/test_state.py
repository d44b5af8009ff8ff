"""The state file: transactions, snapshots, recovery, named queries."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from retraind.config import describe
from retraind.errors import StoreError, StoreUnavailable
from retraind.store.queries import named_queries, parse_queries
from store_harness import NOW_NS, batch, commit, open_database, query, value


def test_a_transaction_rolls_back_when_its_block_raises(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    with pytest.raises(RuntimeError), database.state.transaction() as tx:  # noqa: PT012
        tx.run("write_progress", through=5)
        assert tx.read("read_progress")["through_seq"].to_pylist() == [5]
        raise RuntimeError
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [0]
    with database.state.transaction() as tx:
        tx.run("write_progress", through=7)
    database.close()
    database = open_database(tmp_path)
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [7]
    database.close()


def test_the_schema_is_dated_by_the_clock_in_utc(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    dates = query(database, "SELECT DISTINCT epoch_ns(applied_at) FROM schema_migrations")
    assert dates == [(NOW_NS,)]
    database.close()


def test_a_refused_append_leaves_the_state_usable(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    with pytest.raises(StoreUnavailable, match="NOT NULL"), database.state.transaction() as tx:
        tx.append("policies", pa.table({"monitor": ["m"]}))
    row = {name: ["x"] for name in ("monitor", "service_name", "environment", "model", "memory")}
    with database.state.transaction() as tx:
        tx.append("policies", pa.table(row))
    assert database.state.read("read_policies").num_rows == 1
    database.close()


def test_a_wrong_parameter_is_an_error(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    with pytest.raises(StoreError):
        database.state.read("read_progress", unknown=1)
    with pytest.raises(KeyError):
        database.state.read("no_such_query")
    database.close()


def test_the_newest_snapshot_takes_over_a_damaged_state_file(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1], [2]))
    for through in range(1, 6):
        with database.state.transaction() as tx:
            tx.run("write_progress", through=through)
        database._clock.advance(seconds=3600)
        database.snapshot()
    assert len(list((tmp_path / "snapshots").glob("*.duckdb"))) == 3
    with database.state.transaction() as tx:
        tx.run("write_progress", through=99)
    database.close()
    state = tmp_path / "retraind.duckdb"
    state.write_bytes(b"\0" * state.stat().st_size)
    database = open_database(tmp_path)
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [5]
    assert value(database, "state_recoveries_total") == 1
    assert any("snapshot" in notice or "state-" in notice for notice in database.notices)
    assert list(tmp_path.glob("retraind.duckdb.damaged-*"))
    assert query(database, "SELECT count(*) FROM spans") == [(2,)]
    commit(database, batch([3]))
    # Panes say that they include everything up to 5, so new rows come after it.
    assert query(database, "SELECT max(seq) FROM spans") == [(6,)]
    database.close()


def test_rows_are_numbered_on_when_the_segments_that_held_the_others_are_gone(
    tmp_path: Path,
) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1], [2], [3]))
    with database.state.transaction() as tx:
        tx.run("write_progress", through=3)
    database.close()
    for path in (tmp_path / "store").iterdir():
        path.unlink()
    database = open_database(tmp_path)
    commit(database, batch([4]))
    assert query(database, "SELECT min(seq) FROM spans") == [(4,)]
    database.close()


def test_a_damaged_state_file_without_snapshot_is_replaced(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    commit(database, batch([1]))
    database.close()
    (tmp_path / "retraind.duckdb").write_bytes(b"nonsense" * 4096)
    database = open_database(tmp_path)
    assert query(database, "SELECT count(*) FROM spans") == [(1,)]
    assert database.state.read("read_progress")["through_seq"].to_pylist() == [0]
    database.close()


def test_named_queries_are_unique_and_described() -> None:
    text = "-- name: a\n-- What.\nselect 1;\n-- name: b\n-- What.\nselect 2\n"
    assert parse_queries(text) == {"a": "-- What.\nselect 1", "b": "-- What.\nselect 2"}
    with pytest.raises(ValueError, match="twice"):
        parse_queries(text + "-- name: a\n-- Again.\nselect 3")
    for name, statement in named_queries().items():
        first, second, *_ = statement.split("\n")
        assert first.startswith("-- "), name
        assert second.strip(), name
        tables = "spans|evaluations|logs|span_details|span_contents|told_spans|quarantine"
        plain = re.sub(rf"\{{({tables})\}}", r"\1", statement)
        plain = plain.replace("{catalog}", "segment").replace("{rows}", "new_rows")
        plain = plain.replace("{distinct}", "select 1")
        assert (
            len(duckdb.extract_statements(plain.replace("{extra}", "").replace("{context}", "")))
            == 1
        ), name


def test_every_named_query_is_used() -> None:
    daemon = Path(__file__).parents[3] / "daemon" / "retraind"
    code = "\n".join(path.read_text() for path in daemon.rglob("*.py"))
    assert [name for name in named_queries() if f'"{name}"' not in code] == []


@pytest.mark.parametrize("catalog", ["state", "seg_000001"])
def test_every_table_and_column_has_a_comment(tmp_path: Path, catalog: str) -> None:
    database = open_database(tmp_path)
    tables = query(
        database,
        "SELECT table_name FROM duckdb_tables() "
        f"WHERE database_name = '{catalog}' AND comment IS NULL",
    )
    columns = query(
        database,
        "SELECT table_name || '.' || column_name FROM duckdb_columns() "
        f"WHERE database_name = '{catalog}' AND comment IS NULL "
        # The columns of the view spans, which has them; a comment costs a new segment half a
        # millisecond.
        "AND table_name <> 'span_rows' ORDER BY 1",
    )
    assert tables == []
    assert columns == []
    comments = query(
        database,
        "SELECT comment FROM duckdb_tables() UNION ALL SELECT comment FROM duckdb_columns()",
    )
    settings = {each.path for each in describe.settings()}
    named = {name for (text,) in comments for name in re.findall(r"store\.\w+", text or "")}
    assert named <= settings
    database.close()
