"""`retraind replay`: other settings over the stored past, beside what was decided then."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retraind.cli import show
from retraind.errors import ConfigError, RetraindError

if TYPE_CHECKING:
    from retraind.replay.compare import Comparison
    from retraind.replay.run import AsOf, Replayer, Run
    from retraind.store.recorded import Recorded

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_SHOWN = 20


class Trouble(click.ClickException):
    """The replay could not run: 1 is for triggers that differ."""

    exit_code = 2


def _moment(text: str) -> int:
    """Nanoseconds since 1970 of a date or a time in ISO 8601, UTC when it has no offset."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not a time; write e.g. 2026-10-01 or 2026-10-01T12:00Z"
        ) from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000


def _time_or_seq(text: str) -> AsOf:
    from retraind.replay.run import AsOf  # noqa: PLC0415

    if text.isdigit() and len(text) != 8:  # 20261001 is a date
        return AsOf(seq=int(text))
    return AsOf(now_ns=_moment(text))


@click.command(short_help="Run other settings over the stored past.")
@click.option("--config", type=_FILE, required=True, help="YAML file with the settings to try.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Set one setting.")
@click.option(
    "--from",
    "first",
    type=_moment,
    metavar="TIME",
    help="Show decisions of windows that end from here on; default: all.",
)
@click.option(
    "--to",
    "last",
    type=_moment,
    metavar="TIME",
    help="Only windows that end before; default: all.",
)
@click.option(
    "--as-of",
    type=_time_or_seq,
    metavar="TIME|SEQ",
    help="Read for each decision only what the daemon had read then, up to TIME or SEQ.",
)
@click.option("--data", type=_FOLDER, help="Data folder; wins over the file.")
@show.json_option
def replay(
    config: Path, overrides: tuple[str, ...], first: int | None, last: int | None,
    as_of: AsOf | None, data: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Print what other settings would have fired, beside what did fire.

    Everything is decided anew by the daemon's own code, from the first stored row on: references,
    alarms, episodes, cooldowns. Nothing is sent and nothing in the data folder changes. Times are
    event times, except of --as-of. Beside a running daemon it reads the sealed segments and the
    newest snapshot; stop the daemon to replay the last hours, too.

    Without --as-of every decision reads all rows that there are now; where rows that arrived later
    decide otherwise, that is said. With --as-of each reads what the daemon had read: the same
    settings give the same decisions.

    Exit codes: 0 the same triggers, 1 others, 2 it could not run.

    \b
    Examples:
      retraind replay --config retraind.yaml --as-of 2026-10-15
      retraind replay --config new.yaml --from 2026-10-01 --to 2026-10-15
      retraind replay --config new.yaml --set 'monitors[0].detector.bands.retrain=0.4' --json
    """
    from retraind import log  # noqa: PLC0415

    log.configure(level="error")
    try:
        return _replay(config, overrides, first or 0, last, as_of, data, as_json)
    except ConfigError as error:
        click.echo(error, err=True)
        return 2
    except RetraindError as error:
        raise Trouble(str(error)) from error


def _replay(
    config: Path, overrides: tuple[str, ...], first: int, last: int | None, as_of: AsOf | None,
    data: Path | None, as_json: bool,
) -> int:  # fmt: skip
    from retraind.check import load_checked  # noqa: PLC0415
    from retraind.replay.compare import compare  # noqa: PLC0415
    from retraind.replay.history import END_OF_TIME_NS  # noqa: PLC0415
    from retraind.replay.run import Replayer  # noqa: PLC0415
    from retraind.store.recorded import open_recorded, scratch_state  # noqa: PLC0415

    settings = load_checked(config, overrides)
    last = last or END_OF_TIME_NS
    with (
        tempfile.TemporaryDirectory(prefix="retraind-replay-") as scratch,
        open_recorded(data or settings.data, Path(scratch) / "recorded") as recorded,
        scratch_state(Path(scratch) / "replayed") as state,
    ):
        run = _run(Replayer(recorded, state, settings), last, as_of)
        found = compare(recorded.state, state, run, first, last)
        if as_json:
            show.as_json(_body(run, found, recorded))
        else:
            _print(run, found, recorded, as_of is not None)
    return 1 if found.differs else 0


def _run(replayer: Replayer, last: int, as_of: AsOf | None) -> Run:
    with _progress() as on_progress:
        if as_of is not None:
            return replayer.as_of(as_of, on_progress)
        return replayer.plain(last, on_progress)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; nothing where nobody looks."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bars:
        bar = bars.add_task("Replaying")
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _body(run: Run, found: Comparison, recorded: Recorded) -> dict[str, Any]:
    return {
        "begin": _time(run.begin_ns),
        "end": _time(run.end_ns),
        "through_seq": run.through_seq,
        "snapshot": recorded.snapshot.name if recorded.snapshot else None,
        "segments_left_out": recorded.left_out,
        "references_not_used": run.unpinned,
        "triggers": [
            _trigger(row.side, row.fired) for row in found.rows
        ],
        "windows": {
            "alike": found.alike, "with_later_rows": found.later,
            "other_verdict_same_rows": found.verdicts,
        },
        "later_rows_decide_otherwise": [
            {**_series(row.series), "feature": row.feature, "version": row.version,
             "start": _time(row.start_ns), "end": _time(row.end_ns),
             "recorded": row.recorded, "replayed": row.replayed,
             "sessions_recorded": row.sessions_recorded,
             "sessions_replayed": row.sessions_replayed}
            for row in found.windows
        ],
        "series": [
            {**_series(each.series), "begin": _time(each.begin_ns),
             "reference": "rebuilt" if each.rebuilt else each.reference_id or None}
            for each in run.begun
        ],
        "digest": run.digest,
    }  # fmt: skip


def _print(run: Run, found: Comparison, recorded: Recorded, as_of: bool) -> None:
    for line in _introduction(run, recorded, as_of):
        click.echo(line)
    show.table(
        ("time", "policy", "reasons", "features", "recorded", "replayed"),
        (_cells(row.side, row.fired) for row in found.rows),
        title=None if found.rows else "No triggers on either side.",
    )
    for line in _conclusion(found):
        click.echo(line)
    if found.windows:
        heads = ("series", "feature", "window ends", "recorded", "replayed", "sessions")
        show.table(heads, (
            (_named(row.series), row.feature, _time(row.end_ns), row.recorded, row.replayed,
             f"{row.sessions_recorded} -> {row.sessions_replayed}")
            for row in found.windows[:_SHOWN]
        ), title="Later rows decide otherwise")  # fmt: skip
        if len(found.windows) > _SHOWN:
            click.echo(f"… and {len(found.windows) - _SHOWN} more; --json lists them all")


def _introduction(run: Run, recorded: Recorded, as_of: bool) -> Iterator[str]:
    how = "each window with the rows read then" if as_of else "with every row there is now"
    yield (
        f"Replayed {_time(run.begin_ns)} to {_time(run.end_ns)}, rows up to seq {run.through_seq}, "
        f"{how}."
    )
    taken = [each for each in run.begun if not each.rebuilt]
    if len(taken) < len(run.begun) or not run.begun:
        yield f"References rebuilt from history: {len(run.begun) - len(taken)} series."
    if taken:
        without = sum(not each.reference_id for each in taken)
        yield (
            f"Rows before {_time(run.begin_ns)} are gone: {len(taken)} series begin there with the "
            f"reference they had then ({without} of them had none), with alarms and cooldowns "
            "unknown."
        )
    if recorded.snapshot is not None:
        yield (
            f"A daemon runs: what it decided is read from {recorded.snapshot.name}, and rows only "
            "from sealed segments. Stop it to replay the rest."
        )
    if run.unpinned and not as_of:
        yield (
            f"{run.unpinned} references were pinned by hand at a later time than that of any "
            "window and are not used; --as-of uses them."
        )
    if recorded.left_out:
        yield f"Segment files were left out of {recorded.left_out} reads: too many for one read."


def _conclusion(found: Comparison) -> Iterator[str]:
    sides = [row.side for row in found.rows]
    yield (
        f"{sides.count('both')} triggers on both sides, {sides.count('only recorded')} only "
        f"recorded, {sides.count('only replayed')} only replayed."
    )
    yield (
        f"{found.alike} results of the same windows: {found.verdicts} with another verdict on the "
        f"same rows; to {found.later} rows came after the decision, and {len(found.windows)} of "
        "them are decided otherwise now."
    )


def _cells(side: str, fired: Any) -> tuple[str, ...]:
    names = (fired.service_name, fired.environment, fired.model)
    policy = f"{fired.monitor}: {'/'.join(filter(None, names))}"
    return (
        _time(fired.at_ns), policy, ", ".join(fired.reasons), ", ".join(fired.features),
        "" if side == "only replayed" else fired.id, "" if side == "only recorded" else fired.id,
    )  # fmt: skip


def _trigger(side: str, fired: Any) -> dict[str, Any]:
    values = fired._asdict()
    return {"side": side, "at": _time(values.pop("at_ns")), **values}


def _series(key: Any) -> dict[str, str]:
    names = ("monitor", "service_name", "environment", "model", "cohort")
    return {name: getattr(key, name) for name in names}


def _named(key: Any) -> str:
    return f"{key.monitor}: {'/'.join(filter(None, list(_series(key).values())[1:]))}"


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
