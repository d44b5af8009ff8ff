"""`retraind mute`, `unmute` and `hold`: what is kept back, and until when."""

from __future__ import annotations

import getpass
from typing import Any
from urllib.parse import quote

import click

from retraind.cli import show
from retraind.cli.client import call, target_options

MUTE_COLUMNS = (
    "id", "monitor", "service_name", "environment", "model", "cohort", "feature", "ends_at",
    "reason",
)  # fmt: skip
HOLD_COLUMNS = (
    "id", "kind", "monitor", "service_name", "environment", "model", "cause", "expires_at",
    "waiting",
)  # fmt: skip


def _table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """A column in which no row names anything matches everything; that reads as `*`."""
    anything = {"service_name", "environment", "model", "cohort", "feature"}
    show.table(
        columns,
        (
            [
                "*" if row.get(name) is None and name in anything else row.get(name)
                for name in columns
            ]
            for row in rows
        ),
    )


@click.command(short_help="Silence alarms for a while.")
@click.argument("monitor", required=False)
@click.option("--service", "service_name", help="Only this service.")
@click.option("--environment", help="Only this environment.")
@click.option("--model", help="Only this model.")
@click.option("--cohort", help="Only this cohort.")
@click.option("--feature", help="Only this feature.")
@click.option("--eval", "evaluation", help="Only this evaluation.")
@click.option("--for", "duration", metavar="DURATION", help="How long: 90m, 24h; at most 30d.")
@click.option("--reason", help="Why; shown to everyone who looks.")
@click.option("--list", "listed", is_flag=True, help="List what is muted.")
@show.json_option
@target_options
def mute(
    monitor: str | None, evaluation: str | None, duration: str | None, reason: str | None,
    listed: bool, as_json: bool, data: Any, url: str | None, token_file: Any, **selected: Any,
) -> int:  # fmt: skip
    """Silence the alarms of MONITOR, or some of them, for a while and for a reason.

    Muted alarms show the state `muted`, open no episode and ask for no retraining. They are watched
    all the same: one that fires when its mute ends asks then, and one that has resolved never does.
    The schedule of the policy is not muted. A mute covers the decision windows that end before its
    own end, in event time, and survives a restart.

    \b
    Examples:
      retraind mute support --for 24h --reason "load test, ticket 4711"
      retraind mute support --model gpt-4o --eval groundedness --for 7d --reason "new judge"
      retraind mute --list
    """
    where = {"data": data, "url": url, "token_file": token_file}
    given = {name: value for name, value in selected.items() if value is not None}
    if listed:
        if monitor or duration or reason or evaluation or given:
            raise click.UsageError("--list takes no other selection.")
        return _list_mutes(where, as_json)
    missing = [
        name
        for name, value in (("MONITOR", monitor), ("--for", duration), ("--reason", reason))
        if not value
    ]
    if missing:
        raise click.UsageError(f"Give {', '.join(missing)}.")
    if evaluation is not None:
        if "feature" in given:
            raise click.UsageError("Write either --feature or --eval.")
        given["feature"] = evaluation
    body = {"monitor": monitor, "for": duration, "reason": reason, "by": _me(), **given}
    made = call(where, "POST", "/api/v1/mutes", json=body)
    if as_json:
        show.as_json(made)
    else:
        many = "1 alarm" if made["alarms"] == 1 else f"{made['alarms']} alarms"
        click.echo(f"{made['id']}: {many} muted until {made['ends_at']}")
    return 0


def _list_mutes(where: dict[str, Any], as_json: bool) -> int:
    found = call(where, "GET", "/api/v1/mutes")["mutes"]
    if as_json:
        show.as_json(found)
    else:
        _table((*MUTE_COLUMNS, "created_by"), found)
    return 0


@click.command(short_help="End mutes early.")
@click.argument("mute_id", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="End every mute.")
@show.json_option
@target_options
def unmute(mute_id: str | None, everything: bool, as_json: bool, **where: Any) -> int:
    """End a mute before its time; the beginning of its ID is enough.

    What fires then opens its episode with the next decision window.

    \b
    Examples:
      retraind unmute mute_7c1f
      retraind unmute --all
    """
    if (mute_id is None) != everything:
        raise click.UsageError("Write either an ID or --all.")
    path = "/api/v1/mutes" if mute_id is None else f"/api/v1/mutes/{quote(mute_id, safe='')}"
    body = call(where, "DELETE", path, params={"by": _me()})
    if as_json:
        show.as_json(body)
    else:
        click.echo(f"ended: {', '.join(body['ended']) or 'nothing was muted'}")
    return 0


@click.group(short_help="What triggers wait for.")
def hold() -> None:
    """What triggers wait for: a deploy, a changed judge, a changed schema.

    Each ends by itself after policy.hold_for. What waits is then sent with the suspected cause.

    \b
    Examples:
      retraind hold list
      retraind hold release hold_90ab
    """


@hold.command("list")
@show.json_option
@target_options
def hold_list(as_json: bool, **where: Any) -> int:
    """List the holds that stand, and how many triggers wait for each."""
    found = call(where, "GET", "/api/v1/holds")["holds"]
    if as_json:
        show.as_json(found)
    else:
        _table(HOLD_COLUMNS, found)
    return 0


@hold.command("release")
@click.argument("hold_id", metavar="ID")
@show.json_option
@target_options
def hold_release(hold_id: str, as_json: bool, **where: Any) -> int:
    """End a hold now; the beginning of its ID is enough.

    A trigger that waits for nothing else is sent within seconds, with the suspected cause.
    """
    path = f"/api/v1/holds/{quote(hold_id, safe='')}"
    body = call(where, "DELETE", path, params={"by": _me()})
    if as_json:
        show.as_json(body)
    else:
        click.echo(f"{body['released']} released")
    return 0


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in some containers
        return "somebody"
