"""`retraind episodes` and `retraind explain`: why something fired, or what is missing for it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import click

from retraind.cli import show
from retraind.cli.client import Target, target_options

WIDTH = 80
SHOWN_WINDOWS = 3
SHOWN_MOVES = 3
SHOWN_FEATURES = 5


@click.command(short_help="List episodes.")
@target_options
@show.json_option
@click.option("--limit", default=20, show_default=True, help="How many.")
def episodes(as_json: bool, limit: int, **where: Any) -> int:
    """List episodes (continuous alarms of a model), the newest first.

    \b
    Example:
      retraind episodes && retraind explain ep_5f3a
    """
    with Target(**where).client() as client:
        rows = client.get("/api/v1/episodes", params={"limit": limit})["episodes"]
    if as_json:
        show.as_json(rows)
        return 0
    names = (
        "id", "status", "service_name", "environment", "model", "alarms", "opened_at", "closed_at",
        "trigger_id", "reason",
    )  # fmt: skip
    show.table(names, ([row.get(name) for name in names] for row in rows))
    return 0


@click.command(short_help="Tell why something fired or did not.")
@click.argument("episode", required=False, metavar="[EPISODE|TRIGGER]")
@click.option("--monitor", help="Without an episode: alarms of this monitor.")
@click.option("--service", "service_name", help="Alarms of this service.")
@click.option("--environment", help="Alarms of this environment.")
@click.option("--model", help="Alarms of this model.")
@click.option("--cohort", help="Alarms of this cohort.")
@click.option("--feature", help="Only this feature or evaluation.")
@target_options
@show.json_option
def explain(
    episode: str | None, as_json: bool, data: Any, url: str | None, token_file: Any, **asked: Any
) -> int:
    """Tell in words and numbers why an episode asked for retraining, or what is missing.

    The beginning of an id is enough. Thresholds are those of the configuration that runs now.

    \b
    Examples:
      retraind explain ep_5f3a
      retraind explain --monitor default --model gpt-4o --feature input_tokens
    """
    wanted = {name: value for name, value in asked.items() if value is not None}
    if (episode is None) == (not wanted):
        raise click.UsageError("Name either an episode or trigger, or --monitor and so on.")
    with Target(data, url, token_file).client() as client:
        if episode is not None:
            body = client.get(f"/api/v1/episodes/{episode}")
        else:
            body = client.get("/api/v1/explain", params=wanted)
    if as_json:
        show.as_json(body)
    else:
        click.echo("\n".join(explanation(body)))
    return 0


def explanation(body: dict[str, Any]) -> list[str]:
    """The lines of an explanation, at most 80 characters wide."""
    lines = _episode(body) if body.get("episode") else []
    lines += _attribution(body.get("attribution") or {})
    for policy in body["policies"]:
        lines += ["", *_policy(policy, body.get("episode") is None)]
    for series in body["series"]:
        lines += ["", *_series(series)]
    if body["omitted"]:
        lines += ["", f"{body['omitted']} more alarms are left out; name a --feature."]
    if body["next"]:
        lines += ["", _bold("Next")]
        for advice in body["next"]:
            lines += _wrapped(advice, "  - ")
    return lines


def _episode(body: dict[str, Any]) -> list[str]:
    episode = body["episode"]
    lines = [_bold(f"Episode {episode['id'] or '(none: the schedule asked)'}")]
    lines += _wrapped(_scope(episode))
    if episode["opened_at"]:
        until = f", closed {_time(episode['closed_at'])}" if episode["closed_at"] else ""
        lines += _wrapped(f"{episode['status']}: opened {_time(episode['opened_at'])}{until}")
    if episode["trigger_id"]:
        lines += _wrapped(
            f"asked for retraining {_time(episode['asked_at'])} for the window that ended "
            f"{_time(episode['decided_for'])}, as {episode['trigger_id']}: "
            f"{', '.join(body.get('reasons', ()))}"
        )
        sent = [f"{each['destination']} {each['status']}" for each in body.get("deliveries", ())]
        lines += _wrapped("delivery: " + (", ".join(sent) or "no destination is configured"))
    else:
        lines += _wrapped("did not ask for retraining")
    return lines


def _attribution(found: dict[str, Any]) -> list[str]:
    """What moved when it was decided: features, what the traffic explains, sessions to look at."""
    lines = []
    features = [each for each in found.get("features", ()) if each["psi_corrected"] > 0]
    if features:
        names = [
            f"{each['feature']}{_of(each['cohort'])} {each['psi_corrected']:.2g}"
            for each in features[:SHOWN_FEATURES]
        ]
        lines += _wrapped("farthest (PSI): " + ", ".join(names))
    for shift in found.get("shifts", ())[:SHOWN_MOVES]:
        lines += _shift(shift)
    for session in found.get("sessions", ()):
        traces = ", ".join(session["trace_ids"])
        lines += _wrapped(
            f"telling session: {session['session_id']}{_of(session['cohort'])}, score "
            f"{session['score']:.2g}, trace {traces}"
        )
    return ["", _bold("What moved"), *lines] if lines else []


def _shift(shift: dict[str, Any]) -> list[str]:
    what = "fail rate" if shift["kind"] == "rate" else "score"
    cause = {
        "mix": "other cohorts, not other results",
        "within": "other results within the cohorts",
        "both": "both other cohorts and other results",
    }[shift["cause"]]
    lines = _wrapped(
        f"{what} of {shift['feature']} over all cohorts: {_signed(shift['change'])}, of which mix "
        f"{_signed(shift['mix'])} and within cohorts {_signed(shift['within'])} "
        f"(p = {shift['within_p']:.2g}): {cause}"
    )
    for each in shift["cohorts"][:SHOWN_MOVES]:
        lines += _wrapped(
            f"{each['cohort'] or '(no cohort)'}: {_percent(each['reference_share'])} to "
            f"{_percent(each['current_share'])} of the sessions, mean "
            f"{each['reference_mean']:.3g} to {each['current_mean']:.3g}",
            "    ",
        )
    return lines


def _of(cohort: str) -> str:
    return f" of cohort {cohort}" if cohort else ""


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _policy(policy: dict[str, Any], with_scope: bool) -> list[str]:
    head = f"Policy of {_scope(policy)}" if with_scope else "Policy"
    lines = [_bold(line) for line in _wrapped(head, "")]
    lines += _wrapped(f"asks for {policy['rule']}: " + ("holds" if policy["asks"] else "missing"))
    lines += _story(policy)
    if policy["cooldown"]:
        cooldown = policy["cooldown"]
        lines += _wrapped(
            f"cooldown of {cooldown['trigger_id']} until {_time(cooldown['ends'])}: no trigger "
            "before"
        )
    return lines


def _series(series: dict[str, Any]) -> list[str]:
    cohort = f", cohort {series['cohort']}" if series["cohort"] else ""
    lines = textwrap.wrap(_clean(_scope(series) + cohort), WIDTH)
    lines[0] = _bold(lines[0])
    reference = series["reference"]
    if reference:
        lines += _wrapped(
            f"reference {reference['id'][:8]}: {reference['kind']}, {reference['sessions']:,} "
            f"sessions, from {reference['source']}, {_time(reference['created_at'])}"
        )
    else:
        lines += _wrapped(series["maturity"])
    lines += _wrapped(f"next window: {series['open_window']}")
    for alarm in series["alarms"]:
        lines += ["", *_alarm(alarm)]
    return lines


def _alarm(alarm: dict[str, Any]) -> list[str]:
    name = alarm["feature"] + (f" of {alarm['version']}" if alarm["version"] else "")
    if alarm["reference_kind"] != "pinned":
        name += f" against the {alarm['reference_kind']} reference"
    state = alarm["state"] or "not watched"
    since = f" since {_time(alarm['since'])}" if alarm["state"] else ""
    lines = _wrapped(f"{name} ({alarm['kind']}): {state}{since}")
    lines = [line.replace(f": {state}", f": {show.coloured(state)}") for line in lines]
    lines += _windows(alarm["kind"], alarm["windows"][:SHOWN_WINDOWS])
    lines += _story(alarm, "    ")
    if not alarm["holds"]:
        return lines  # what moves in a window like any other is chance
    if alarm["change"]:
        lines += _wrapped(alarm["change"], "    changed: ")
    for part in alarm["moved"][:SHOWN_MOVES]:
        lines += _wrapped(_move(part), "    moved: ")
    return lines


def _move(part: dict[str, Any]) -> str:
    return (
        f"{part['label']} from {_percent(part['reference_share'])} to "
        f"{_percent(part['current_share'])}"
    )


def _windows(kind: str, windows: Sequence[dict[str, Any]]) -> list[str]:
    """A line a window, newest first: what was measured, and whether it counts."""
    if not windows:
        return []
    rate = kind == "rate"
    score, bound = ("rate", "rate_lower") if rate else ("psi_corrected", "psi_lower")
    heads = ("window end", "n", "m", "rate" if rate else "PSI", "bound", "p", "band", "counts")
    rows = [
        (
            _time(each["window_end"]), _number(each["n"]), _number(each["m"]),
            _number(each.get(score)), _number(each.get(bound)), _number(each["p_value"]),
            each["verdict"], "yes" if each["shows"] or each["verdict"] == "alarm" else "no",
        )
        for each in windows
    ]  # fmt: skip
    widths = (16, 6, 6, 7, 7, 8, 11, 3)
    return [
        "    " + " ".join(
            cell.ljust(width) if at in (0, 6, 7) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    ]  # fmt: skip


def _story(told: dict[str, Any], indent: str = "  ") -> list[str]:
    lines = []
    for sign, colour, sentences in (("+", "green", told["holds"]), ("-", "red", told["missing"])):
        for sentence in sentences:
            first, *rest = _wrapped(sentence, f"{indent}{sign} ")
            mark = click.style(sign, fg=colour) if _colour() else sign
            lines += [first.replace(sign, mark, 1), *rest]
    return lines


def _scope(key: dict[str, Any]) -> str:
    names = (("monitor", "monitor"), ("service", "service_name"), ("environment", "environment"),
             ("model", "model"))  # fmt: skip
    return ", ".join(f"{label} {key[name]}" for label, name in names if key[name])


def _wrapped(text: str, first: str = "  ") -> list[str]:
    return textwrap.wrap(
        _clean(text), WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
        break_on_hyphens=False,
    )  # fmt: skip


def _clean(text: str) -> str:
    return show.printable(text).replace("\n", " ")


def _bold(text: str) -> str:
    return click.style(text, bold=True) if _colour() else text


def _colour() -> bool:
    return sys.stdout.isatty()


def _time(text: str | None) -> str:
    """To the minute: windows end on whole hours."""
    return (text or "")[:16].replace("T", " ")


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
