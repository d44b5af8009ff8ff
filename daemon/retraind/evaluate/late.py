"""Features, evaluations and judges that appear after their series' reference was pinned.

Each joins the reference once its own traffic is as mature as the first reference had to be. The
counts of all others stay as they are, so their scores remain comparable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from retraind.config.settings import ReferenceSettings
from retraind.evaluate.findings import Outcome
from retraind.evaluate.memory import Memory, Series
from retraind.evaluate.references import NewReference, panes_of
from retraind.model import Counts
from retraind.store.state import Transaction
from retraind.window.counts import FeatureKey
from retraind.window.reference import (
    Baseline,
    baseline_of,
    freeze,
    mature,
    references_from_panes,
)  # fmt: skip


def awaited(memory: Memory, outcomes: Iterable[Outcome]) -> set[str]:
    """Series of which something was immature because their reference does not have it."""
    return {
        outcome.window.series_id
        for outcome in outcomes
        if outcome.verdict == "immature"
        and outcome.reference_kind == "pinned"
        and outcome.window.series_id in memory.references
        and baseline_of(outcome.key) not in _known(memory, outcome.window.series_id)
    }


def extended(
    tx: Transaction,
    memory: Memory,
    series: Sequence[Series],
    settings: Mapping[str, ReferenceSettings],
    end_ns: int,
) -> list[NewReference]:
    """The references of these series with everything late that has become mature by `end_ns`.

    `settings` by monitor. Series without anything of that kind are left out.
    """
    wanted: dict[Series, tuple[int, set[Baseline]]] = {}
    firsts = _first_panes(tx, series, end_ns)
    for each in series:
        late = {
            baseline: first_ns
            for baseline, first_ns in firsts.get(each.id, {}).items()
            if baseline not in _known(memory, each.id)
        }
        found = _mature(tx, each, late, settings[each.key.monitor], end_ns)
        if found:
            wanted[each] = min(found.values()), set(found)
    if not wanted:
        return []
    rows = panes_of(tx, {each.id: start_ns for each, (start_ns, _) in wanted.items()}, end_ns)
    traffic = references_from_panes(rows)
    return [
        _extend(memory, each, traffic[each.id].counts, late) for each, (_, late) in wanted.items()
    ]


def _extend(
    memory: Memory,
    series: Series,
    traffic: Mapping[FeatureKey, Mapping[int, Counts]],
    late: set[Baseline],
) -> NewReference:
    active = memory.references[series.id]
    added = {key: hours for key, hours in traffic.items() if baseline_of(key) in late}
    reference = freeze(active.reference.kind, {**active.reference.counts, **added})
    names = tuple(sorted({key[0] for key in added}))
    return NewReference(series, reference, active.sessions, active.first_ns, active.last_ns, names)


def _first_panes(
    tx: Transaction, series: Sequence[Series], end_ns: int
) -> dict[str, dict[Baseline, int]]:
    """When each thing of each series came first."""
    rows = tx.read("first_panes", series=[each.id for each in series], last=end_ns).to_pylist()
    firsts: dict[str, dict[Baseline, int]] = {}
    for row in rows:
        own = firsts.setdefault(row["series_id"], {})
        baseline = baseline_of((row["feature"], row["version"], row["kind"]))
        own[baseline] = min(row["first_ns"], own.get(baseline, row["first_ns"]))
    return firsts


def _mature(
    tx: Transaction,
    series: Series,
    late: Mapping[Baseline, int],
    settings: ReferenceSettings,
    end_ns: int,
) -> dict[Baseline, int]:
    """Of what is late, that which is mature, and since when: the newest stretch that suffices."""
    if not late:
        return {}
    rows = tx.read("pane_sessions", series=series.id, first=min(late.values()), last=end_ns)
    sessions = [(row["pane_ns"], row["sessions"]) for row in rows.to_pylist()]
    starts = {
        baseline: _stretch(first_ns, end_ns, sessions, settings)
        for baseline, first_ns in late.items()
    }
    return {baseline: start_ns for baseline, start_ns in starts.items() if start_ns is not None}


def _stretch(
    first_ns: int, end_ns: int, sessions: Sequence[tuple[int, int]], settings: ReferenceSettings
) -> int | None:
    """`sessions`: (start of the pane, sessions), newest first. None when all are too few."""
    total = 0
    for pane_ns, n in sessions:
        if pane_ns < first_ns:
            break
        total += n
        if mature(pane_ns, end_ns, total, settings):
            return pane_ns
    return None


def _known(memory: Memory, series_id: str) -> set[Baseline]:
    return {baseline_of(key) for key in memory.references[series_id].reference.sizes}
