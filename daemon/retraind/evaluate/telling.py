"""The sessions that show best what is new: read from the stored spans when a trigger is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from retraind.config.settings import Config, Monitor
from retraind.drift.attribution import telling_sessions
from retraind.drift.bins import quantile_bins
from retraind.drift.numbers import PSI_BINS
from retraind.drift.telling import Placed, place_categories, place_numbers
from retraind.evaluate.findings import FeatureKey
from retraind.evaluate.inputs import CONTEXT_NS
from retraind.evaluate.memory import ActiveReference, Memory, Series
from retraind.evaluate.references import sums_of_panes
from retraind.model import Counts
from retraind.policy.alarms import Finding
from retraind.policy.decide import Child
from retraind.policy.explain import shows_drift
from retraind.store.rows import Column, StoredRows
from retraind.store.state import Transaction
from retraind.webhook.attribution import FoundSession
from retraind.window.plan import FeaturePlan, MonitorPlan
from retraind.window.reference import pool, window_hours
from retraind.window.sessions import SessionValues, Values, session_values

READ_SPANS = 200_000
"""Of a larger window only sessions of some hashes are read, so that a trigger is not held up."""


class SessionFinder:
    """Finds sessions of the series that alarms most, in the window that made it alarm."""

    def __init__(self, rows: StoredRows, plans: Iterable[MonitorPlan], config: Config) -> None:
        self._rows = rows
        self._plans = {plan.monitor: plan for plan in plans}
        self._monitors = config.monitors_by_name
        self._limits = config.limits

    def find(
        self, tx: Transaction, memory: Memory, series: Sequence[Series], alarmed: Sequence[Child]
    ) -> tuple[FoundSession, ...]:
        """At most five, best first; none where no feature has moved, or the spans are gone.

        `alarmed`: alarms of the policy whose series these are, the most important first. Of the
        first whose window shows drift of features, alarmed or (with a fail rate) not yet.
        """
        by_key = {each.key: each for each in series}
        for child in alarmed:
            own, window = by_key[child.series], child.alarm.finding
            active = memory.references.get(own.id)
            if window is None or active is None:
                continue
            chosen = self._moved(tx, own, window)
            if chosen:
                return self._of_window(tx, memory, own, active, window, chosen)
        return ()

    def _moved(self, tx: Transaction, own: Series, window: Finding) -> list[FeaturePlan]:
        """The features of which this window shows drift."""
        rows = tx.read(
            "last_results", series=[own.id], since=window.window_start_ns,
            until=window.window_end_ns, windows=1,
        ).to_pylist()  # fmt: skip
        moved = {
            (row["feature"], row["kind"])
            for row in rows
            if row["reference_kind"] == "pinned" and shows_drift(row)
        }
        plan = self._plans[own.key.monitor]
        return [each for each in plan.features if (each.name, each.kind) in moved]

    def _of_window(
        self,
        tx: Transaction,
        memory: Memory,
        own: Series,
        active: ActiveReference,
        window: Finding,
        chosen: Sequence[FeaturePlan],
    ) -> tuple[FoundSession, ...]:
        found = self._read(memory, own, window, chosen)
        placed = self._place(tx, own, active, window, chosen, found)
        if not placed or not found.ids:
            return ()
        bins = np.array([index for index, _ in placed.values()])
        best = telling_sessions(found.ids, bins, [ratios for _, ratios in placed.values()])
        traces = dict(zip(found.ids, found.traces, strict=True))
        return tuple(
            FoundSession(
                each.session, traces[each.session], own.key.cohort, each.score,
                dict(zip(placed, each.parts, strict=True)),
            )
            for each in best
        )  # fmt: skip

    def _read(
        self, memory: Memory, own: Series, window: Finding, features: Sequence[FeaturePlan]
    ) -> SessionValues:
        plan = self._plans[own.key.monitor]
        first_ns, last_ns = window.window_start_ns - CONTEXT_NS, window.window_end_ns
        source = own.source
        there = self._rows.rows_per_hour(*source, first_ns, last_ns)
        columns = {
            alias: Column(each.kind, each.key, of_context=True)
            for alias, each in plan.columns().items()
        }
        spans = self._rows.window_spans(
            *source, first_ns, last_ns, memory.through_seq, columns,
            one_in=-(-sum(n for _, n in there) // READ_SPANS) or 1,
        )  # fmt: skip
        return session_values(
            spans, plan, own.key, {each.name for each in features},
            first_ns=window.window_start_ns, last_ns=last_ns, limits=self._limits,
            known_series=memory.known_keys(),
        )  # fmt: skip

    def _place(
        self,
        tx: Transaction,
        own: Series,
        active: ActiveReference,
        window: Finding,
        features: Sequence[FeaturePlan],
        found: SessionValues,
    ) -> dict[str, Placed]:
        """Each feature's sessions in the bins of its test."""
        counts = sums_of_panes(tx, {own.id: window.window_start_ns}, window.window_end_ns)[own.id]
        hours = window_hours(window.window_start_ns, window.window_end_ns)
        ratio = self._ratio(own)
        placed: dict[str, Placed] = {}
        for feature in features:
            key = FeatureKey(feature.name, "", feature.kind)
            current = counts.get(key)
            pooled = current and pool(active.reference, key, hours, current.n, ratio)
            if current is None or not pooled or feature.name not in found.values:
                continue
            placed[feature.name] = _placed(
                active, key, pooled[0], current, found.values[feature.name]
            )
        return placed

    def _ratio(self, own: Series) -> float:
        monitor: Monitor = self._monitors[own.key.monitor]
        return monitor.reference.ratio


def _placed(
    active: ActiveReference,
    key: FeatureKey,
    reference: Counts,
    current: Counts,
    values: Values,
) -> Placed:
    if isinstance(values, list):
        return place_categories(reference, current, values)
    bins = active.bins(key)
    psi_bins = quantile_bins(reference, PSI_BINS) if bins is None else bins.psi
    return place_numbers(reference, current, psi_bins, values)
