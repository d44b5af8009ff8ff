"""The last results as a snapshot for Prometheus and the status page; survives a restart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from retraind.config.settings import Config
from retraind.evaluate.findings import FeatureKey, Outcome
from retraind.evaluate.memory import Memory
from retraind.evaluate.tables import window_row
from retraind.metrics.snapshot import (
    DriftRow,
    EpisodeRow,
    RateRow,
    ReferenceRow,
    ScoreRow,
    Snapshot,
    StateRow,
    WindowRow,
)
from retraind.store.state import State

# When one feature has several alarms (versions, score and fail rate), the gravest is shown.
GRAVITY = ("ok", "immature", "no_data", "resolving", "pending", "firing")

Row = Mapping[str, Any]


class Publisher:
    """Keeps the newest result of every feature and makes snapshots of them."""

    def __init__(self, config: Config) -> None:
        self._bands = {monitor.name: monitor.detector.bands for monitor in config.monitors}
        self._last: dict[tuple[str, FeatureKey], Row] = {}
        self._ends: dict[str, tuple[int, int]] = {}

    def load(self, state: State) -> None:
        """Take up the newest results of the state file."""
        for row in state.read("last_windows").to_pylist():
            self._keep(row, int(row["end_ns"]))

    def keep(self, outcomes: Iterable[Outcome]) -> None:
        """Take up new results."""
        for outcome in outcomes:
            self._keep(window_row(outcome, 0, 0), outcome.window.end_ns)

    def _keep(self, row: Row, end_ns: int) -> None:
        key = FeatureKey(row["feature"], row["version"], row["kind"])
        self._last[row["series_id"], key] = row
        self._ends[row["series_id"]] = (end_ns, int(row["sessions"]))

    def snapshot(self, memory: Memory, state: State) -> Snapshot:
        """Everything that is known now; only the last window of each series counts."""
        totals = {
            (row["series_id"], row["feature"], row["version"]): (row["results"], row["failures"])
            for row in state.read("eval_totals").to_pylist()
        }
        return Snapshot(
            drift=tuple(self._drift(memory)),
            rates=tuple(self._rates(memory, totals)),
            scores=tuple(self._scores(memory)),
            windows=tuple(
                WindowRow(memory.series[series_id].key, sessions, end_ns)
                for series_id, (end_ns, sessions) in self._ends.items()
                if series_id in memory.series
            ),
            states=tuple(_states(memory)),
            references=tuple(
                ReferenceRow(
                    memory.series[series_id].key,
                    active.reference.kind,
                    active.created_ns,
                    active.sessions,
                )
                for series_id, active in memory.references.items()
            ),
            episodes=tuple(
                EpisodeRow(*key, open=int(bool(policy.episode_id)))
                for key, policy in memory.policies.items()
            ),
        )

    def _rows(self, memory: Memory) -> Iterable[tuple[Row, FeatureKey, Any]]:
        for (series_id, key), row in self._last.items():
            series = memory.series.get(series_id)
            if series is not None:
                yield row, key, series.key

    def _drift(self, memory: Memory) -> Iterable[DriftRow]:
        for row, key, series in self._rows(memory):
            if row.get("psi_corrected") is None or key.version:
                continue
            yield DriftRow(
                series=series,
                feature=key.feature,
                scores={
                    "psi": row["psi_corrected"],
                    "kl_reference_current": row["kl_reference_current"],
                    "kl_current_reference": row["kl_current_reference"],
                    "js": row["js_distance"],
                },
                threshold=self._bands[series.monitor].retrain
                if series.monitor in self._bands
                else math.nan,
                p_value=row["p_value"],
            )

    def _rates(
        self, memory: Memory, totals: Mapping[tuple[str, str, str], tuple[int, int]]
    ) -> Iterable[RateRow]:
        for (series_id, feature, version), (results, failures) in totals.items():
            series = memory.series.get(series_id)
            if series is None:
                continue
            row = self._last.get((series_id, FeatureKey(feature, version, "rate")), {})
            yield RateRow(
                series=series.key,
                eval=feature,
                version=version,
                results=results,
                failures=failures,
                ratio=row.get("rate"),
                lower=row.get("rate_lower"),
                upper=row.get("rate_upper"),
            )

    def _scores(self, memory: Memory) -> Iterable[ScoreRow]:
        for row, key, series in self._rows(memory):
            if key.kind == "score" and row.get("mean") is not None:
                yield ScoreRow(series, key.feature, key.version, row["mean"])


def _states(memory: Memory) -> Iterable[StateRow]:
    for series_id, alarms in memory.alarms.items():
        gravest: dict[str, str] = {}
        for key, alarm in alarms.items():
            known = gravest.get(key.feature, GRAVITY[0])
            gravest[key.feature] = max(known, alarm.memory.state, key=GRAVITY.index)
        for feature, state in gravest.items():
            yield StateRow(memory.series[series_id].key, feature, state)
