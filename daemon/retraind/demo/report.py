"""What the demo prints: the plan, what the daemon saw, the trigger, and where to look next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table

from retraind.demo.daemon import Daemon
from retraind.demo.receiver import Delivery
from retraind.demo.scenario import (
    DAY_NS,
    DRIFT_DAY,
    REFERENCE_DAYS,
    SECOND_NS,
    Drift,
    Scenario,
)

_REFERENCES = """\
select s.model || '/' || s.cohort as series, r.sessions,
       strftime(r.first_time, '%m-%d %H:%M') as first, strftime(r.last_time, '%m-%d %H:%M') as last,
       left(r.id, 12) as reference
from "references" r join series s on s.id = r.series_id
where r.active and s.monitor = 'support' order by series"""

_WINDOWS = """\
select count(distinct (w.series_id, w.window_start)) as windows, count(w.psi) as drift_results,
       count(*) filter (where w.verdict = 'alarm') as alarms,
       count(*) filter (where w.verdict in ('investigate', 'retrain')) as shifts
from windows w
where w.window_end > timestamp '{begin}' and w.window_end <= timestamp '{end}'
  and w.verdict not in ('immature', 'no_data', 'context')"""

_DRIFT = """\
select s.model || '/' || s.cohort as series,
       avg(w.psi_corrected) filter (where w.feature = 'product') as product,
       avg(w.psi_corrected) filter (where w.feature = 'input_tokens') as input_tokens,
       avg(w.psi_corrected) filter (where w.feature = 'output_tokens') as output_tokens,
       avg(w.psi_corrected) filter (where w.feature = 'groundedness') as groundedness
from windows w join series s on s.id = w.series_id
where w.window_start >= timestamp '{begin}' and w.psi is not null
  and w.reference_kind = 'pinned'
group by all order by series"""

_FAIL_RATES = """\
select s.model || '/' || s.cohort as series, w.feature as eval, w.baseline_rate as baseline,
       arg_max(w.rate, w.window_end) as rate,
       arg_max(format('{{:.2f}} to {{:.2f}}', w.rate_lower, w.rate_upper), w.window_end) as "95 %",
       bool_or(w.verdict = 'alarm') as alarm
from windows w join series s on s.id = w.series_id
where w.window_start >= timestamp '{begin}' and w.kind = 'rate' and w.rate is not null
group by s.model, s.cohort, w.feature, w.baseline_rate order by eval desc, series"""

_EXAMPLES = (
    "select * from windows order by window_end desc limit 20",
    "select name, count(*), avg(score) from evaluations group by name",
    "select attributes from spans where operation = 'chat' limit 3",
)


def introduce(console: Console, scenario: Scenario, config_file: Path, config: str) -> None:
    """What is about to happen, and with which configuration."""
    console.print(Rule("retraind demo"))
    if scenario.drift is None:
        plan = "Nothing changes in the second week: no trigger may come."
    else:
        plan = (
            f"In the second week {scenario.drift.model} changes for {scenario.drift.cohort} only: "
            "other products, longer answers, less of them grounded. One trigger should name it."
        )
    console.print(
        f"A support bot ({scenario.sessions:,} conversations, two models, three cohorts) sends two "
        "weeks of spans through the OpenTelemetry SDK. Days 1 to 4 become the reference. " + plan,
        f"\nConfiguration, in {config_file} (seed {scenario.seed}):",
    )
    console.print(config, markup=False, soft_wrap=True)


def observations(console: Console, daemon: Daemon, scenario: Scenario) -> None:
    """What the daemon saw, asked with its own SQL."""
    quiet, second_week = (
        _timestamp(scenario.start_ns + day * DAY_NS) for day in (REFERENCE_DAYS, DRIFT_DAY)
    )
    end = _timestamp(scenario.end_ns)
    console.print(Rule("What the daemon saw"))
    _print_rows(console, "References it pinned", daemon.sql(_REFERENCES))
    for title, begin, until in (
        ("Days 5 to 7", quiet, second_week),
        ("Second week", second_week, end),
    ):
        row = daemon.sql(_WINDOWS.format(begin=begin, end=until))[0]
        console.print(
            f"{title}: {row['windows']} series-windows evaluated, {row['alarms']} with a fail-rate "
            f"alarm; {row['shifts']} of {row['drift_results']} drift results reached a band "
            "(an alarm takes two of three windows)."
        )
    rows = daemon.sql(_DRIFT.format(begin=second_week))
    _print_rows(console, "Drift in the second week: mean PSI (bands at 0.10 and 0.25)", rows)
    rows = daemon.sql(_FAIL_RATES.format(begin=second_week))
    _print_rows(console, "Fail rate by cohort: last window", rows)


def deliveries(console: Console, accepted: Sequence[Delivery]) -> None:
    """The triggers, as the training pipeline received them."""
    console.print(Rule("Delivered to the training pipeline"))
    if not accepted:
        console.print("No trigger.")
    for delivery in accepted:
        text = orjson.dumps(delivery.event, option=orjson.OPT_INDENT_2).decode()
        console.print(f"webhook-id {delivery.id}, signature valid")
        console.print(text, markup=False, soft_wrap=True)


def next_steps(console: Console, daemon: Daemon, config_file: Path, *, kept: bool) -> None:
    """Commands that look further into what the demo left behind."""
    console.print(Rule("Where to look next"))
    if not kept:
        console.print(
            "The folder is removed now. `retraind demo --keep demo-data` leaves it; then:"
        )
    data = daemon.data if kept else Path("demo-data")
    config = config_file if kept else data / "demo.yaml"
    sql = [f'retraind sql --data {data} "{statement}"' for statement in _EXAMPLES]
    serve = f"retraind serve --config {config} --data {data}"
    for command in (*sql, serve, f"curl {daemon.admin_url}/metrics"):
        console.print("  " + command, soft_wrap=True, markup=False)


def conclude(
    console: Console, drift: Drift | None, found: Sequence[str], *, seconds: float
) -> None:
    """The verdict, read from the delivered events."""
    if found:
        text = "\n".join(f"- {problem}" for problem in found)
        console.print(Panel(text, title=f"Wrong, after {seconds:.0f} s", border_style="red"))
        return
    said = "no trigger, as nothing had changed" if drift is None else f"one trigger, for {drift}"
    console.print(Panel(f"{said} ({seconds:.0f} s)", title="Right", border_style="green"))


def _timestamp(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _print_rows(console: Console, title: str, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        console.print(f"{title}: none.")
        return
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
