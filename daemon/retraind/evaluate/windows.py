"""Closed decision windows: test them, step alarms and policies, and write it all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from retraind.config.settings import Config, Monitor
from retraind.evaluate import deploys, holds, late
from retraind.evaluate.decisions import Decided, Decider, Pinned
from retraind.evaluate.findings import (
    FeatureKey,
    Outcome,
    Sensitivity,
    SeriesWindow,
    decide_family,
    examine,
    finding_of,
)
from retraind.evaluate.judges import judge_holds
from retraind.evaluate.memory import Alarm, Memory, Series, Source
from retraind.evaluate.others import examine_others
from retraind.evaluate.references import (
    NewReference,
    references_of_panes,
    sums_of_panes,
    write_references,
)
from retraind.evaluate.tables import rows_table, timestamp, window_row
from retraind.model import HOUR_NS, Counts
from retraind.policy import alarms
from retraind.policy.holds import Hold
from retraind.rates.edetector import log_threshold
from retraind.store.state import State, Transaction
from retraind.telemetry import Telemetry
from retraind.window.decision import ClosedWindow, close_windows
from retraind.window.panes import SESSIONS, VERSIONS
from retraind.window.plan import MonitorPlan
from retraind.window.reference import Rung, mature, pool, window_hours

YEAR_NS = 8766 * HOUR_NS
PINNED_TOGETHER = 20
"""Series whose panes are read at once: a read looks at the panes of all, and a week of one may have
ten megabytes."""


@dataclass(frozen=True, slots=True)
class Due:
    """A window that has closed and is to be tested."""

    series: Series
    window: ClosedWindow


@dataclass(frozen=True, slots=True)
class _Step:
    """What one transaction did; told to others only once it is durable."""

    outcomes: list[Outcome]
    decided: list[Decided]
    pinned: list[Pinned]
    placed: list[Hold]


class WindowEvaluator:
    """Evaluates the windows of a source in order of their end, one transaction for each end."""

    def __init__(
        self,
        state: State,
        config: Config,
        plans: Sequence[MonitorPlan],
        decider: Decider,
        telemetry: Telemetry,
    ) -> None:
        self._state = state
        self._monitors = {monitor.name: monitor for monitor in config.monitors}
        self._sensitivity = {
            plan.monitor: Sensitivity(
                detector=self._monitors[plan.monitor].detector,
                window=self._monitors[plan.monitor].window,
                evals=self._monitors[plan.monitor].evals,
                context=frozenset(f.name for f in plan.features if f.context)
                | {SESSIONS, VERSIONS},
                categories=config.limits.categories,
            )
            for plan in plans
        }
        self._decider = decider
        self._telemetry = telemetry

    def evaluate_source(self, memory: Memory, source: Source, now_ns: int) -> list[Outcome]:
        """Test every window of the source that has closed; the outcomes in order."""
        closed_ns = memory.sources[source].closed_ns
        outcomes: list[Outcome] = []
        due = self._due(memory, source, closed_ns)
        for end_ns, group in groupby(due, key=lambda item: item.window.end_ns):
            together = list(group)
            self._send_waiting(memory, source, end_ns - 1, now_ns)
            with self._state.transaction() as tx:
                step = self._evaluate(tx, memory, together, now_ns)
            outcomes += step.outcomes
            self._telemetry.evaluations.inc(len(together))
            holds.announce(step.placed)
            self._decider.announce(step.decided, step.pinned)
        self._send_waiting(memory, source, closed_ns, now_ns)
        return outcomes

    def _send_waiting(self, memory: Memory, source: Source, until_ns: int, now_ns: int) -> None:
        """Decide again about triggers whose holds end by then, each at the end of its own."""
        for at_ns, policy in self._decider.due(memory, source, until_ns):
            with self._state.transaction() as tx:
                decided = self._decider.decide(tx, memory, {policy}, at_ns, now_ns)
            self._decider.announce(decided, ())

    def ends(self, memory: Memory, source: Source) -> list[int]:
        """Where the windows end that `evaluate_source` would test now, in order."""
        due = self._due(memory, source, memory.sources[source].closed_ns)
        return sorted({item.window.end_ns for item in due})

    def _due(self, memory: Memory, source: Source, closed_ns: int) -> list[Due]:
        """Windows that have closed, in order of their end."""
        rows = self._state.read(
            "open_sessions", closed=closed_ns,
            service_name=source.service_name, environment=source.environment,
        )  # fmt: skip
        panes: dict[str, list[tuple[int, int]]] = {}
        for row in rows.to_pylist():
            panes.setdefault(row["series_id"], []).append((row["pane_ns"], row["sessions"]))
        due = []
        for series in memory.series.values():
            monitor = self._monitors.get(series.key.monitor)
            if series.source != source or monitor is None:
                continue
            windows = close_windows(
                series.window_ns, panes.get(series.id, ()), closed_ns, monitor.window
            )
            due += [Due(series, window) for window in windows]
        return sorted(due, key=lambda item: (item.window.end_ns, item.series.id))

    def _evaluate(self, tx: Transaction, memory: Memory, due: list[Due], now_ns: int) -> _Step:
        starts = {item.series.id: item.window.start_ns for item in due}
        counts = sums_of_panes(tx, starts, due[0].window.end_ns)
        rates = sum(key.kind == "rate" for each in memory.alarms.values() for key in each)
        outcomes: list[Outcome] = []
        for name, group in groupby(
            sorted(due, key=lambda item: item.series.key), key=lambda item: item.series.key.monitor
        ):
            monitor, sensitivity = self._monitors[name], self._sensitivity[name]
            windows = [self._with_reference(memory, monitor, item, counts) for item in group]
            family: list[Outcome] = []
            for window in windows:
                family += self._examine(memory, window, sensitivity, rates)
            if "deploy" in monitor.reference.kinds:
                deploys.note_versions(tx, memory, windows, sensitivity.categories)
            family += examine_others(tx, memory, windows, monitor.reference, sensitivity)
            decide_family(family, sensitivity.detector)
            outcomes += family
        self._step_alarms(memory, outcomes)
        self._forget_alarms(memory, due)
        pinned = self._move_on(tx, memory, due, now_ns)
        pinned += self._let_join(tx, memory, outcomes, due[0].window.end_ns, now_ns)
        series = [item.series.id for item in due]
        tx.run("move_windows", series=series, start=due[0].window.end_ns)
        self._write_alarms(tx, memory, series)
        rows = [window_row(outcome, memory.through_seq, now_ns) for outcome in outcomes]
        if rows:
            tx.append("windows", rows_table(rows))
        changed = judge_holds(tx, memory, outcomes, self._monitors, due[0].window.end_ns)
        placed = holds.place(tx, memory, changed)
        policies = {item.series.policy for item in due}
        decided = self._decider.decide(tx, memory, policies, due[0].window.end_ns, now_ns)
        return _Step(outcomes, decided, pinned, placed)

    def _with_reference(
        self,
        memory: Memory,
        monitor: Monitor,
        due: Due,
        counts: Mapping[str, dict[FeatureKey, Counts]],
    ) -> SeriesWindow:
        window = due.window
        known = [
            key.watched for key in memory.alarms.get(due.series.id, {}) if key.reference == "pinned"
        ]
        own = _with_silent(counts[due.series.id], known)
        active = memory.references.get(due.series.id)
        reference: dict[FeatureKey, Counts] = {}
        rungs: dict[FeatureKey, Rung] = {}
        if active is not None:
            hours = window_hours(window.start_ns, window.end_ns)
            for key, item in own.items():
                pooled = pool(active.reference, key, hours, item.n, monitor.reference.ratio)
                if pooled is not None:
                    reference[key], rungs[key] = pooled
        return SeriesWindow(
            series_id=due.series.id,
            series=due.series.key,
            start_ns=window.start_ns,
            end_ns=window.end_ns,
            sessions=window.sessions,
            ready=window.ready,
            counts=own,
            reference_id=None if active is None else active.reference.id,
            reference=reference,
            bins={} if active is None else {key: active.bins(key) for key in reference},
            rungs=rungs,
        )

    def _examine(
        self, memory: Memory, window: SeriesWindow, sensitivity: Sensitivity, rates: int
    ) -> list[Outcome]:
        known = memory.alarms.get(window.series_id, {})
        detectors = {key.watched: alarm.detector for key, alarm in known.items() if alarm.detector}
        threshold = log_threshold(
            sensitivity.detector.false_pages_per_year,
            series=max(1, rates),
            windows_per_year=YEAR_NS / max(window.end_ns - window.start_ns, HOUR_NS),
        )
        return examine(window, sensitivity, detectors, threshold)

    def _step_alarms(self, memory: Memory, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            key = outcome.alarm_key
            if key is None:
                continue
            sensitivity = self._sensitivity[outcome.window.series.monitor]
            known = memory.alarms.setdefault(outcome.window.series_id, {})
            before = known.get(key, Alarm(alarms.AlarmMemory()))
            finding = finding_of(outcome, sensitivity)
            after = alarms.step(before.memory, finding, sensitivity.detector)
            seen_ns = outcome.window.end_ns if outcome.counts.n else before.seen_ns
            known[key] = Alarm(after, outcome.detector, seen_ns)
            outcome.alarm_state = after.state
            memory.alarmed.note(outcome)

    def _forget_alarms(self, memory: Memory, due: list[Due]) -> None:
        """A feature or version without data for longer than the longest window is over.

        So is the comparison of a new version with the one before, when its day is over. Otherwise
        the alarm of a version that was replaced would fire, and hold its episode open, forever.
        """
        for item in due:
            longest = int(self._monitors[item.series.key.monitor].window.max_length * 1e9)
            known = memory.alarms.get(item.series.id, {})
            memory.alarms[item.series.id] = {
                key: alarm
                for key, alarm in known.items()
                if item.window.end_ns - alarm.seen_ns <= longest
                and (key.reference != "deploy" or self._is_new(memory, item))
            }

    def _is_new(self, memory: Memory, due: Due) -> bool:
        versions = memory.versions.get(due.series.id, {})
        return deploys.deploy_of(versions, due.window.start_ns, due.window.end_ns) is not None

    def _write_alarms(self, tx: Transaction, memory: Memory, series: list[str]) -> None:
        tx.run("delete_alarms", series=series)
        rows = [
            {
                "series_id": series_id,
                **key.watched._asdict(),
                "reference_kind": key.reference,
                "state": alarm.memory.state,
                "since": timestamp(alarm.memory.since_ns),
                "memory": alarms.to_json(alarm.memory),
                "detector": list(alarm.detector),
                "last_data": timestamp(alarm.seen_ns),
            }
            for series_id in series
            for key, alarm in memory.alarms.get(series_id, {}).items()
        ]
        if rows:
            tx.append("alarms", rows_table(rows))

    def _move_on(
        self, tx: Transaction, memory: Memory, due: list[Due], now_ns: int
    ) -> list[Pinned]:
        """The next windows begin; series without reference pin their first one when mature."""
        end_ns = due[0].window.end_ns
        waiting: list[Series] = []
        for item in due:
            series = memory.series[item.series.id] = replace(item.series, window_ns=end_ns)
            enough = self._monitors[series.key.monitor].reference.min_sessions
            if series.id not in memory.references and self._mature(series, end_ns, enough):
                waiting.append(series)
        pinned: list[Pinned] = []
        for at in range(0, len(waiting), PINNED_TOGETHER):
            some = {series: series.first_ns for series in waiting[at : at + PINNED_TOGETHER]}
            found = references_of_panes(tx, some, end_ns)
            new = [each for each in found if self._mature(each.series, end_ns, each.sessions)]
            pinned += _pin(tx, memory, new, now_ns)
        return pinned

    def _let_join(
        self, tx: Transaction, memory: Memory, outcomes: list[Outcome], end_ns: int, now_ns: int
    ) -> list[Pinned]:
        """What appeared after a series had its reference joins it when mature."""
        settings = {name: monitor.reference for name, monitor in self._monitors.items()}
        waiting = [memory.series[id_] for id_ in sorted(late.awaited(memory, outcomes))]
        pinned: list[Pinned] = []
        for at in range(0, len(waiting), PINNED_TOGETHER):
            some = waiting[at : at + PINNED_TOGETHER]
            new = late.extended(tx, memory, some, settings, end_ns)
            pinned += _pin(tx, memory, new, now_ns)
        return pinned

    def _mature(self, series: Series, end_ns: int, sessions: int) -> bool:
        settings = self._monitors[series.key.monitor].reference
        return mature(series.first_ns, end_ns, sessions, settings)


def _pin(tx: Transaction, memory: Memory, new: Sequence[NewReference], now_ns: int) -> list[Pinned]:
    write_references(tx, memory, new, source="auto", now_ns=now_ns)
    return [Pinned(each.series.key, each.reference.id, each.sessions, each.added) for each in new]


def _with_silent(
    counts: Mapping[FeatureKey, Counts], known: Iterable[FeatureKey]
) -> Mapping[FeatureKey, Counts]:
    """Add watched features that the window lacks in every version: they have no data."""
    present = {(key.feature, key.kind) for key in counts}
    silent = [key for key in known if (key.feature, key.kind) not in present]
    none = np.zeros(0, np.int64)
    return {**counts, **{key: Counts(key.kind, none, none) for key in silent}}
