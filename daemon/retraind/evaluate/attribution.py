"""What moved when an episode opens or asks: computed then, from what is stored, and only then."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict

from retraind.config.settings import Monitor
from retraind.drift.attribution import rank_features, split_change
from retraind.evaluate.findings import FeatureKey
from retraind.evaluate.memory import Memory, Series
from retraind.evaluate.references import sums_of_panes
from retraind.model import Counts
from retraind.policy.alarms import Finding
from retraind.policy.decide import Child, Decision
from retraind.store.state import Transaction
from retraind.webhook.attribution import Attribution, EvalShift, MovedFeature
from retraind.window.counts import add_all
from retraind.window.panes import SESSIONS
from retraind.window.plan import version_key
from retraind.window.reference import Baseline, baseline_of, pool, window_hours

KEPT = 20
"""Features and shifts that are kept with an episode."""

Traffic = tuple[dict[str, float], dict[str, float]]
"""Sessions an hour by cohort: reference, current."""


def attribute(
    tx: Transaction,
    memory: Memory,
    series: Sequence[Series],
    decision: Decision,
    children: Sequence[Child],
    monitor: Monitor,
) -> Attribution:
    """What moved of a policy, whose `series` are given, when it decides; without sessions."""
    alarmed = [child for child in children if child.id in set(decision.children)]
    findings = [child.alarm.finding for child in alarmed if child.alarm.finding is not None]
    named = {child.feature for child in alarmed if child.kind == "eval_fail_rate"}
    window = max(findings, key=lambda finding: finding.window_end_ns, default=None)
    return Attribution(
        features=_ranked(tx, series, decision.at_ns, monitor),
        shifts=() if window is None else _shifts(tx, memory, series, window, monitor, named),
    )


def to_json(found: Attribution) -> str:
    """The text of episodes.attribution."""
    shifts = [
        {name: getattr(each, name) for name in ("feature", "judge", "kind")}
        | asdict(each.shift)
        | {"cause": each.shift.cause}
        for each in found.shifts
    ]
    return json.dumps(
        {
            "features": [asdict(each) for each in found.features],
            "shifts": shifts,
            "sessions": [asdict(each) for each in found.sessions],
        }
    )


def _ranked(
    tx: Transaction, series: Sequence[Series], at_ns: int, monitor: Monitor
) -> tuple[MovedFeature, ...]:
    """Features of all cohorts by the drift of their last windows, alarmed or not."""
    cohorts = {each.id: each.key.cohort for each in series}
    since_ns = at_ns - 2 * int(monitor.window.max_length * 1e9)
    rows = tx.read(
        "last_results", series=list(cohorts), since=since_ns, until=at_ns, windows=1
    ).to_pylist()
    found: dict[tuple[str, str, str, str], MovedFeature] = {
        (row["feature"], cohorts[row["series_id"]], row["version"], row["kind"]): MovedFeature(
            row["feature"], row["version"], cohorts[row["series_id"]], row["psi_corrected"],
            row["p_value"],
        )
        for row in rows
        if row["psi_corrected"] is not None and row["reference_kind"] == "pinned"
    }  # fmt: skip
    return tuple(found[name] for name in rank_features(found)[:KEPT])


def _shifts(
    tx: Transaction,
    memory: Memory,
    series: Sequence[Series],
    window: Finding,
    monitor: Monitor,
    alarmed: Collection[str],
) -> tuple[EvalShift, ...]:
    """How fail rates and scores changed over all cohorts in one window; alarmed ones first."""
    comparable = _comparable(memory, series)
    if len(comparable) < 2:
        return ()
    start_ns, end_ns = window.window_start_ns, window.window_end_ns
    counts = sums_of_panes(tx, dict.fromkeys(comparable, start_ns), end_ns)
    traffic = _traffic(memory, comparable, counts)
    hours = window_hours(start_ns, end_ns)
    shifts = []
    for baseline in sorted(_baselines(key for each in counts.values() for key in each)):
        name, judge, kind = baseline
        sides: tuple[dict[str, Counts], dict[str, Counts]] = {}, {}
        for id_, each in comparable.items():
            cohort, own = each.key.cohort, counts[id_]
            now = [item for key, item in own.items() if baseline_of(key) == baseline]
            if now:
                sides[1][cohort] = add_all(now)
            before = _before(memory, id_, baseline, hours, sides[1].get(cohort), monitor)
            if before is not None:
                sides[0][cohort] = before
        if sides[0] and len(sides[0].keys() | sides[1].keys()) > 1:
            shifts.append(EvalShift(name, judge, kind, split_change(*sides, traffic=traffic)))
    return tuple(sorted(shifts, key=lambda each: each.feature not in alarmed)[:KEPT])


def _comparable(memory: Memory, series: Sequence[Series]) -> dict[str, Series]:
    """Series whose part of the reference's traffic is known: also those that came after it.

    A series that was there before, but is too small for a reference, would look like a new cohort.
    """
    known = [memory.references[each.id] for each in series if each.id in memory.references]
    ends = [active.last_ns for active in known]
    if not ends or None in ends:
        return {}  # a file says nothing of how much traffic a cohort had
    last_ns = max(end_ns for end_ns in ends if end_ns is not None)
    return {
        each.id: each for each in series if each.id in memory.references or each.first_ns >= last_ns
    }


def _traffic(
    memory: Memory,
    series: Mapping[str, Series],
    counts: Mapping[str, Mapping[FeatureKey, Counts]],
) -> Traffic:
    """References of a large and a small cohort cover different times: so sessions an hour."""
    before: dict[str, float] = {}
    now: dict[str, float] = {}
    for id_, each in series.items():
        sessions = counts[id_].get(FeatureKey(SESSIONS, "", "category"))
        now[each.key.cohort] = 0.0 if sessions is None else float(sessions.n)
        active = memory.references.get(id_)
        if active is not None and active.first_ns is not None and active.last_ns is not None:
            covered = max(1, active.last_ns - active.first_ns)
            before[each.key.cohort] = active.sessions / covered * 3.6e12
    return before, now


def _before(
    memory: Memory,
    series_id: str,
    baseline: Baseline,
    hours: frozenset[int],
    now: Counts | None,
    monitor: Monitor,
) -> Counts | None:
    """What the reference has of an evaluation, as windows are compared with it."""
    active = memory.references.get(series_id)
    if active is None:
        return None
    name, judge, kind = baseline
    key = (name, version_key("", judge), kind)
    n, ratio = 0 if now is None else now.n, monitor.reference.ratio
    found = pool(active.reference, key, hours, n, ratio)
    return None if found is None else found[0]


def _baselines(keys: Iterable[FeatureKey]) -> set[Baseline]:
    """Those of evaluations: name, judge and kind."""
    return {baseline_of(key) for key in keys if key.kind in ("rate", "score")}
