"""`retraind status`, `reference` and `webhook`: looking at the running daemon and telling it."""

from __future__ import annotations

import getpass
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retraind.cli import show
from retraind.cli.client import call, target_options
from retraind.cli.quiet import HOLD_COLUMNS, MUTE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_SERIES = ("monitor", "service_name", "environment", "model", "cohort")


def _list(rows: list[dict[str, Any]], names: tuple[str, ...], title: str | None = None) -> None:
    show.table(names, ([row.get(name) for name in names] for row in rows), title=title)


@click.command()
@target_options
@show.json_option
@click.option(
    "--quiet", is_flag=True, help="Print nothing; the exit code says whether it is ready."
)
def status(as_json: bool, quiet: bool, **where: Any) -> int:
    """Show what the daemon sees. Exits with 1 when it is not ready.

    \b
    Examples:
      retraind status
      retraind status --json | jq .ingest
      retraind status --quiet && echo ready
    """
    body = call(where, "GET", "/api/v1/status")
    code = 0 if body["ready"] else 1
    if quiet:
        return code
    if as_json:
        show.as_json(body)
        return code
    ready = "ready" if body["ready"] else f"not ready: {', '.join(body['reasons'])}"
    click.echo(f"retraind {body['version']}, data in {body['data']}: {ready}")
    show.table(("ingest", ""), body["ingest"].items())
    series = [
        {**row["series"], "feature": feature, "state": state, "reference": row["reference"]}
        for row in body["series"]
        for feature, state in row["states"].items()
    ]
    _list(series, (*_SERIES, "feature", "state", "reference"), "Series")
    windows = [{**row["series"], **row} for row in _last(body["windows"])]
    results = ("feature", "reference", "end_at", "sessions", "verdict", "score", "p_value", "rate")
    _list(windows, (*_SERIES, *results), "Last windows")
    if body["mutes"]:
        _list(body["mutes"], MUTE_COLUMNS, "Muted")
    if body["holds"]:
        _list(body["holds"], HOLD_COLUMNS, "Holds")
    _list(body["triggers"], ("id", "service_name", "model", "reason", "created_at"), "Triggers")
    _list(body["outbox"], ("trigger_id", "destination", "status", "attempts"), "Deliveries")
    return code


