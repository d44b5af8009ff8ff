"""Hours in short notation as panes: counted by the code that counts real sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.evaluate.panes import PANE_COLUMNS, series_id
from retraind.model import HOUR_NS, SeriesKey
from retraind.monitor_tests.notation import Apportion, Distribution, Shares, Value
from retraind.window.columns import Codes, Ints
from retraind.window.panes import SESSIONS
from retraind.window.plan import EvalPlan, MonitorPlan
from retraind.window.tally import (
    tally_categories,
    tally_numbers,
    tally_rates,
    tally_scores,
)  # fmt: skip

MILLION = 1_000_000
NO_CATEGORY_LIMIT = 2**31


class Hours:
    """The hours of one series, from its first session on."""

    def __init__(self, key: SeriesKey, start_ns: int, sessions: Sequence[int]) -> None:
        self.key = key
        self.first_ns = start_ns + next(i for i, n in enumerate(sessions) if n) * HOUR_NS
        self.hours = len(sessions)
        self._start_ns = start_ns
        self._sessions = np.array(sessions, np.int64)
        self._parts: list[pa.Table] = []
        hour = np.repeat(np.arange(len(sessions)), self._sessions)
        label = Codes(np.zeros(len(hour), np.int64), ["session"])
        rows = tally_categories(hour, label, self._sessions, NO_CATEGORY_LIMIT)
        self._append(rows, SESSIONS, "category")

    def feature(self, plan: MonitorPlan, name: str, hours: Sequence[Value], limit: int) -> None:
        """Count a feature. Raises ValueError when the notation does not fit its kind."""
        kind = next((each.kind for each in plan.features if each.name == name), None)
        if kind is None:
            known = ", ".join(each.name for each in plan.features)
            raise ValueError(f"the monitor has no feature {name!r}; it has {known}")
        if kind == "number":
            hour, values = self._numbers(hours)
            rows = tally_numbers(hour, values, self._sessions)
        else:
            hour, codes = self._categories(hours)
            rows = tally_categories(hour, codes, self._sessions, limit)
        self._append(rows, name, kind)

    def evaluation(self, plan: EvalPlan, name: str, hours: Sequence[Value]) -> None:
        """Count an eval: numbers are shares of sessions that fail, a distribution gives scores."""
        if any(isinstance(value, Distribution) for value in hours):
            self._scored(plan, name, hours)
            return
        failed: list[Ints] = []
        apportion = Apportion()
        for n, value in zip(self._sessions.tolist(), hours, strict=True):
            if value is None:
                failed.append(np.zeros(0, np.int64))
                continue
            if not isinstance(value, float) or not 0 <= value <= 1:
                raise ValueError("write the share of sessions that fail, e.g. 0.05, or scores")
            fails = apportion.hour({"fail": value, "pass": 1 - value}, n)["fail"]
            failed.append(np.repeat(np.array([1, 0], np.int64), [fails, n - fails]))
        self._rates(name, _hours_of(failed), np.concatenate(failed))

    def rows(self) -> pa.Table:
        """Rows of `panes`."""
        return pa.concat_tables(self._parts)

    def _scored(self, plan: EvalPlan, name: str, hours: Sequence[Value]) -> None:
        if plan.threshold is None:
            raise ValueError("scores need a threshold: set evals.<name>.threshold of the monitor")
        hour, scores = self._numbers(hours)
        millionths = np.rint(scores * MILLION).astype(np.int64)
        rows = tally_scores(hour, millionths, np.ones_like(hour), len(self._sessions))
        self._append(rows, name, "score")
        passed = scores >= plan.threshold if plan.higher_is_better else scores <= plan.threshold
        self._rates(name, hour, (~passed).astype(np.int64))

    def _rates(self, name: str, hour: Ints, failed: Ints) -> None:
        rows = tally_rates(hour, failed, np.ones_like(failed), len(self._sessions))
        self._append(rows, name, "rate")

    def _numbers(self, hours: Sequence[Value]) -> tuple[Ints, NDArray[np.float64]]:
        parts = []
        for at, (n, value) in enumerate(zip(self._sessions.tolist(), hours, strict=True)):
            if isinstance(value, Shares):
                raise ValueError("is a number; write e.g. 5 or normal(900, 200)")
            if isinstance(value, Distribution):
                parts.append(value.sample(n, at))
            else:
                parts.append(np.full(n if value is not None else 0, value or 0.0))
        return _hours_of(parts), np.concatenate(parts)

    def _categories(self, hours: Sequence[Value]) -> tuple[Ints, Codes]:
        texts: dict[str, int] = {}
        parts: list[Ints] = []
        apportion = Apportion()
        for n, value in zip(self._sessions.tolist(), hours, strict=True):
            if value is None:
                parts.append(np.zeros(0, np.int64))
                continue
            if not isinstance(value, Shares):
                raise ValueError("is a category; write e.g. {stop: 95, length: 5}")
            counts = apportion.hour(value.weights, n)
            codes = [texts.setdefault(text, len(texts)) for text in counts]
            parts.append(np.repeat(np.array(codes, np.int64), list(counts.values())))
        return _hours_of(parts), Codes(np.concatenate(parts), list(texts))

    def _append(self, rows: pa.Table, feature: str, kind: str) -> None:
        n = rows.num_rows
        times = self._start_ns + np.arange(n) * HOUR_NS
        columns: Mapping[str, object] = {
            "series_id": [series_id(self.key)] * n,
            "pane_start": pa.array(times // 1000).cast(pa.timestamp("us")),
            "feature": [feature] * n,
            "version": [""] * n,
            "kind": [kind] * n,
            "through_seq": pa.array(np.zeros(n, np.int64)),
        }
        taken = {name: rows[name] for name in PANE_COLUMNS if name in rows.column_names}
        table = pa.table({**columns, **taken})
        # As in production: an hour without sessions, or without results, has no row.
        self._parts.append(table.filter(pa.array(rows["sessions"].to_numpy() > 0)))


def _hours_of(parts: Sequence[NDArray[Any]]) -> Ints:
    """The hour of each value of these hours."""
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])
