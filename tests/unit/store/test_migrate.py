"""State files of earlier versions: brought up to date with all their rows, or left as they are.

fixtures/state-schema-1.duckdb.xz is a snapshot that the first version of the schema wrote: eleven
hours of tests/evaluate_harness.py, an episode and its trigger.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import duckdb
import pytest

from retraind import app
from retraind.config.settings import Config
from retraind.errors import StartError
from retraind.evaluate.memory import load
from retraind.store import migrate
from retraind.store.queries import Migration, migrations
from store_harness import open_database, query

OLD = Path(__file__).parent / "fixtures" / "state-schema-1.duckdb.xz"
ROWS = {
    "progress": 1, "watermarks": 1, "series": 1, "panes": 40, "references": 1,
    "reference_counts": 16, "windows": 40, "alarms": 3, "policies": 1, "episodes": 1,
    "triggers": 1, "outbox": 1,
}  # fmt: skip
BROKEN = Migration(
    99, "ALTER TABLE series ADD COLUMN colour VARCHAR;\nINSERT INTO nowhere VALUES (1);\n"
)
SHAPE = (
    "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
    "WHERE database_name = '{}' ORDER BY table_name, column_index"
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data folder with a state file of schema 1."""
    (tmp_path / "retraind.duckdb").write_bytes(lzma.decompress(OLD.read_bytes()))
    return tmp_path


def rows_of(path: Path, columns: dict[str, str] | None = None) -> dict[str, list[str]]:
    """Every row of every table of a state file that nobody has open, as text.

    With `columns` (see columns_of), of these tables these columns.
    """
    columns = columns or columns_of(path)
    with duckdb.connect(path, read_only=True) as file:
        return {
            table: sorted(map(repr, file.execute(f'SELECT {names} FROM "{table}"').fetchall()))
            for table, names in columns.items()
        }


def columns_of(path: Path) -> dict[str, str]:
    """The columns of each table, as SQL."""
    with duckdb.connect(path, read_only=True) as file:
        return {
            table: ", ".join(
                f'"{name}"' for (name, *_) in file.execute(f'DESCRIBE "{table}"').fetchall()
            )
            for (table,) in file.execute("SHOW TABLES").fetchall()
        }


def test_a_file_of_the_first_schema_is_brought_up_to_date_with_its_rows(old: Path) -> None:
    columns = columns_of(old / "retraind.duckdb")
    before = rows_of(old / "retraind.duckdb")
    assert {name: len(before[name]) for name in ROWS} == ROWS
    database = open_database(old)
    assert not any("state file" in notice for notice in database.notices)
    versions = query(database, "SELECT version FROM schema_migrations ORDER BY 1")
    assert versions == [(migration.version,) for migration in migrations()]
    kinds = query(
        database, "SELECT reference_kind FROM windows UNION SELECT reference_kind FROM alarms"
    )
    assert kinds == [("pinned",)], "there were no other references then"
    memory = load(database.state)
    (active,) = memory.references.values()
    assert active.active_from_ns == active.last_ns, "it was pinned by itself when it was mature"
    assert [policy.episode_id[:3] for policy in memory.policies.values()] == ["ep_"]
    database.close()
    after = rows_of(old / "retraind.duckdb", columns)
    assert {name: after[name] for name in ROWS} == {name: before[name] for name in ROWS}
    reopened = open_database(old)
    assert query(reopened, "SELECT version FROM schema_migrations ORDER BY 1") == versions
    reopened.close()


def test_an_old_file_and_a_new_one_end_in_the_same_form(old: Path) -> None:
    """So nobody has changed a step that was released, nor forgotten one."""
    (old / "other").mkdir()
    was, new = open_database(old), open_database(old / "other")
    assert query(was, SHAPE.format("state")) == query(new, SHAPE.format("state"))
    was.close()
    new.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database(old).close()
    before = rows_of(old / "retraind.duckdb")
    monkeypatch.setattr(migrate, "migrations", lambda: (*migrations(), BROKEN))
    with pytest.raises(StartError, match=r"retraind\.duckdb could not be brought to schema 99"):
        open_database(old)
    assert rows_of(old / "retraind.duckdb") == before
    assert not list(old.glob("*.damaged-*")), "a file that can be read is not set aside"
    monkeypatch.undo()
    database = open_database(old)
    assert query(database, "SELECT count(*) FROM panes") == [(ROWS["panes"],)]
    database.close()


def test_the_daemon_that_cannot_migrate_says_so_and_exits_with_3(
    old: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(migrate, "migrations", lambda: (*migrations(), BROKEN))
    config = Config.model_validate({"data": str(old)})
    assert app.run(config, lambda: config) == 3
    said = "".join(capfd.readouterr())
    assert "could not be brought to schema 99" in said
    assert "nowhere" in said, "the step that failed is named by the engine's message"


def test_a_file_of_a_newer_version_is_not_touched(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database(old).close()
    before = (old / "retraind.duckdb").read_bytes()
    monkeypatch.setattr(migrate, "migrations", lambda: migrations()[:1])
    with pytest.raises(StartError, match="written by a newer retraind"):
        open_database(old)
    assert (old / "retraind.duckdb").read_bytes() == before
