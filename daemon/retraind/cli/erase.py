"""`retraind erase`: all that is stored of a user or a trace, for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from retraind.cli import show
from retraind.cli.client import Target, Unreachable, target_options

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Erase a user's or a trace's rows.")
@click.option("--user", help="User id as the application sends it; all traces that name it go.")
@click.option("--trace", help="Trace id, 32 hex digits.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@show.json_option
@click.option(
    "--config", type=_FILE, help="Configuration of a stopped daemon, for the key of hashed ids."
)
@target_options
def erase(
    user: str | None, trace: str | None, yes: bool, as_json: bool, config: Path | None,
    data: Path, url: str | None, token_file: Path | None,
) -> int:  # fmt: skip
    """Erase everything stored of a user or of a trace, for good.

    Spans, evaluations, logs and rejected items go; counts that windows and drift are made of stay.
    Lists the datasets that are registered: they are copies, look for the rows there too.

    \b
    Examples:
      retraind erase --user alice@example.com
      retraind erase --trace 5b8efff798038103d269b633813fc60c --yes
    """
    if (user is None) == (trace is None):
        raise click.UsageError("Write either --user or --trace.")
    if not yes:
        what = f"user {user}" if user is not None else f"trace {trace}"
        click.confirm(f"Erase everything of {what}?", abort=True)
    body = _erase(Target(data, url, token_file), user, trace, config)
    if as_json:
        show.as_json(body)
        return 0
    counts = ", ".join(f"{n} {table}" for table, n in body["rows"].items() if n) or "nothing"
    click.echo(f"erased: {counts}; {body['files']} files written anew")
    if body["datasets"]:
        show.table(list(body["datasets"][0]), (row.values() for row in body["datasets"]))
    else:
        click.echo("no datasets are registered")
    return 0


def _erase(target: Target, user: str | None, trace: str | None, config: Path | None) -> Any:
    wanted = {"user": user} if user is not None else {"trace": trace}
    try:
        with target.client() as client:
            return client.request("POST", "/api/v1/erase", json=wanted, timeout=None).json()
    except Unreachable:
        if target.url is not None or not (target.data / "retraind.duckdb").exists():
            raise
        return _erase_stopped(target.data, user, trace, config)


def _erase_stopped(data: Path, user: str | None, trace: str | None, config: Path | None) -> Any:
    from retraind import log  # noqa: PLC0415
    from retraind.clock import SystemClock  # noqa: PLC0415
    from retraind.config.load import load  # noqa: PLC0415
    from retraind.console.encode import plain  # noqa: PLC0415
    from retraind.store.database import Database  # noqa: PLC0415
    from retraind.store.erase import erase as erase_rows  # noqa: PLC0415
    from retraind.store.erase import selection  # noqa: PLC0415
    from retraind.telemetry import Telemetry  # noqa: PLC0415

    log.configure(level="warning")
    settings = load(config)
    chosen = selection(settings.content, user, trace)
    database = Database.open(data, settings.store, Telemetry(), SystemClock())
    try:
        database.start()
        erased = erase_rows(database, chosen)
    finally:
        database.close()
    return plain({"files": erased.files, "rows": erased.rows, "datasets": erased.datasets})
