"""Reads the configuration: one YAML file, none needed, and `--set path=value` on top.

Every error of the file is reported at once, each on a line of its own as
`file:line:col: path: what is wrong, and what to write instead`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from retraind.config.describe import in_units, known_keys
from retraind.config.document import Document, Loc, Mark, Problem, parse
from retraind.config.settings import Config
from retraind.errors import ConfigError

_PATTERN_HINTS = {
    "endpoint": "write host:port, e.g. 127.0.0.1:4317 or [::1]:4317",
    "name": "use up to 63 letters, digits, _ and . (a monitor's or destination's name also -)",
    "url": "write an http:// or https:// address",
}
_KINDS = {
    "int": "a whole number, e.g. 100",
    "float": "a number, e.g. 0.25",
    "finite": "a number, e.g. 0.25",
    "bool": "true or false",
    "string": "text (in quotes if it looks like a number)",
    "path": "a path",
}
_BOUNDS = {
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
}
_STEP = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, and where each of its settings was written."""

    config: Config
    source: str
    marks: Mapping[Loc, Mark]

    def problem(self, loc: Loc, text: str) -> Problem:
        """An error about the setting at `loc`, at its place or at its nearest section's."""
        return Problem(_nearest(self.marks, loc, self.source), loc, text)


def load(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a file (None: all defaults) with overrides. Raises ConfigError."""
    return load_with_marks(path, overrides).config


def load_with_marks(
    path: Path | None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Loaded:
    """As `load`, with the marks that later checks need. Raises ConfigError with every problem."""
    environ = os.environ if environ is None else environ
    source = str(path) if path is not None else "defaults"
    document = _read(path, environ)
    for override in overrides:
        _apply(document, override, environ)
    config = None
    broken = {problem.loc for problem in document.problems if problem.loc}
    if document.value is None or isinstance(document.value, dict):
        try:
            config = Config.model_validate({} if document.value is None else document.value)
        except ValidationError as error:
            document.problems += _explain(error, document, source, broken)
    if document.problems or config is None:
        raise_problems(document.problems)
    return Loaded(cast(Config, config), source, document.values)


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raises one ConfigError that lists the problems in the order of the file."""
    ordered = sorted(problems, key=lambda problem: (problem.mark.line, problem.mark.column))
    raise ConfigError("\n".join(dict.fromkeys(str(problem) for problem in ordered)))


def _read(path: Path | None, environ: Mapping[str, str]) -> Document:
    if path is None:
        return Document()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigError(f"{path}: cannot be read: {reason}; give a readable file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    document = parse(text, str(path), path.parent.absolute(), environ)
    if document.value is not None and not isinstance(document.value, dict):
        mark = document.values[()]
        document.problems.append(Problem(mark, (), "needs settings at the top; write `key: value`"))
    return document


def _apply(document: Document, override: str, environ: Mapping[str, str]) -> None:
    """Puts one `path=value` into the document; the value is YAML, relative files are from here."""
    mark = Mark(f"--set {override}")
    path, equals, text = override.partition("=")
    steps = [int(step) if step.isdigit() else step for step in _STEP.findall(path)]
    if not equals or not steps or isinstance(steps[0], int):
        document.problems.append(
            Problem(mark, (), "is not a setting; write path=value, e.g. tick=5s")
        )
        return
    leaf = steps[-1]
    wrapped = parse(text, mark.source, Path.cwd(), environ)
    value = wrapped.value
    if str(leaf).endswith("_file") and isinstance(value, str):
        value = str(Path.cwd() / value)
    loc = tuple(steps)
    document.problems += [Problem(mark, loc + each.loc, each.text) for each in wrapped.problems]
    try:
        document.value = _with(document.value, loc, value)
    except ValueError as error:
        document.problems.append(Problem(mark, loc, str(error)))
        return
    for known in [known for known in document.values if known[: len(loc)] == loc]:
        document.values.pop(known), document.keys.pop(known, None)
    document.values[loc] = document.keys[loc] = mark
    for end in range(1, len(loc)):
        document.values.setdefault(loc[:end], mark)
        document.keys.setdefault(loc[:end], mark)


def _with(container: Any, loc: Loc, value: Any) -> Any:
    """`container` with `value` at `loc`; sections and the next element of a list are created."""
    if not loc:
        return value
    step, rest = loc[0], loc[1:]
    if isinstance(step, int):
        items = list(container) if isinstance(container, list) else []
        if step > len(items):
            raise ValueError(f"there is no element {step - 1} yet; the next one is {len(items)}")
        items[step:] = [
            _with(items[step] if step < len(items) else None, rest, value),
            *items[step + 1 :],
        ]
        return items
    mapping = dict(container) if isinstance(container, dict) else {}
    mapping[step] = _with(mapping.get(step), rest, value)
    return mapping


def _explain(
    error: ValidationError, document: Document, source: str, broken: set[Loc]
) -> list[Problem]:
    """pydantic's errors in our words, without those that follow from a problem already known."""
    problems = []
    for item in error.errors(include_url=False):
        loc = _location(item["loc"], document.value)
        if loc is None or any(loc[: len(known)] == known for known in broken):
            continue
        marks = document.keys if item["type"] == "extra_forbidden" else document.values
        mark = _nearest(marks, loc, source)
        if mark.line == 0 and loc not in marks:
            mark = _nearest(document.values, loc, source)
        problems.append(Problem(mark, loc, _words(item, loc)))
    return problems


def _location(raw: tuple[str | int, ...], value: Any) -> Loc | None:
    """pydantic's location without names of union members; None for a member that was not meant."""
    loc: list[str | int] = []
    for step in raw:
        if step in ("str", "Feature") and len(loc) >= 2 and loc[-2] == "features":
            if (step == "str") != isinstance(value, str):
                return None
            continue
        loc.append(step)
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        else:
            value = None
    return tuple(loc)


def _nearest(marks: Mapping[Loc, Mark], loc: Loc, source: str) -> Mark:
    for end in range(len(loc), -1, -1):
        if loc[:end] in marks:
            return marks[loc[:end]]
    return Mark(source)


def _words(item: Any, loc: Loc) -> str:  # noqa: PLR0911 - a case each
    """What is wrong and what to write instead, for one of pydantic's errors."""
    kind, context, given = item["type"], item.get("ctx", {}), item["input"]
    if kind == "extra_forbidden":
        known = known_keys(loc[:-1])
        return f"unknown setting; {suggest(str(loc[-1]), list(known))}"
    if kind == "missing":
        setting = known_keys(loc[:-1]).get(str(loc[-1]))
        about = f" ({setting.description.rstrip('.')})" if setting else ""
        return f"is missing; add `{loc[-1]}: …`{about}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{given!r} is not a choice; {suggest(str(given), choices, 'write one of')}"
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        (bound,) = context.values()
        written = in_units(bound, known_keys(loc[:-1])[str(loc[-1])].kind)
        return f"{given!r} is out of range; write a value {_BOUNDS[kind]} {written}"
    if given is None:
        return "is empty; write a value or remove the line"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{given!r} is not a section; write its settings below it as `key: value`"
    if kind in ("tuple_type", "list_type"):
        return f"{given!r} is not a list; write `[a, b]` or lines that begin with `- `"
    if loc[-1] in _PATTERN_HINTS and kind in ("string_type", "string_pattern_mismatch"):
        return f"{given!r} is not valid; {_PATTERN_HINTS[str(loc[-1])]}"
    return f"{given!r} is not valid; write {_KINDS.get(kind.split('_')[0], item['msg'])}"


def suggest(given: str, known: Sequence[str], lead: str = "known here:") -> str:
    """`did you mean 'x'?` when one is close, else all that is known."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"{lead} {', '.join(known)}"
