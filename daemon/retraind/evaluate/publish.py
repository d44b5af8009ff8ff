"""The last results as a snapshot for Prometheus and the status page; survives a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from retraind.config.settings import Config
from retraind.evaluate import shown
from retraind.evaluate.findings import AlarmKey, Outcome
from retraind.evaluate.memory import Memory
from retraind.evaluate.tables import window_row
from retraind.metrics.snapshot import (
    DriftRow,
    EpisodeRow,
    RateRow,
    ReferenceRow,
    ScoreRow,
    Snapshot,
    WindowRow,
)
from retraind.model import SeriesKey
from retraind.store.state import State

Row = Mapping[str, Any]
Watched = Mapping[str, SeriesKey]
"""Id and key of the series of configured monitors."""


@dataclass(frozen=True, slots=True)
class _Last:
    """The last closed window of a series that had results."""

    end_ns: int
    sessions: int
    rows: dict[AlarmKey, Row]


class Publisher:
    """Keeps the newest result of every feature and makes snapshots of them."""

    def __init__(self, config: Config) -> None:
        self._bands = {monitor.name: monitor.detector.bands for monitor in config.monitors}
        self._policies = {monitor.name: monitor.policy for monitor in config.monitors}
        self._last: dict[str, _Last] = {}

    def load(self, state: State) -> None:
        """Take up the newest results of the state file."""
        for row in state.read("last_windows").to_pylist():
            self._keep(row, int(row["end_ns"]))

    def keep(self, outcomes: Iterable[Outcome]) -> None:
        """Take up new results."""
        for outcome in outcomes:
            self._keep(window_row(outcome, 0, 0), outcome.window.end_ns)

    def _keep(self, row: Row, end_ns: int) -> None:
        last = self._last.get(row["series_id"])
        if last is None or last.end_ns != end_ns:
            last = self._last[row["series_id"]] = _Last(end_ns, int(row["sessions"]), {})
        key = AlarmKey(row["feature"], row["version"], row["kind"], row["reference_kind"])
        last.rows[key] = row

    def snapshot(self, memory: Memory, state: State, now_ns: int) -> Snapshot:
        """Everything that is known now of the configured monitors, by the last window of each.

        `now_ns` is wall time, for mutes that nothing has happened since.
        """
        totals = {
            (row["series_id"], row["feature"], row["version"]): (row["results"], row["failures"])
            for row in state.read("eval_totals").to_pylist()
        }
        series = {
            id_: each
            for id_, each in sorted(memory.series.items())
            if each.key.monitor in self._bands
        }
        watched = {id_: each.key for id_, each in series.items()}
        return Snapshot(
            drift=tuple(self._drift(watched)),
            rates=tuple(self._rates(watched, totals)),
            scores=tuple(self._scores(watched)),
            windows=tuple(
                WindowRow(key, self._last[id_].sessions, self._last[id_].end_ns)
                for id_, key in watched.items()
                if id_ in self._last
            ),
            states=tuple(shown.states(memory, series)),
            references=tuple(
                ReferenceRow(key, active.reference.kind, active.created_ns, active.sessions)
                for id_, key in watched.items()
                if (active := memory.references.get(id_)) is not None
            ),
            episodes=tuple(
                EpisodeRow(*key, open=int(bool(policy.episode_id)))
                for key, policy in sorted(memory.policies.items())
                if key.monitor in self._bands
            ),
            mutes=tuple(shown.lasting_mutes(memory, now_ns)),
            holds=tuple(shown.standing_holds(memory)),
            held=tuple(shown.held(memory, self._policies)),
            deploys=tuple(shown.newest_deploys(memory)),
        )

    def _rows(self, watched: Watched) -> Iterable[tuple[Row, AlarmKey, SeriesKey]]:
        for id_, series in watched.items():
            if id_ in self._last:
                for key, row in sorted(self._last[id_].rows.items()):
                    yield row, key, series

    def _drift(self, watched: Watched) -> Iterable[DriftRow]:
        for row, key, series in self._rows(watched):
            if row.get("psi_corrected") is None:
                continue
            yield DriftRow(
                series=series,
                feature=key.feature,
                version=key.version,
                scores={
                    "psi": row["psi_corrected"],
                    "kl_reference_current": row["kl_reference_current"],
                    "kl_current_reference": row["kl_current_reference"],
                    "js": row["js_distance"],
                },
                # A score that decides nothing has none, so that no rule takes it for an alarm.
                threshold=None
                if key.reference == "trailing" or row["verdict"] == "immature"
                else self._bands[series.monitor].retrain,
                p_value=row["p_value"],
                reference=key.reference,
            )

    def _rates(
        self, watched: Watched, totals: Mapping[tuple[str, str, str], tuple[int, int]]
    ) -> Iterable[RateRow]:
        for (id_, feature, version), (results, failures) in sorted(totals.items()):
            series = watched.get(id_)
            if series is None:
                continue
            rows = self._last[id_].rows if id_ in self._last else {}
            row = rows.get(AlarmKey(feature, version, "rate"), {})
            yield RateRow(
                series=series,
                eval=feature,
                version=version,
                results=results,
                failures=failures,
                ratio=row.get("rate"),
                lower=row.get("rate_lower"),
                upper=row.get("rate_upper"),
            )

    def _scores(self, watched: Watched) -> Iterable[ScoreRow]:
        for row, key, series in self._rows(watched):
            if key[2:] == ("score", "pinned") and row.get("mean") is not None:
                yield ScoreRow(series, key.feature, key.version, row["mean"])
