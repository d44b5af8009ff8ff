"""Tests of monitors: what passes, what fails and where, and that they count as the daemon does."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from builders import HOUR_NS, a_request, a_span
from evaluate_harness import START_NS, World, a_config
from retraind.cli import run
from retraind.evaluate.panes import PANE_COLUMNS
from retraind.model import SeriesKey
from retraind.monitor_tests.feed import Hours
from retraind.monitor_tests.notation import parse
from retraind.window.plan import MonitorPlan

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "testing-monitors.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
FILES = [text for kind, text in BLOCKS if kind == "yaml"]

MONITORS = """\
monitors:
  - name: m
    features: [input_tokens, finish_reason]
    evals: {grounded: {threshold: 0.5}}
    reference: {min_age: 12h, min_sessions: 1000, ratio: 1}
tests:
"""


def retraind_test(folder: Path, text: str, *options: str) -> int:
    path = folder / "monitors_test.yaml"
    path.write_text(text)
    return run(["test", str(path), *options])


def test_the_example_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", str(DOCS / "examples" / "monitors_test.yaml")]) == 0
    assert "2 tests passed" in capsys.readouterr().out


def test_what_the_page_shows_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files of the page pass but the last one, whose output is shown below it."""
    *passing, failing = FILES
    for text in passing:
        assert retraind_test(tmp_path, text) == 0
    capsys.readouterr()
    assert retraind_test(tmp_path, failing) == 1
    shown = next(text for kind, text in BLOCKS if kind == "text")
    assert capsys.readouterr().out.replace(f"{tmp_path}/", "") == shown


CASES = [
    ("  - {at: 30h, eval: grounded, state: firing}", 0),
    ("  - {at: 30h, eval: grounded, state: ok}", 1),
    ("  - {at: 24h, eval: grounded, state: ok, band: ok}", 0),
    ("  - {at: 6h, eval: grounded, state: immature}", 0),
    ("  - {at: 30h, feature: input_tokens, state: ok}", 0),
    ("  - {at: 30h, feature: input_tokens, band: retrain}", 1),
    ("  - {at: 30h, cohort: nowhere, eval: grounded, state: ok}", 1),
    ("  - {at: 1h, eval: unknown, state: ok}", 1),
]


@pytest.mark.parametrize(("expectation", "code"), CASES)
def test_states(tmp_path: Path, expectation: str, code: int) -> None:
    """300 sessions an hour, so that every hour is a window; one in two fails from hour 24 on."""
    assert retraind_test(tmp_path, MONITORS + f"""\
- name: t
  series:
  - sessions: 300x30
    features: {{input_tokens: "normal(900, 200)x30"}}
    evals: {{grounded: 0.05x24 0.5x6}}
  states:
{expectation}
""") == code  # fmt: skip


TRIGGERS = [
    ("[]", "expected no other, got model after 1d1h for eval_fail_rate (grounded)"),
    ("[{at: 25h, reasons: [eval_fail_rate], features: [grounded], model: model}]", ""),
    ("[{at: 26h}]", "expected at 1d2h, got model after 1d1h"),
    ("[{after: 24h, by: 25h}, {after: 25h}]", "expected after 1d1h, got none"),
    ("[{after: 24h, reasons: [drift]}]", "expected after 1d for drift, got model"),
    ("[{after: 25h}]", "expected after 1d1h, got model after 1d1h"),
    ("[{at: 25h, model: other}]", "expected other at 1d1h, got model after 1d1h"),
]


