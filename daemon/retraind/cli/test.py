"""`retraind test`: unit tests of monitors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retraind.cli import show
from retraind.errors import ConfigError

if TYPE_CHECKING:
    from retraind.monitor_tests.run import Result

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Run unit tests of monitors.")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@show.json_option
def test(files: tuple[Path, ...], as_json: bool) -> int:
    """Run the unit tests of monitors in FILES: series in short notation, expected states, triggers.

    The counts go through the windows, tests and policies of the daemon. Nothing is random, nothing
    is stored. See docs/testing-monitors.md.

    Exit codes: 0 all passed, 1 some failed, 2 a file is not valid.

    \b
    Examples:
      retraind test monitors_test.yaml
      retraind test tests/*.yaml --json
    """
    from retraind import log  # noqa: PLC0415
    from retraind.monitor_tests.document import load_tests  # noqa: PLC0415
    from retraind.monitor_tests.run import run_tests  # noqa: PLC0415

    log.configure(level="error")
    results: list[tuple[Path, list[Result]]] = []
    try:
        for file in files:
            with tempfile.TemporaryDirectory(prefix="retraind-test-") as scratch:
                results.append((file, run_tests(load_tests(file), Path(scratch))))
    except ConfigError as error:
        click.echo(error, err=True)
        return 2
    failed = any(result.failures for _, found in results for result in found)
    if as_json:
        show.as_json({"passed": not failed, "files": [_body(*each) for each in results]})
    else:
        for file, found in results:
            _print(file, found)
    return 1 if failed else 0


def _print(file: Path, results: list[Result]) -> None:
    failures = [failure for result in results for failure in result.failures]
    for failure in failures:
        click.echo(str(failure))
    bad = sum(bool(result.failures) for result in results)
    said = f"{bad} of {len(results)} tests failed" if bad else f"{len(results)} tests passed"
    click.echo(f"{file}: {said}")


def _body(file: Path, results: list[Result]) -> dict[str, Any]:
    return {
        "file": str(file),
        "tests": [
            {
                "name": result.name,
                "passed": not result.failures,
                "failures": [
                    {"line": each.mark.line, "about": each.about, "expected": each.expected,
                     "got": each.got}
                    for each in result.failures
                ],
            }
            for result in results
        ],
    }  # fmt: skip
