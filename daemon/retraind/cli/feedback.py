"""`retraind feedback`: what people say of calls, one at a time or from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from retraind.cli import show
from retraind.cli.client import Target, target_options
from retraind.cli.feedback_file import send_file

_Function = TypeVar("_Function", bound=Callable[..., Any])
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


def _judged(function: _Function) -> _Function:
    """The options of one item: what is judged, by whom, when."""
    for option in (
        click.option("--id", help="An id of your own: the same id again is a retry, stored once."),
        click.option("--time", help="When it was said, e.g. 2026-11-21T19:00:00Z; default: now."),
        click.option("--user", help="Who says so."),
        click.option("--comment", help="In the person's own words."),
        click.option("--session", "session_id", help="The judged session or conversation."),
        click.option("--response", "response_id", help="The judged completion, by its id."),
        click.option("--span", "span_id", help="The judged call; needs --trace."),
        click.option("--trace", "trace_id", help="Trace of the judged call: 32 hex digits."),
    ):
        function = option(function)
    return function


def _send(as_json: bool, options: dict[str, Any], **item: Any) -> int:
    """Send one item; options without a value are left out."""
    where = {name: options.pop(name) for name in ("data", "url", "token_file")}
    if not any(options[name] for name in ("trace_id", "response_id", "session_id")):
        raise click.UsageError(
            "Say what is judged: --trace with --span, --trace, --response or --session."
        )
    item |= {name: value for name, value in options.items() if value is not None}
    with Target(**where).client() as client:
        answer = client.post("/api/v1/feedback", json=item)
    if as_json:
        show.as_json(answer)
    else:
        click.echo("stored")
    return 0


@click.group()
def feedback() -> None:
    """Say how good an answer was: thumbs, ratings, escalations, corrections, labels.

    Name the call by --trace and --span, as tracing shows them; by --trace alone, for the first
    call of the trace; by --response, the provider's id of the completion; or by --session, for the
    whole conversation. Thumbs down and escalations are failures; a rating fails by the threshold of
    monitors[].evals.rating. Their rates are shown per series at /metrics, at the time of the call.

    \b
    Examples:
      retraind feedback thumbs down --trace 5b8e…0d41 --span 9c1f…22aa --comment "wrong country"
      retraind feedback rating 4 --scale 5 --session 7f3a
      retraind feedback escalation --session 7f3a
      retraind feedback label refund --response chatcmpl-123
      retraind feedback correction "It opens at nine." --response chatcmpl-123
      retraind feedback import feedback.jsonl
    A daemon elsewhere takes an ingest token:
      retraind feedback thumbs up --session 7f3a --url http://host:9464 --token-file token
    """


@feedback.command(short_help="Thumbs up or down.")
@click.argument("value", type=click.Choice(["up", "down"]))
@_judged
@target_options
@_json_option
def thumbs(value: str, as_json: bool, **options: Any) -> int:
    """Record thumbs up (passes) or down (a failure).

    \b
    Example:
      retraind feedback thumbs down --trace 5b8e…0d41 --span 9c1f…22aa
    """
    return _send(as_json, options, kind="thumbs", value=value)


@feedback.command(short_help="A number on a scale.")
@click.argument("value", type=float)
@click.option("--scale", type=float, default=5.0, show_default=True, help="The best rating.")
@_judged
@target_options
@_json_option
def rating(value: float, scale: float, as_json: bool, **options: Any) -> int:
    """Record a rating from 0 to --scale. Its score is VALUE / --scale.

    It passes or fails only where monitors[].evals.rating.threshold says so: 0.8 is 4 of 5.

    \b
    Example:
      retraind feedback rating 4 --scale 5 --session 7f3a
    """
    return _send(as_json, options, kind="rating", value=value, scale=scale)


@feedback.command(short_help="A human had to take over.")
@click.option("--none", is_flag=True, help="Record that nobody had to: it passes.")
@_judged
@target_options
@_json_option
def escalation(none: bool, as_json: bool, **options: Any) -> int:
    """Record that a human had to take over (a failure), or with --none that nobody had to.

    The rate is that of the sessions reported either way: report both.

    \b
    Example:
      retraind feedback escalation --session 7f3a --comment "asked for an agent"
    """
    return _send(as_json, options, kind="escalation", value=not none)


@feedback.command(short_help="The ground truth of a prediction.")
@click.argument("label")
@click.option("--right/--wrong", "passed", default=None, help="Whether the prediction was right.")
@_judged
@target_options
@_json_option
def label(label: str, passed: bool | None, as_json: bool, **options: Any) -> int:
    """Record the ground truth LABEL of a prediction.

    \b
    Example:
      retraind feedback label refund --wrong --response chatcmpl-123
    """
    verdict = {} if passed is None else {"passed": passed}
    return _send(as_json, options, kind="label", value=label, **verdict)


@feedback.command(short_help="What the answer should have been.")
@click.argument("text")
@_judged
@target_options
@_json_option
def correction(text: str, as_json: bool, **options: Any) -> int:
    """Record TEXT as what the answer should have been.

    \b
    Example:
      retraind feedback correction "It opens at nine." --response chatcmpl-123
    """
    return _send(as_json, options, kind="correction", value=text)


@feedback.command("import", short_help="Many, from a file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--evaluations", is_flag=True, help="The file holds results of evaluators: name, score, …"
)
@target_options
@_json_option
def import_(file: Path, evaluations: bool, as_json: bool, **where: Any) -> int:
    """Send every row of FILE: JSON lines, or CSV with a head line.

    Fields are those of the API: kind, value, scale, trace_id, span_id, response_id, session_id,
    time, user, comment, id. Empty cells of a CSV are left out. Bad rows are reported by their line
    and cost no good one; the exit code is 1 when there were any. The same file sent again within
    an hour, whole or after an interruption, is stored once.

    \b
    Examples:
      retraind feedback import feedback.jsonl
      retraind feedback import ratings.csv --json
      retraind feedback import judged.jsonl --evaluations
    """
    api = "evaluations" if evaluations else "feedback"
    with Target(**where).client() as client:
        answer = send_file(client, api, file)
    if as_json:
        show.as_json(answer)
    else:
        for error in answer["errors"]:
            click.echo(f"{file}:{error['line']}: {error['error']}", err=True)
        click.echo(f"{answer['accepted']} stored, {answer['rejected']} rejected")
    return 1 if answer["rejected"] else 0
