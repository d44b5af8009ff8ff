"""Runs tests of monitors: panes from short notation, then the daemon's own windows and policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from retraind.config.document import Mark
from retraind.evaluate.decisions import Decider
from retraind.evaluate.memory import Memory, Series, SourceState, load
from retraind.evaluate.panes import series_id, series_row
from retraind.evaluate.tables import rows_table
from retraind.evaluate.windows import WindowEvaluator
from retraind.model import HOUR_NS
from retraind.monitor_tests.document import LoadedTests, MonitorTest, Place, TriggerAt
from retraind.monitor_tests.feed import Hours
from retraind.monitor_tests.inputs import count_series, named, start_ns
from retraind.monitor_tests.states import state_of
from retraind.replay import history
from retraind.replay.history import Fired
from retraind.store.recorded import scratch_state
from retraind.store.state import State
from retraind.telemetry import Telemetry
from retraind.window.plan import MonitorPlan
from retraind.window.watermark import SourceClock

_PLACE = tuple(Place.model_fields)


class Failure(NamedTuple):
    """One expectation that was not met."""

    mark: Mark
    test: str
    about: str
    expected: str
    got: str

    def __str__(self) -> str:
        return (
            f"{self.mark}: {self.test}: {self.about}: expected {self.expected}, got {self.got}"
        )  # fmt: skip


class Result(NamedTuple):
    name: str
    failures: Sequence[Failure]


def run_tests(loaded: LoadedTests, scratch: Path) -> list[Result]:
    """Every test of a file, each on a state of its own. Raises ConfigError for a bad notation."""
    inputs = [count_series(loaded, at, test) for at, test in enumerate(loaded.tests)]
    results = []
    for at, (test, hours) in enumerate(zip(loaded.tests, inputs, strict=True)):
        with scratch_state(scratch / str(at)) as state:
            failures = _Run(loaded, at, test, state).failures(hours)
        results.append(Result(test.name, failures))
    return results


class _Run:
    """One test on an empty state."""

    def __init__(self, loaded: LoadedTests, number: int, test: MonitorTest, state: State) -> None:
        self._loaded, self._number, self._test, self._state = loaded, number, test, state
        self._start_ns = start_ns(test)
        config, telemetry = loaded.config, Telemetry()
        plans = [MonitorPlan.from_settings(monitor) for monitor in config.monitors]
        decider = Decider(config, telemetry)
        self._windows = WindowEvaluator(state, config, plans, decider, telemetry)

    def failures(self, inputs: Sequence[Hours]) -> list[Failure]:
        memory = self._fill(inputs)
        failures: list[Failure] = []
        ends = sorted(
            (end, source)
            for source in memory.sources
            for end in self._windows.ends(memory, source)
        )  # fmt: skip
        waiting = sorted(range(len(self._test.states)), key=lambda i: self._test.states[i].at)
        for end, source in ends:
            while waiting and self._at(self._test.states[waiting[0]].at) < end:
                failures += self._state_failures(memory, waiting.pop(0))
            memory.sources[source].closed_ns = end
            self._windows.evaluate_source(memory, source, end)
        for index in waiting:
            failures += self._state_failures(memory, index)
        failures += self._trigger_failures()
        return sorted(failures, key=lambda failure: failure.mark.line)

    def _fill(self, inputs: Sequence[Hours]) -> Memory:
        end_ns = self._start_ns
        memory = load(self._state)
        with self._state.transaction() as tx:
            for each in inputs:
                rows = each.rows()
                series = Series(series_id(each.key), each.key, each.first_ns, each.first_ns)
                memory.series[series.id] = series
                tx.append("series", rows_table([series_row(series)]))
                tx.append("panes", rows)
                end_ns = max(end_ns, self._start_ns + each.hours * HOUR_NS)
        for series in memory.series.values():
            memory.sources[series.source] = SourceState(SourceClock(end_ns, end_ns), end_ns)
        return memory

    def _at(self, seconds: float) -> int:
        return self._start_ns + int(seconds * 1e9)

    # States

    def _state_failures(self, memory: Memory, index: int) -> list[Failure]:
        expected = self._test.states[index]
        mark = self._loaded.mark("tests", self._number, "states", index)
        keys = [each for each in memory.series.values() if _fits(each.key, expected)]
        about = f"{expected.feature or expected.eval} after {_ago(int(expected.at * 1e9))}"
        if len(keys) != 1:
            fits = ", ".join(named(each.key) for each in keys) or "none"
            return [Failure(mark, self._test.name, about, "one series", fits)]
        found = state_of(self._state, memory, keys[0].id, expected)
        wanted = [
            f"{name} {value}"
            for name, value in (("state", expected.state), ("band", expected.band))
            if value is not None and value != getattr(found, name)
        ]
        if not wanted:
            return []
        return [Failure(mark, self._test.name, about, " and ".join(wanted), str(found))]

    # Triggers

    def _trigger_failures(self) -> list[Failure]:
        """Each expected trigger is matched with the first that fits; what is left is a failure."""
        if self._test.triggers is None:
            return []
        left = history.fired(self._state, 0, history.END_OF_TIME_NS)
        failures = []
        for index, expected in enumerate(self._test.triggers):
            match = next((each for each in left if self._fires(expected, each)), None)
            if match is not None:
                left.remove(match)
                continue
            mark = self._loaded.mark("tests", self._number, "triggers", index)
            got = "; ".join(self._said(each) for each in left) or "none"
            failures.append(Failure(mark, self._test.name, "trigger", _wanted(expected), got))
        mark = self._loaded.mark("tests", self._number, "triggers")
        failures += [
            Failure(mark, self._test.name, "trigger", "no other", self._said(each))
            for each in left
            if not failures
        ]
        return failures

    def _fires(self, expected: TriggerAt, fired: Fired) -> bool:
        since = (fired.at_ns - self._start_ns) / 1e9
        names = tuple(feature.partition(" (")[0] for feature in fired.features)
        return (
            _fits(fired, expected)
            and (expected.at is None or since == expected.at)
            and (expected.after is None or since > expected.after)
            and (expected.by is None or since <= expected.by)
            and (expected.reasons is None or set(expected.reasons) <= set(fired.reasons))
            and (expected.features is None or set(expected.features) <= {*names, *fired.features})
        )

    def _said(self, fired: Fired) -> str:
        at = _ago(fired.at_ns - self._start_ns)
        why = ", ".join(fired.reasons)
        return f"{fired.model} after {at} for {why} ({', '.join(fired.features)})"


def _fits(key: Any, place: Place) -> bool:
    """Whether a series, or a trigger (which has no cohort), is one of this place."""
    wanted = ((name, getattr(place, name)) for name in _PLACE)
    return all(
        value is None or getattr(key, name, value) == value for name, value in wanted
    )  # fmt: skip


def _wanted(expected: TriggerAt) -> str:
    parts = [f"{getattr(expected, name)}" for name in _PLACE if getattr(expected, name) is not None]
    times = ((name, getattr(expected, name)) for name in ("at", "after", "by"))
    parts += [f"{name} {_ago(int(time * 1e9))}" for name, time in times if time is not None]
    if expected.reasons:
        parts.append(f"for {', '.join(expected.reasons)}")
    if expected.features:
        parts.append(f"({', '.join(expected.features)})")
    return " ".join(parts)


def _ago(ns: int) -> str:
    """Time since the start as a duration of the file."""
    days, rest = divmod(ns // HOUR_NS, 24)
    return f"{days}d{rest}h" if days and rest else f"{days}d" if days else f"{rest}h"