def _last(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of window results, newest first, those of the last window of each series."""
    ends: dict[tuple[Any, ...], Any] = {}
    for row in windows:
        ends.setdefault(tuple(row["series"].values()), row["end_at"])
    return [row for row in windows if row["end_at"] == ends[tuple(row["series"].values())]]


@click.group()
def reference() -> None:
    """What windows are compared with.

    \b
    Examples:
      retraind reference list
      retraind reference pin --model gpt-4o --from training.parquet
      retraind reference show 734d0d65
      retraind reference diff 734d0d65
      retraind reference accept 9be71c02
    """


@reference.command("list")
@target_options
@show.json_option
def reference_list(as_json: bool, **where: Any) -> int:
    """List the references: active, proposed and superseded ones.

    Those of other kinds than pinned are what the last windows were compared with besides.
    """
    body = call(where, "GET", "/api/v1/references")
    if as_json:
        show.as_json(body["references"])
    else:
        _references(body["references"])
    return 0


@reference.command("show")
@click.argument("reference_id", metavar="ID")
@target_options
def reference_show(reference_id: str, **where: Any) -> int:
    """Print one reference with its counts, as JSON. The beginning of its ID is enough."""
    show.as_json(call(where, "GET", f"/api/v1/references/{reference_id}"))
    return 0


@reference.command("diff")
@click.argument("reference_id", metavar="ID")
@click.argument("other", metavar="[OTHER]", required=False)
@target_options
@show.json_option
def reference_diff(reference_id: str, other: str | None, as_json: bool, **where: Any) -> int:
    """Show how far reference OTHER is from reference ID, feature by feature.

    Without OTHER it is current traffic: what `reference pin` would take now.

    \b
    Examples:
      retraind reference diff 734d0d65
      retraind reference diff 734d0d65 9be71c02 --json
    """
    query = {} if other is None else {"with": other}
    body = call(where, "GET", f"/api/v1/references/{reference_id}/diff", params=query)
    if as_json:
        show.as_json(body)
        return 0
    click.echo(f"{body['other']} against {body['reference']}")
    names = ("feature", "version", "kind", "m", "n", "psi_corrected", "p_value", "method")
    _list(body["features"], (*names, "rate", "other_rate"))
    return 0


@reference.command("accept")
@click.argument("reference_id", metavar="ID")
@click.option("--by", help="Who accepts it, for the log.  [default: your login]")
@target_options
@show.json_option
def reference_accept(reference_id: str, by: str | None, as_json: bool, **where: Any) -> int:
    """Make a proposed reference the active one. A superseded one is taken up again.

    \b
    Examples:
      retraind reference accept 9be71c02
      retraind reference accept 9be71c02 --by ana
    """
    path = f"/api/v1/references/{reference_id}/accept"
    body = call(where, "POST", path, params={"by": by or _login()})
    if as_json:
        show.as_json(body["references"])
    else:
        _references(body["references"])
    return 0


@reference.command("pin")
@target_options
@show.json_option
@click.option(
    "--from", "source", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Parquet or JSON-lines file, one session a row, columns named like the features.",
)  # fmt: skip
@click.option("--monitor", help="Only series of this monitor.")
@click.option("--service", "service_name", help="Only series of this service.")
@click.option("--environment", help="Only series of this environment.")
@click.option("--model", help="Only series of this model.")
@click.option("--cohort", help="Only series of this cohort.")
@click.option("--start", type=click.DateTime(), help="Begin of the period, UTC.")
@click.option("--end", type=click.DateTime(), help="End of the period, UTC.")
@click.option("--force", is_flag=True, help="Pin also what is too small for the series' windows.")
@click.option("--propose", is_flag=True, help="Change nothing until it is accepted.")
@click.option("--by", help="Who pins it, for the log.  [default: your login]")
def reference_pin(
    as_json: bool,
    source: Path | None,
    start: Any,
    end: Any,
    force: bool,
    propose: bool,
    **rest: Any,
) -> int:
    """Make a period of traffic, or a file, the reference of every matching series.

    It needs reference.ratio times the sessions of a window; series with less are left out.

    \b
    Examples:
      retraind reference pin --service support-bot --start 2026-10-01 --end 2026-10-15
      retraind reference pin --model gpt-4o --from training.parquet --propose
    """
    if source is not None and (start is not None or end is not None):
        raise click.UsageError("Write either --from or --start and --end.")
    where = {name: rest.pop(name) for name in ("data", "url", "token_file")}
    query = {name: value for name, value in rest.items() if value is not None}
    for name, moment in (("start_ns", start), ("end_ns", end)):
        if moment is not None:
            query[name] = str(_utc_seconds(moment) * 1_000_000_000)
    query.setdefault("by", _login())
    query |= {name: "true" for name, given in (("force", force), ("propose", propose)) if given}
    content = b""
    if source is not None:
        query["source"] = source.name
        content = _arrow(_read(source))
    body = call(where, "POST", "/api/v1/references", params=query, content=content)
    for note in body["notes"]:
        click.echo(note, err=True)
    if as_json:
        show.as_json(body["references"])
    else:
        _references(body["references"])
    return 0


def _references(rows: list[dict[str, Any]]) -> None:
    now = time.time()
    shown = [row | {"age": _age(now, row["created_at"])} for row in rows]
    _list(shown, ("id", *_SERIES, "kind", "state", "source", "sessions", "age"))


def _age(now: float, created_at: str) -> str:
    seconds = max(0.0, now - datetime.fromisoformat(created_at).timestamp())
    days, hours = divmod(int(seconds // 3600), 24)
    return f"{days}d {hours}h" if days else f"{hours}h {int(seconds // 60) % 60}m"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "cli"


def _utc_seconds(moment: Any) -> int:
    from datetime import UTC  # noqa: PLC0415

    return int(moment.replace(tzinfo=UTC).timestamp())


def _read(path: Path) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415

    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq  # noqa: PLC0415

            return pq.read_table(path)
        import pyarrow.json as pj  # noqa: PLC0415

        return pj.read_json(path)
    except (pa.ArrowException, OSError) as error:
        raise click.BadParameter(f"{path} is neither Parquet nor JSON lines: {error}") from error


def _arrow(table: pa.Table) -> bytes:
    import pyarrow as pa  # noqa: PLC0415

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@click.group()
def webhook() -> None:
    """Deliveries of triggers.

    \b
    Examples:
      retraind webhook list
      retraind webhook retry rt_f79af66aea78ef0f628710c22c1a92d5 --destination pipeline
      retraind webhook test pipeline
    """


@webhook.command("list")
@target_options
@show.json_option
def webhook_list(as_json: bool, **where: Any) -> int:
    """List deliveries, newest first."""
    body = call(where, "GET", "/api/v1/webhooks")
    if as_json:
        show.as_json(body["deliveries"])
    else:
        names = ("trigger_id", "destination", "status", "attempts", "next_attempt_at")
        _list(body["deliveries"], (*names, "last_status", "last_error"))
    return 0


@webhook.command("retry")
@click.argument("trigger_id", metavar="TRIGGER")
@click.option("--destination", help="Only this destination.")
@click.option(
    "--delivered", is_flag=True, help="Also where it was delivered, for a receiver that lost it."
)
@target_options
def webhook_retry(trigger_id: str, destination: str | None, delivered: bool, **where: Any) -> int:
    """Try again at once wherever TRIGGER is not delivered, with the same id and body."""
    wanted: dict[str, Any] = {"trigger_id": trigger_id, "delivered": delivered}
    if destination is not None:
        wanted["destination"] = destination
    body = call(where, "POST", "/api/v1/webhooks/retry", json=wanted)
    click.echo(f"{body['scheduled']} scheduled")
    return 0


@webhook.command("test")
@click.argument("destination")
@target_options
def webhook_test(destination: str, **where: Any) -> int:
    """Send a signed test event to DESTINATION. Exits with 1 when it was not accepted."""
    body = call(where, "POST", "/api/v1/webhooks/test", json={"destination": destination})
    accepted = body["status"] is not None and 200 <= body["status"] < 300
    answer = body["status"] if body["error"] is None else body["error"]
    click.echo(f"{destination}: {'accepted' if accepted else 'not accepted'} ({answer})")
    return 0 if accepted else 1