@pytest.mark.parametrize(("expected", "said"), TRIGGERS)
def test_triggers(
    tmp_path: Path, expected: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MONITORS + f"""\
- name: t
  series: [{{sessions: 300x30, evals: {{grounded: 0.05x24 0.5x6}}}}]
  triggers: {expected}
"""  # fmt: skip
    assert retraind_test(tmp_path, text) == (1 if said else 0)
    assert said in capsys.readouterr().out
    assert retraind_test(tmp_path, text, "--json") == (1 if said else 0)
    body = json.loads(capsys.readouterr().out)
    (test,) = body["files"][0]["tests"]
    assert (body["passed"], test["passed"]) == (not said, not said)
    assert [failure["line"] for failure in test["failures"]] == ([9] if said else [])


INVALID = [
    ("tests: [{name: t, series: [{sessions: 5}], triggers: []}]", "config: retraind.yaml"),
    ("monitors: [{name: m}]\ntests: []", "tests"),
    (MONITORS + "- {name: t, series: [{sessions: 5}]}", ":7:3: tests[0]: expects nothing"),
    (MONITORS + "- {name: t, series: [{sesions: 5}], triggers: []}", "did you mean 'sessions'?"),
    (MONITORS + "- {name: t, series: [{sessions: 5x}], triggers: []}", "not expected here"),
    (MONITORS + "- {name: t, series: [{sessions: 5x2, evals: {g: 2x2}}], triggers: []}",
     "share of sessions that fail"),
    (MONITORS + "- {name: t, series: [{sessions: 5x2, evals: {g: 0.1}}], triggers: []}",
     "has 1 hours, but sessions has 2"),
    (MONITORS + "- {name: t, series: [{sessions: 5, features: {cost: 1}}], triggers: []}",
     "it has input_tokens, finish_reason"),
    (MONITORS + "- {name: t, series: [{sessions: 5, features: {finish_reason: 1}}], triggers: []}",
     "is a category"),
    (MONITORS + "- {name: t, series: [{sessions: 5}, {sessions: 5}], triggers: []}",
     "there is a series"),
    (MONITORS + "- {name: t, series: [{sessions: 5, monitor: x}], triggers: []}",
     "there is no monitor 'x'"),
    (MONITORS + "- {name: t, series: [{sessions: _}], triggers: []}", "no session at all"),
    (MONITORS.replace("input_tokens", "tokens")
     + "- {name: t, series: [{sessions: 5}], triggers: []}", "not a built-in feature"),
    ("config: missing.yaml\ntests: [{name: t, series: [{sessions: 5}], triggers: []}]",
     "missing.yaml: cannot be read"),
    ("tests: [", "not valid YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), INVALID)
def test_a_file_that_is_not_valid_says_where_with_2(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retraind_test(tmp_path, text) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith(str(tmp_path))


def test_hours_are_counted_as_the_daemon_counts_them(tmp_path: Path) -> None:
    """Real spans of two hours, and the same two hours in short notation: equal panes."""
    monitor: dict[str, Any] = {
        "name": "m", "features": ["input_tokens", "finish_reason"],
        "evals": {"grounded": {"threshold": 0.5}},
    }  # fmt: skip
    world = World(tmp_path / "data", a_config(monitor))
    rng = random.Random(3)
    spans = [
        a_span(
            rng, start_ns=START_NS + hour * HOUR_NS + i,
            attributes={
                "gen_ai.usage.input_tokens": 700 if hour == 0 else 50,
                "gen_ai.response.finish_reasons": ["length" if i == 0 else "stop"],
                "gen_ai.response.model": None,
            },
            evaluations=[("grounded", 0.25 if hour == 0 else 0.75, "")],
        )
        for hour in range(2)
        for i in range(10)
    ]  # fmt: skip
    later = a_span(rng, start_ns=START_NS + 5 * HOUR_NS)
    world.send(a_request([*spans, later]))
    world.tick()
    names = ", ".join((*PANE_COLUMNS, "pane_start"))
    counted = "('sessions', 'input_tokens', 'finish_reason', 'grounded')"
    real = world.rows(f"select {names} from panes where sessions = 10 and feature in {counted}")
    config = world.config
    world.close()

    key = SeriesKey("m", "rag-api", "prod", "gpt-4o", "")
    plan = MonitorPlan.from_settings(config.monitors[0])
    hours = Hours(key, START_NS, [10, 10])
    hours.feature(plan, "input_tokens", parse("700 50"), config.limits.categories)
    hours.feature(plan, "finish_reason", parse("{stop: 9, length: 1}x2"), 512)
    hours.evaluation(plan.eval_plan("grounded"), "grounded", parse("uniform(0.25, 0.25) 0.75"))
    written = hours.rows().select([*PANE_COLUMNS, "pane_start"]).to_pylist()

    def ordered(rows: list[dict[str, Any]]) -> list[str]:
        return sorted(repr(sorted(row.items())) for row in rows)

    assert len(real) == 10
    assert ordered(written) == ordered(real)
