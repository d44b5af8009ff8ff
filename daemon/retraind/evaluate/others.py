"""Windows held against the series' own past: seasonal, trailing and deploy references.

They are sums of panes, made anew for every window: the window moved back by whole days or weeks, so
their cost is a few times that of the window's own panes, whatever the history. Only what somebody
has accepted is in them: nothing before the pinned reference, and of a seasonal or trailing one no
window of an open alarm. Each is as large as the window at least, else it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from retraind.config.settings import ReferenceSettings
from retraind.evaluate.deploys import Deploy, compared, deploy_of
from retraind.evaluate.findings import (
    FeatureKey,
    Outcome,
    Sensitivity,
    SeriesWindow,
    examine_against,
)  # fmt: skip
from retraind.evaluate.memory import Memory
from retraind.evaluate.references import sums_of_panes
from retraind.model import Counts, ReferenceKind
from retraind.store.state import State, Transaction
from retraind.window.counts import add_all
from retraind.window.reference import UNKNOWN_HOUR, freeze
from retraind.window.shifts import DAY_NS, WEEK_NS, block, day_shifts, week_shifts

Part = tuple[int, int, Mapping[FeatureKey, Counts]]
"""A stretch of panes: its start, its end and their sums."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One window against one kind of reference: [start_ns, end_ns) moved back by each shift.

    `trial`: what is shown until there are weeks enough, and fires nothing.
    """

    kind: ReferenceKind
    window: SeriesWindow
    start_ns: int
    end_ns: int
    shifts: tuple[int, ...]
    keys: frozenset[FeatureKey]
    trial: bool = False


def examine_others(
    tx: Transaction,
    memory: Memory,
    windows: Sequence[SeriesWindow],
    settings: ReferenceSettings,
    sensitivity: Sensitivity,
) -> list[Outcome]:
    """The outcomes of windows that end together; `decide_family` completes them."""
    comparisons = [
        comparison
        for window in windows
        if window.ready and window.series_id in memory.references
        for kind in settings.kinds
        if kind != "pinned" and (comparison := _comparison(memory, window, kind, settings))
    ]
    outcomes = []
    for comparison, parts in zip(comparisons, _parts(tx, comparisons), strict=True):
        held = _held_against(memory, comparison, parts)
        outcomes += examine_against(held, sensitivity, trial=comparison.trial)
    return outcomes


def _comparison(
    memory: Memory, window: SeriesWindow, kind: ReferenceKind, settings: ReferenceSettings
) -> _Comparison | None:
    start, end = window.start_ns, window.end_ns
    accepted_ns = memory.references[window.series_id].accepted_ns
    keys = frozenset(key for key in window.counts if key.kind != "rate")
    length, trial, deploy = end - start, False, None
    if kind == "deploy":
        deploy = deploy_of(memory.versions.get(window.series_id, {}), start, end)
        if deploy is None:
            return None
        keys = compared(keys, window.counts, deploy)
        shifts = _before(deploy, start, end)
    elif kind == "trailing":
        shifts = day_shifts(start, end, nearest_ns=2 * length, farthest_ns=WEEK_NS + length)
        shifts = tuple(shift for shift in shifts if start - shift >= accepted_ns)
    else:
        shifts = week_shifts(start, end, settings.seasonal_weeks)
        trial = start - shifts[-1] < accepted_ns if shifts else True
        if trial:
            start, end = block(start, end)
            shifts = day_shifts(start, end, nearest_ns=end - start, farthest_ns=WEEK_NS)
            shifts = tuple(shift for shift in shifts if start - shift >= accepted_ns)
    if not shifts or not keys:
        return None
    return _Comparison(kind, window, start, end, shifts, keys, trial)


def _before(deploy: Deploy, start_ns: int, end_ns: int) -> tuple[int, ...]:
    """The same hours of the days before, while the version before was there."""
    shifts = day_shifts(
        start_ns, end_ns, nearest_ns=end_ns - deploy.first_ns, farthest_ns=WEEK_NS + DAY_NS
    )
    return tuple(shift for shift in shifts if start_ns - shift >= deploy.previous_ns)


def _parts(state: State | Transaction, comparisons: Sequence[_Comparison]) -> list[list[Part]]:
    """The stretches of panes of each comparison, as many as it has shifts, nearest first.

    Those of all series that end together are read at once: the database skips what lies elsewhere.
    """
    found: list[list[Part]] = [[] for _ in comparisons]
    ends: dict[tuple[int, ReferenceKind], dict[str, int]] = {}
    for each in comparisons:
        for shift in each.shifts:
            starts = ends.setdefault((each.end_ns - shift, each.kind), {})
            starts[each.window.series_id] = each.start_ns - shift
    for (end_ns, kind), starts in sorted(ends.items(), reverse=True):
        sums = sums_of_panes(state, starts, end_ns)
        for each, parts in zip(comparisons, found, strict=True):
            start_ns = starts.get(each.window.series_id)
            if each.kind == kind and start_ns is not None and each.end_ns - end_ns in each.shifts:
                parts.append((start_ns, end_ns, sums[each.window.series_id]))
    return found


def _held_against(memory: Memory, comparison: _Comparison, parts: Iterable[Part]) -> SeriesWindow:
    """The window with this reference, and with the features of which it has enough."""
    window = comparison.window
    counts: dict[FeatureKey, list[Counts]] = {}
    for start_ns, end_ns, sums in parts:
        for key, item in sums.items():
            if key.kind == "rate":
                continue
            if comparison.kind == "deploy" or not _alarmed(memory, window, key, start_ns, end_ns):
                counts.setdefault(key, []).append(item)
    reference = freeze(
        comparison.kind, {key: {UNKNOWN_HOUR: add_all(items)} for key, items in counts.items()}
    )
    pools = {
        key: pooled
        for key in comparison.keys
        if (pooled := reference.whole(key)) is not None and pooled.n >= window.counts[key].n
    }
    return replace(
        window,
        counts={key: window.counts[key] for key in pools},
        reference_kind=comparison.kind,
        reference_id=reference.id,
        reference=pools,
        bins={},
        rungs={},
    )


def _alarmed(
    memory: Memory, window: SeriesWindow, key: FeatureKey, start_ns: int, end_ns: int
) -> bool:
    """What the pinned reference covers has been accepted, whatever was said of it before."""
    covered_ns = memory.references[window.series_id].last_ns or 0
    return memory.alarmed.touches(window.series_id, key, start_ns, end_ns, covered_ns)
