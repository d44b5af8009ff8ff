"""The series of a test: which they are, and their hours counted."""

from __future__ import annotations

from typing import Any

from retraind.config.document import Loc, Problem
from retraind.config.load import raise_problems
from retraind.config.settings import Config
from retraind.model import SeriesKey
from retraind.monitor_tests.document import Input, LoadedTests, MonitorTest
from retraind.monitor_tests.feed import Hours
from retraind.monitor_tests.notation import parse
from retraind.window.plan import MonitorPlan

DEFAULT_SERVICE, DEFAULT_MODEL = "service", "model"


def count_series(loaded: LoadedTests, number: int, test: MonitorTest) -> list[Hours]:
    """The series of a test, counted. Raises ConfigError with every problem of its notation."""
    problems: list[Problem] = []
    found: dict[SeriesKey, Hours] = {}
    for at, each in enumerate(test.series):
        loc: Loc = ("tests", number, "series", at)
        try:
            key = _key(loaded.config, each)
            if key in found:
                raise ValueError(f"there is a series {named(key)} already")
        except ValueError as error:
            problems.append(Problem(loaded.mark(*loc), loc, str(error)))
            continue
        hours = _Counting(loaded, loc, problems).series(key, start_ns(test), each)
        if hours is not None:
            found[key] = hours
    if problems:
        raise_problems(problems)
    return list(found.values())


def _key(config: Config, each: Input) -> SeriesKey:
    monitors = config.monitors_by_name
    if each.monitor is None and len(monitors) > 1:
        raise ValueError(f"needs `monitor`; there are {', '.join(monitors)}")
    name = each.monitor if each.monitor is not None else next(iter(monitors))
    if name not in monitors:
        raise ValueError(f"there is no monitor {name!r}; there are {', '.join(monitors)}")
    match = monitors[name].match
    key = SeriesKey(
        name,
        each.service_name
        if each.service_name is not None
        else match.service_name or DEFAULT_SERVICE,
        each.environment if each.environment is not None else match.environment or "",
        each.model if each.model is not None else DEFAULT_MODEL,
        each.cohort or "",
    )
    watched = (match.service_name or key.service_name, match.environment or key.environment)
    if watched != (key.service_name, key.environment):
        raise ValueError(f"the monitor {name!r} watches only {'/'.join(filter(None, watched))}")
    return key


class _Counting:
    """Counts one series and notes what is wrong with its notation."""

    def __init__(self, loaded: LoadedTests, loc: Loc, problems: list[Problem]) -> None:
        self._loaded, self._loc, self._problems = loaded, loc, problems

    def series(self, key: SeriesKey, start_ns: int, each: Input) -> Hours | None:
        plan = MonitorPlan.from_settings(self._loaded.config.monitors_by_name[key.monitor])
        try:
            sessions = _sessions(each.sessions)
        except ValueError as error:
            self._problem(error, "sessions")
            return None
        hours = Hours(key, start_ns, sessions)
        for name, text in each.features.items():
            try:
                values = _as_long(parse(text), len(sessions))
                hours.feature(plan, name, values, self._loaded.config.limits.categories)
            except ValueError as error:
                self._problem(error, "features", name)
        for name, text in each.evals.items():
            try:
                values = _as_long(parse(text), len(sessions))
                hours.evaluation(plan.eval_plan(name), name, values)
            except ValueError as error:
                self._problem(error, "evals", name)
        return hours

    def _problem(self, error: ValueError, *steps: str) -> None:
        loc = (*self._loc, *steps)
        self._problems.append(Problem(self._loaded.mark(*loc), loc, str(error)))


def _sessions(text: str) -> list[int]:
    counts = []
    for value in parse(text):
        if value is not None and (not isinstance(value, float) or value < 0):
            raise ValueError("needs whole numbers of sessions, e.g. 300x14d")
        counts.append(round(value or 0.0))
    if not any(counts):
        raise ValueError("has no session at all")
    return counts


def _as_long(values: list[Any], hours: int) -> list[Any]:
    if len(values) != hours:
        raise ValueError(f"has {len(values)} hours, but sessions has {hours}")
    return values


def start_ns(test: MonitorTest) -> int:
    """When a test begins, in nanoseconds since 1970."""
    return int(test.start.timestamp()) * 1_000_000_000


def named(key: SeriesKey) -> str:
    """A series as messages name it."""
    return "/".join(filter(None, (key.service_name, key.environment, key.model, key.cohort)))
