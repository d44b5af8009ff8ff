"""The demo's report, over hand-written results in the daemon's own tables."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from rich.console import Console

from retraind.demo import report
from retraind.demo.receiver import Delivery
from retraind.demo.scenario import Drift, Scenario
from retraind.store.queries import schema_script

END_NS = 1_795_046_400_000_000_000  # 2026-11-19 00:00 UTC; the second week begins on the 12th


class StateTables:
    """Answers like Daemon.sql, from tables made by the daemon's schema."""

    data = Path("folder")
    admin_url = "http://127.0.0.1:9464"

    def __init__(self) -> None:
        self._db = duckdb.connect()
        self._db.execute(schema_script("state", "memory"))

    def insert(self, table: str, **values: object) -> None:
        marks = ", ".join("?" * len(values))
        self._db.execute(
            f'insert into "{table}" ({", ".join(values)}) values ({marks})', [*values.values()]
        )

    def window(self, series, begin, end, kind, feature, verdict, **values):
        self.insert(
            "windows", series_id=series, feature=feature, version="", kind=kind, window_start=begin,
            window_end=end, reference_kind="pinned", sessions=300, n=300, verdict=verdict,
            through_seq=1, evaluated_at="2026-11-19", **values,
        )  # fmt: skip

    def sql(self, statement):
        result = self._db.execute(statement)
        names = [column[0] for column in result.description]
        return json.loads(
            json.dumps(
                [dict(zip(names, row, strict=True)) for row in result.fetchall()], default=str
            )
        )


@pytest.fixture(name="tables")
def _tables():
    tables = StateTables()
    for series, cohort in (("a", "emea"), ("b", "amer")):
        tables.insert(
            "series", id=series, monitor="support", service_name="support-bot",
            environment="production", model="gpt-4o", cohort=cohort, first_pane="2026-11-05",
            window_start="2026-11-12",
        )  # fmt: skip
        tables.insert(
            "references", id=f"ref-{series}", series_id=series, kind="pinned", source="first",
            created_at="2026-11-09", first_time="2026-11-05", last_time="2026-11-09",
            sessions=4321, active=True, proposed=False,
        )  # fmt: skip
    return tables


def printed(call, *arguments, **named):
    console = Console(file=io.StringIO(), width=160)
    call(console, *arguments, **named)
    return console.file.getvalue()


def test_windows_are_counted_once_and_by_week(tables):
    quiet, second = (
        ("2026-11-10 00:00", "2026-11-10 04:00"),
        ("2026-11-13 00:00", "2026-11-13 08:00"),
    )
    for series in ("a", "b"):
        tables.window(series, *quiet, "number", "output_tokens", "ok", psi=0.02, psi_corrected=0.0)
        tables.window(series, *quiet, "rate", "groundedness", "ok", rate=0.06)
        tables.window(series, "2026-11-06", "2026-11-07", "rate", "groundedness", "immature")
    tables.window("a", *second, "number", "output_tokens", "retrain", psi=0.9, psi_corrected=0.875)
    tables.window(
        "a", *second, "rate", "groundedness", "alarm",
        rate=0.42, rate_lower=0.35, rate_upper=0.49, baseline_rate=0.06,
    )  # fmt: skip
    text = " ".join(printed(report.observations, tables, Scenario(1, None, END_NS)).split())

    assert "Days 5 to 7: 2 series-windows evaluated, 0 with a fail-rate alarm; 0 of 2 drift" in text
    assert "Second week: 1 series-windows evaluated, 1 with a fail-rate alarm; 1 of 1 drift" in text
    assert "4321" in text
    assert "0.875" in text
    assert "0.35 to 0.49" in text


def test_an_empty_store_is_reported_as_such():
    text = printed(report.observations, StateTables(), Scenario(1, None, END_NS))

    assert "References it pinned: none." in text
    assert "Days 5 to 7: 0 series-windows evaluated" in text


def test_the_trigger_is_shown_as_it_was_delivered():
    event = {"id": "trg_1", "data": {"scope": {"model": "gpt-4o"}}}
    text = printed(report.deliveries, [Delivery("trg_1", event)])

    assert json.loads(text[text.index("{") : text.rindex("}") + 1]) == event


@pytest.mark.parametrize("kept", [True, False])
def test_next_steps_name_the_folder_that_will_be_there(kept):
    daemon = SimpleNamespace(data=Path("folder"), admin_url="http://127.0.0.1:9464")
    text = printed(report.next_steps, daemon, Path("folder/demo.yaml"), kept=kept)

    assert ("--data folder" in text) is kept
    assert "http://127.0.0.1:9464/metrics" in text


def test_the_conclusion_says_what_was_wrong():
    assert "Right" in printed(report.conclude, Drift("gpt-4o", "emea"), [], seconds=60)
    assert "expected one" in printed(report.conclude, None, ["expected one"], seconds=60)
