"""The command `retraind`.

Exit codes: 0 ok, 1 no (a bad configuration, a daemon that refuses or is not there), 2 usage,
3 could not start, 130 interrupted. Errors are one clear message on stderr. Heavy modules are
imported inside commands, so that `retraind --help` stays fast.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from retraind import __version__
from retraind.cli.erase import erase
from retraind.cli.explain import episodes, explain
from retraind.cli.feedback import feedback
from retraind.cli.manage import reference, status, webhook
from retraind.cli.query import sql
from retraind.cli.quiet import hold, mute, unmute
from retraind.cli.replay import replay
from retraind.cli.test import test
from retraind.errors import ConfigError, RetraindError, StartError

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Watch LLM traces over OpenTelemetry, notice drift and failing evals, ask for retraining once.

    \b
    First steps:
      retraind demo                       see all of it on simulated traffic
      retraind serve                      start with defaults, then point an exporter at :4317
      retraind status                     what the daemon sees
      retraind sql "select count(*) from spans"
    """


@cli.command(short_help="Run the daemon.")
@click.option("--config", type=_FILE, help="YAML file; without it every setting has its default.")
@click.option("--data", type=_FOLDER, help="Data folder; wins over the file.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Set one setting.")
def serve(config: Path | None, data: Path | None, overrides: tuple[str, ...]) -> int:
    """Run the daemon until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    \b
    Examples:
      retraind serve --config retraind.yaml
      retraind serve --data /var/lib/retraind --set receivers.grpc.endpoint=127.0.0.1:5317
      retraind serve --set 'monitors[0].name=support' --set tick=1s
    """
    from retraind.check import load_checked  # noqa: PLC0415

    if data is not None:
        overrides = (*overrides, "data=" + json.dumps(str(data)).replace("$", "$$"))
    try:
        settings = load_checked(config, overrides)
    except ConfigError as error:
        click.echo(error, err=True)
        return 3
    from retraind import log  # noqa: PLC0415
    from retraind.app import run as run_daemon  # noqa: PLC0415

    log.configure()
    return run_daemon(settings, lambda: load_checked(config, overrides))


@cli.command(short_help="See all of it on simulated traffic.")
@click.option("--seed", default=7, show_default=True, help="Of the simulated traffic.")
@click.option(
    "--drift", default="gpt-4o-mini/emea", show_default=True, metavar="MODEL/COHORT|none",
    help="Where the second week changes.",
)  # fmt: skip
@click.option("--keep", type=_FOLDER, metavar="DIR", help="Run in DIR and leave it for a look.")
def demo(seed: int, drift: str, keep: Path | None) -> int:
    """Simulate a support bot whose traffic drifts, and show the trigger that follows.

    Starts a daemon on free ports, sends two weeks of spans with the OpenTelemetry SDK and exits
    with 0 only when exactly the right model and cohort were named.

    \b
    Examples:
      retraind demo
      retraind demo --drift none          nothing changes: no trigger may follow
      retraind demo --keep ./demo-data    then: retraind sql --data ./demo-data "select …"
    """
    from retraind.demo.run import main as run_demo  # noqa: PLC0415

    return run_demo(seed, drift, keep)


@cli.command(short_help="Check a configuration.")
@click.option("--config", type=_FILE, help="YAML file to check.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Set one setting.")
def check(config: Path | None, overrides: tuple[str, ...]) -> int:
    """Check a configuration: every problem at once, with its line and what to write instead.

    \b
    Example:
      retraind check --config retraind.yaml && systemctl reload retraind
    """
    from retraind.check import load_checked  # noqa: PLC0415

    settings = load_checked(config, overrides)
    names = ", ".join(monitor.name for monitor in settings.monitors)
    click.echo(f"{config or 'defaults'}: ok (monitors: {names})")
    return 0


@cli.command(short_help="Print versions.")
def version() -> int:
    """Print the versions of retraind and of what it stands on."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    click.echo(f"retraind {__version__}")
    for name in ("duckdb", "pyarrow", "grpcio"):
        click.echo(f"{name} {installed(name)}")
    click.echo(f"python {'.'.join(map(str, sys.version_info[:3]))}")
    return 0


for _command in (
    status, sql, episodes, explain, feedback, reference, mute, unmute, hold, webhook, erase,
    replay, test,
):  # fmt: skip
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    code = run(args)
    sys.stdout.flush()
    sys.stderr.flush()
    if "duckdb" in sys.modules:
        # Everything is closed. The engine's binding would report its own types as leaked while the
        # interpreter is torn down, over the message that the user should read.
        os._exit(code)
    sys.exit(code)


def run(args: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - a case each
    """Run a command; returns the exit code."""
    try:
        code = cli.main(args, prog_name="retraind", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except StartError as error:
        return _fail(str(error), 3)
    except ConfigError as error:
        click.echo(error, err=True)  # `file:line:col: …`, as editors understand it
        return 1
    except RetraindError as error:
        return _fail(str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has gone; nothing may be written to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    click.echo(click.style("retraind: ", fg="red") + message, err=True)
    return code
