"""The form of a test file, and reading it: every problem at once, each with its line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from retraind.check import check, load_checked
from retraind.config.document import Document, Loc, Mark, Problem, parse
from retraind.config.load import Loaded, raise_problems, suggest
from retraind.config.settings import Config, Duration, Monitor, Section
from retraind.errors import ConfigError
from retraind.policy.alarms import AlarmState, Verdict

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
Reason = Literal["golden_drop", "eval_fail_rate", "label_feedback", "drift", "schedule"]


class Place(Section):
    """Which series is meant. Unset fits every one."""

    monitor: str | None = None
    service_name: str | None = None
    environment: str | None = None
    model: str | None = None
    cohort: str | None = None


class Input(Place):
    """One series: sessions of each hour, and what they are like."""

    sessions: str
    features: dict[str, str] = Field(default_factory=dict)
    evals: dict[str, str] = Field(default_factory=dict)

    @field_validator("sessions", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

    @field_validator("features", "evals", mode="before")
    @classmethod
    def _as_texts(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: cls._as_text(value) for name, value in values.items()}


class StateAt(Place):
    """What a feature or an eval is like after the last window that closed by `at`."""

    at: Duration
    feature: str | None = None
    eval: str | None = None
    state: AlarmState | None = None
    band: Verdict | None = None

    @model_validator(mode="after")
    def _complete(self) -> StateAt:
        if (self.feature is None) == (self.eval is None):
            raise ValueError("needs either `feature` or `eval`")
        if self.state is None and self.band is None:
            raise ValueError("expects nothing; add `state` or `band`")
        return self


class TriggerAt(Place):
    """One trigger: at a time exactly, or after one and by another."""

    at: Duration | None = None
    after: Duration | None = None
    by: Duration | None = None
    reasons: tuple[Reason, ...] | None = None
    features: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _timed(self) -> TriggerAt:
        if (self.at is None) == (self.after is None and self.by is None):
            raise ValueError("needs either `at`, or `after` and `by` or one of them")
        return self


class MonitorTest(Section):
    name: str
    start: datetime = MONDAY
    series: tuple[Input, ...] = Field(min_length=1)
    states: tuple[StateAt, ...] = ()
    triggers: tuple[TriggerAt, ...] | None = None

    @field_validator("start")
    @classmethod
    def _whole_hour(cls, start: datetime) -> datetime:
        start = start if start.tzinfo is not None else start.replace(tzinfo=UTC)
        if start.timestamp() % 3600:
            raise ValueError("must be a whole hour (UTC), e.g. 2024-01-01T00:00:00")
        return start

    @model_validator(mode="after")
    def _expects(self) -> MonitorTest:
        if not self.states and self.triggers is None:
            raise ValueError("expects nothing; add `states`, or `triggers` (`[]` for none)")
        return self


class MonitorTests(Section):
    """A whole file: the monitors of `config`, or those that it writes itself."""

    config: str | None = None
    monitors: tuple[Monitor, ...] | None = None
    tests: tuple[MonitorTest, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> MonitorTests:
        if (self.config is None) == (self.monitors is None):
            raise ValueError("needs either `config: retraind.yaml` or `monitors:`")
        return self


@dataclass(frozen=True, slots=True)
class LoadedTests:
    """A valid test file, the configuration that it tests, and where each of its values stands."""

    path: Path
    config: Config
    tests: tuple[MonitorTest, ...]
    marks: Mapping[Loc, Mark]

    def mark(self, *loc: str | int) -> Mark:
        """Where something stands, or the nearest thing around it."""
        return _nearest(self.marks, loc, str(self.path))


def load_tests(path: Path) -> LoadedTests:
    """Read a test file and its configuration. Raises ConfigError with every problem."""
    document = _read(path)
    written = None
    if not document.problems:
        try:
            written = MonitorTests.model_validate(document.value or {})
        except ValidationError as error:
            document.problems += _explain(error, document, str(path))
    if written is None or document.problems:
        raise_problems(document.problems)
    assert written is not None
    config = _config(path, written, document)
    return LoadedTests(path, config, written.tests, document.values)


def _read(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from error
    return parse(text, str(path), path.parent.absolute(), os.environ)


def _config(path: Path, written: MonitorTests, document: Document) -> Config:
    if written.config is not None:
        return load_checked(path.parent / written.config)
    config = Config.model_validate({"monitors": document.value["monitors"]})
    problems = check(Loaded(config, str(path), document.values))
    if problems:
        raise_problems(problems)
    return config


def _explain(error: ValidationError, document: Document, source: str) -> list[Problem]:
    """pydantic's errors with the places that they are about."""
    found = []
    for item in error.errors(include_url=False):
        loc = tuple(step for step in item["loc"] if step not in ("str", "Feature"))
        marks = document.keys if item["type"] == "extra_forbidden" else document.values
        mark = _nearest(marks if loc in marks else document.values, loc, source)
        found.append(Problem(mark, loc, _words(item, loc)))
    return found


def _words(item: Any, loc: Loc) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "missing":
        return f"is missing; add `{loc[-1]}: …`"
    if item["type"] == "extra_forbidden":
        return f"unknown key; {suggest(str(loc[-1]), _keys(loc))}"
    if item["type"] == "literal_error":
        return f"{item['input']!r} is not a choice; write {item['ctx']['expected']}"
    return f"{item['input']!r} is not valid: {item['msg'].lower()}"


def _keys(loc: Loc) -> list[str]:
    """What may be written where an unknown key is."""
    models: dict[str, type[Section]] = {
        "tests": MonitorTest, "series": Input, "states": StateAt, "triggers": TriggerAt,
        "monitors": Monitor,
    }  # fmt: skip
    sections = [step for step in loc[:-1] if step in models]
    model = models[str(sections[-1])] if sections else MonitorTests
    return list(model.model_fields)


def _nearest(marks: Mapping[Loc, Mark], loc: Loc, source: str) -> Mark:
    for end in range(len(loc), -1, -1):
        if loc[:end] in marks:
            return marks[loc[:end]]
    return Mark(source)
