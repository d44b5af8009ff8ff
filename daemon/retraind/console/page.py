"""The status page: plain HTML that reads well without scripts, in light and dark.

It shows states and numbers, never content of spans; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from retraind.model import Json

WINDOWS = 20  # shown, one line a feature: what came of them, triggers and states, is above

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: light-dark(#b00020, #ff8a80);
  --good: light-dark(#1b6e2d, #81c995); --wait: light-dark(#7a5200, #ffd479) }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: top }
td.n { font-variant-numeric: tabular-nums; text-align: right }
.scroll { overflow-x: auto }
.firing, .dead, .expired, .retrain, .alarm, .no { color: var(--bad); font-weight: 600 }
.ok, .delivered, .yes { color: var(--good) }
.pending, .resolving, .investigate, .notice, .muted, .held { color: var(--wait) }
"""
_COLOURED = frozenset(
    {
        "firing", "dead", "expired", "retrain", "alarm", "ok", "delivered", "pending", "resolving",
        "investigate", "notice", "muted", "held",
    }
)  # fmt: skip


def render(status: Json) -> str:
    """The page of a status as `encode.status_json` gives it."""
    ready = status["ready"]
    reasons = "" if ready else f": {escape(', '.join(status['reasons']))}"
    word = "ready" if ready else "not ready"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>retraind: {word}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>retraind {escape(status["version"])}
is <span class="{"yes" if ready else "no"}">{word}{reasons}</span></h1>
<p>Data in {escape(status["data"])}, running since {_value(status["started_at"])}.
<a href="/metrics">Metrics</a> · <a href="/api/v1/openapi.json">API</a></p>
<h2>Ingest</h2>
{_ingest(status["ingest"])}
<h2>Triggers</h2>
{_triggers(status["triggers"])}
{_kept_back(status["mutes"], status["holds"])}
<h2>Deliveries</h2>
{_outbox(status["outbox"])}
<h2>Series</h2>
{_series(status["series"])}
<h2>Last windows</h2>
{_windows(status["windows"])}
</body>
</html>
"""


def _ingest(ingest: Json) -> str:
    names = {
        "accepted_spans": "Spans stored", "spans_per_second": "Spans per second",
        "rejected_spans": "Spans rejected", "duplicate_spans": "Duplicate spans",
        "refused_requests": "Requests refused", "last_commit_at": "Last commit",
        "segments": "Segments", "stored_bytes": "Bytes stored", "free_bytes": "Bytes free",
    }  # fmt: skip
    return _table(("What", "Value"), ([label, ingest[key]] for key, label in names.items()))


def _series(series: Sequence[Json]) -> str:
    rows = []
    for each in series:
        states: dict[str, list[str]] = {}
        for feature, state in each["states"].items():
            states.setdefault(state, []).append(feature)
        shown = [_state(state) + ": " + escape(", ".join(names)) for state, names in states.items()]
        cell = _Html("<br>".join(shown))
        rows.append([*_key(each["series"]), cell, each["reference"], each["window_start_at"]])
    return _table((*_KEY, "States", "Reference", "Window since"), rows)


def _windows(windows: Sequence[Json]) -> str:
    heads = (
        *_KEY, "Feature", "Against", "Ended", "Sessions", "Verdict", "Score", "p", "Fail rate",
    )  # fmt: skip
    names = ("feature", "reference", "end_at", "sessions", "verdict", "score", "p_value", "rate")
    shown = ([*_key(row["series"]), *(row[name] for name in names)] for row in windows[:WINDOWS])
    rest = len(windows) - WINDOWS
    more = f"<p>And {rest} more; all are in the table <code>windows</code>.</p>"
    return _table(heads, shown) + (more if rest > 0 else "")


def _triggers(triggers: Sequence[Json]) -> str:
    names = (
        "id", "monitor", "service_name", "environment", "model", "reason", "decided_for_at",
        "created_at",
    )  # fmt: skip
    heads = ("Id", "Monitor", "Service", "Environment", "Model", "Reason", "Decided for", "Sent")
    return _table(heads, ([row[name] for name in names] for row in triggers))


def _kept_back(mutes: Sequence[Json], holds: Sequence[Json]) -> str:
    """Mutes and holds; most of the time there are none, and nothing to read."""
    what = ("monitor", "service_name", "environment", "model")
    parts = []
    if mutes:
        names = (*what, "cohort", "feature", "ends_at", "reason")
        heads = (*_KEY, "Feature", "Until", "Reason")
        parts.append(
            "<h2>Muted</h2>\n" + _table(heads, ([row[name] for name in names] for row in mutes))
        )
    if holds:
        names = (*what, "kind", "cause", "expires_at", "waiting")
        heads = (*_KEY[:-1], "Kind", "Suspected cause", "Until", "Triggers waiting")
        parts.append(
            "<h2>Holds</h2>\n" + _table(heads, ([row[name] for name in names] for row in holds))
        )
    return "\n".join(parts)


def _outbox(outbox: Sequence[Json]) -> str:
    names = ("trigger_id", "destination", "status", "attempts", "next_attempt_at", "last_status")
    heads = ("Trigger", "Destination", "Status", "Attempts", "Next attempt", "Last answer")
    return _table(heads, ([row[name] for name in names] for row in outbox))


class _Html(str):
    """Text that is already HTML."""

    __slots__ = ()


_KEY = ("Monitor", "Service", "Environment", "Model", "Cohort")


def _key(key: Json) -> list[str]:
    return [key[n] for n in ("monitor", "service_name", "environment", "model", "cohort")]


def _state(text: str) -> str:
    shown = escape(text)
    return f'<span class="{shown}">{shown}</span>' if text in _COLOURED else shown


def _value(value: Any) -> str:
    if isinstance(value, _Html):
        return value
    if value is None or value == "":
        return "–"  # noqa: RUF001 - a dash for "nothing", as in any table
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return _state(str(value))


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    if not body:
        return "<p>Nothing yet.</p>"
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _cell(value: Any) -> str:
    number = ' class="n"' if isinstance(value, int | float) else ""
    return f"<td{number}>{_value(value)}</td>"
