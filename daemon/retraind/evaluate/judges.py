"""Judge drift: an eval's results come from another judge than its reference's.

The new judge has no baseline, so its results are immature and fire at fixed limits only; but a
person, or another reason, would take its strictness for the model's decline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from retraind.config.settings import Monitor
from retraind.evaluate.findings import Outcome
from retraind.evaluate.memory import Memory
from retraind.model import HOUR_NS
from retraind.policy.holds import Hold, hold_id, judges_changed
from retraind.store.state import Transaction
from retraind.window.plan import split_version

JUDGED = ("rate", "score")
LOOK_BACK_NS = 14 * 24 * HOUR_NS


def judge_holds(
    tx: Transaction,
    memory: Memory,
    outcomes: Iterable[Outcome],
    monitors: Mapping[str, Monitor],
    end_ns: int,
) -> list[Hold]:
    """A hold for each eval whose judges have changed with the windows that end at `end_ns`."""
    current: dict[tuple[str, str], set[str]] = {}
    for outcome in outcomes:
        if outcome.key.kind in JUDGED and outcome.counts.n:
            place = outcome.window.series_id, outcome.key.feature
            current.setdefault(place, set()).add(split_version(outcome.key.version)[1])
    holds = []
    for (series_id, feature), judges in sorted(current.items()):
        series = memory.series[series_id].key
        policy = monitors[series.monitor].policy
        known = _judges_of_reference(memory, series_id, feature)
        scope = (series.monitor, series.service_name, series.environment, series.model)
        id_ = hold_id("judge", *scope, feature, *sorted(judges))
        if not policy.hold_for or id_ in memory.holds or not known or judges & known:
            continue
        if judges_changed(judges, known, _hours(tx, series_id, feature, end_ns)):
            cause = f"{feature} is judged by {_named(judges)} instead of {_named(known)}"
            expires_ns = end_ns + int(policy.hold_for * 1e9)
            holds.append(Hold(id_, "judge", *scope, cause, end_ns, expires_ns))
    return holds


def _judges_of_reference(memory: Memory, series_id: str, feature: str) -> set[str]:
    active = memory.references.get(series_id)
    if active is None:
        return set()
    return {
        split_version(version)[1]
        for name, version, kind in active.reference.sizes
        if name == feature and kind in JUDGED
    }


def _hours(tx: Transaction, series_id: str, feature: str, end_ns: int) -> Mapping[str, set[int]]:
    """The panes in which each judge has results."""
    rows = tx.read(
        "judge_panes", series=series_id, feature=feature, first=end_ns - LOOK_BACK_NS, last=end_ns
    )
    hours: dict[str, set[int]] = {}
    for row in rows.to_pylist():
        hours.setdefault(split_version(row["version"])[1], set()).add(row["pane_ns"])
    return hours


def _named(judges: Iterable[str]) -> str:
    return " and ".join(sorted(judge or "an unnamed judge" for judge in judges))
