"""Erasing a user or a trace: what goes, what stays, and what a crash leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from retraind.clock import SystemClock
from retraind.model import ExportResult, WriteBatch
from retraind.store.database import Database
from retraind.store.erase import Selection, erase
from store_harness import NOW_NS, batch, commit, digest, open_database, query

CHILD = Path(__file__).with_name("erase_child.py")
ROOT = Path(__file__).parents[3]
ALICE = Selection(users=("alice@example.com",))


def conversation(number: int, user: str) -> WriteBatch:
    """A root span that names the user, and a model call below it that holds what was said."""
    trace = f"{number:032x}"
    written = batch([2 * number, 2 * number + 1])
    written.spans = pa.table(
        {
            "trace_id": [trace, trace],
            "span_id": [f"{number:015x}a", f"{number:015x}b"],
            "start_time": pa.array([NOW_NS, NOW_NS]).cast(pa.timestamp("ns")),
            "user_id": [user, None],
            "session_id": [f"session-{user}", None],
            "response_id": [None, f"response-{number}"],
            "input_text": [None, f"private words of {user}"],
            "resource": [f'{{"host.name":"laptop of {user}"}}'] * 2,
            "norm_source": pa.nulls(2, pa.string()),
        }
    )
    written.evaluations = pa.table(
        {
            "trace_id": pa.array([trace, None, None, "f" * 32], pa.string()),
            "response_id": [None, f"response-{number}", None, None],
            "session_id": [None, None, f"session-{user}", None],
            "evaluator": [None, None, None, user],
            "name": ["quality"] * 4,
            "explanation": [f"{user} asked"] * 4,
            "kind": ["automated"] * 4,
            "source": ["test"] * 3 + ["api:feedback"],
        }
    )
    written.evaluation_request = np.zeros(4, np.int32)
    written.logs = pa.table(
        {
            "trace_id": pa.array([trace, None, None], pa.string()),
            "event_name": ["gen_ai.user.message"] * 2 + ["gen_ai.evaluation.result"],
            "body": [f'"{user} said"'] * 3,
            "attributes": [
                None,
                f'{{"user.id":"{user}"}}',
                f'{{"gen_ai.response.id":"response-{number}"}}',
            ],
        }
    )
    written.log_request = np.zeros(3, np.int32)
    written.quarantine = pa.table(
        {
            "signal": ["traces"] * 3,
            "reason": ["invalid_span_id"] * 3,
            "item": pa.array(
                [f'{{"attributes":{{"user.id":"{user}"}}}}', f'{{"trace_id":"{trace}"}}', None]
            ),
            "payload": pa.array([None, None, b"\x0a" + user.encode() + b"\x12"], pa.binary()),
        }
    )
    written.quarantine_request = np.zeros(3, np.int32)
    return written


def filled(folder: Path, **options: Any) -> Database:
    """Conversations 1 and 3 are Alice's, 2 is Bob's; 1 and 2 are sealed, 3 is in the hot file."""
    database = open_database(folder, **options)
    for number, user in ((1, "alice@example.com"), (2, "bob@example.com")):
        commit(database, conversation(number, user))
    database.writer.rotate(10)
    commit(database, conversation(3, "alice@example.com"))
    return database


def stored(database: Database, table: str, columns: str) -> list[tuple[Any, ...]]:
    rows = []
    for segment in database.segments.all():
        rows += query(database, f"SELECT {columns} FROM {segment.catalog}.main.{table}")
    return sorted(rows, key=str)


def test_a_user_goes_with_all_of_their_traces_and_nobody_else(tmp_path: Path) -> None:
    database = filled(tmp_path)
    seq_of_bob = stored(database, "spans", "seq, trace_id, span_id")
    done = erase(database, ALICE)
    assert done.rows == {
        "spans": 4, "evaluations": 8, "logs": 6, "span_details": 0, "quarantine": 6,
    }  # fmt: skip
    assert done.files == 2
    assert done.datasets == []
    kept = stored(database, "spans", "seq, trace_id, span_id")
    assert kept == [row for row in seq_of_bob if row[1] == f"{2:032x}"]
    assert len(kept) == 2
    assert stored(database, "evaluations", "explanation") == [("bob@example.com asked",)] * 4
    assert stored(database, "logs", "body") == [('"bob@example.com said"',)] * 3
    assert len(stored(database, "quarantine", "item")) == 3
    database.close()
    for file in (tmp_path / "store").iterdir():
        assert b"alice@example.com" not in file.read_bytes(), file.name
    assert any(b"bob@example.com" in f.read_bytes() for f in (tmp_path / "store").iterdir())


def test_a_trace_goes_alone(tmp_path: Path) -> None:
    database = filled(tmp_path)
    done = erase(database, Selection(trace=f"{1:032x}"))
    assert (done.rows["spans"], done.files) == (2, 1)
    # The session goes on in another trace, so what was said of it stays.
    assert done.rows["evaluations"] == 2
    assert [row for (row,) in stored(database, "spans", "trace_id")] == [
        f"{2:032x}", f"{2:032x}", f"{3:032x}", f"{3:032x}",
    ]  # fmt: skip
    assert erase(database, Selection(trace=f"{1:032x}")).files == 0
    database.close()


def test_retries_stay_known_and_no_seq_is_given_twice(tmp_path: Path) -> None:
    database = filled(tmp_path)
    newest = database.writer.newest_seq
    erase(database, ALICE)
    database.close()
    database = open_database(tmp_path)
    assert database.notices == []
    retried = commit(database, conversation(3, "alice@example.com"))
    assert retried == [ExportResult(2, duplicate=True)]
    assert database.ledger.lookup(digest([2, 3])) == ExportResult(2)
    commit(database, conversation(4, "carol@example.com"))
    carol = stored(database, "spans", "seq, user_id")
    assert min(seq for seq, user in carol if user == "carol@example.com") > newest
    database.close()


def test_registered_datasets_are_listed(tmp_path: Path) -> None:
    database = filled(tmp_path)
    cursor = database.engine.cursor("state")
    cursor.execute("CREATE TABLE state.main.datasets (name VARCHAR)")
    cursor.execute("INSERT INTO state.main.datasets VALUES ('golden')")
    assert erase(database, ALICE).datasets == [{"name": "golden"}]
    database.close()


def test_a_quoted_id_is_text_and_no_sql(tmp_path: Path) -> None:
    database = filled(tmp_path)
    done = erase(database, Selection(users=("x' OR '1'='1", 'say "no"')))
    assert done.files == 0
    assert len(stored(database, "spans", "seq")) == 6
    database.close()


@pytest.mark.faults
@pytest.mark.parametrize("point", ["rename", "record", "unlink", "anywhere"])
def test_kill_during_erase_leaves_each_row_once(tmp_path: Path, point: str) -> None:
    database = filled(tmp_path, clock=SystemClock())
    database.close()
    process = subprocess.Popen(
        [sys.executable, str(CHILD), str(tmp_path), point],
        stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT / 'tests'}"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "erasing\n"
    if point == "anywhere":
        time.sleep(0.1)
        process.kill()
    assert process.wait(60) == -9
    process.stdout.close()
    database = open_database(tmp_path, clock=SystemClock())
    assert database.notices == []
    keys = stored(database, "spans", "trace_id, span_id")
    assert len(keys) == len(set(keys))
    assert {key for key in keys if key[0] == f"{2:032x}"} == {
        (f"{2:032x}", f"{2:015x}a"), (f"{2:032x}", f"{2:015x}b"),
    }  # fmt: skip
    erase(database, ALICE)
    assert {trace for trace, _ in stored(database, "spans", "trace_id, span_id")} == {f"{2:032x}"}
    database.close()
    for file in (tmp_path / "store").iterdir():
        assert b"alice@example.com" not in file.read_bytes(), file.name
