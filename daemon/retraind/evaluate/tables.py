"""Results and states as rows of the state file's tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from retraind.drift.attribution import movements, shape_words
from retraind.evaluate.findings import TOP_CONTRIBUTIONS, Outcome
from retraind.model import Counts

MILLION = 1_000_000


def timestamp(ns: int) -> datetime:
    """A TIMESTAMP value (naive UTC) of nanoseconds since the epoch, cut at microseconds."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(
        tzinfo=None, microsecond=ns // 1000 % MILLION
    )


def rows_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows for Transaction.append; NaN, and a column that a row lacks, become NULL."""
    # Not Table.from_pylist: it takes the columns of the first row only.
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [_null(row.get(name)) for row in rows] for name in names})


def window_row(outcome: Outcome, through_seq: int, now_ns: int) -> dict[str, Any]:
    """The row of `windows` for one tested feature."""
    window, counts = outcome.window, outcome.counts
    row: dict[str, Any] = {
        "series_id": window.series_id,
        "feature": outcome.key.feature,
        "version": outcome.key.version,
        "kind": outcome.key.kind,
        "window_start": timestamp(window.start_ns),
        "window_end": timestamp(window.end_ns),
        "sessions": window.sessions,
        "n": counts.n,
        "reference_kind": window.reference_kind,
        "reference_id": window.reference_id,
        "reference_hours": window.rungs.get(outcome.key),
        "verdict": outcome.verdict,
        "alarm_state": outcome.alarm_state,
        "in_family": outcome.in_family,
        "mean": mean(counts),
        "through_seq": through_seq,
        "evaluated_at": timestamp(now_ns),
    }
    if outcome.drift is not None:
        row |= _drift_columns(outcome)
    if outcome.rate is not None:
        row |= _rate_columns(outcome)
    return row


def mean(counts: Counts) -> float | None:
    """Mean of the fixed-point sums, None for kinds that have none."""
    if counts.kind not in ("score", "rate") or counts.n == 0:
        return None
    return counts.total / MILLION / counts.n


def _drift_columns(outcome: Outcome) -> dict[str, Any]:
    drift = outcome.drift
    assert drift is not None
    names = (
        "method", "m", "psi", "psi_floor", "psi_corrected", "psi_lower", "kl_reference_current",
        "kl_current_reference", "js_distance", "statistic", "degrees_of_freedom", "p_value",
    )  # fmt: skip
    parts = [
        asdict(part) | {"direction": "up" if part.residual > 0 else "down"}
        for part in movements(drift)[:TOP_CONTRIBUTIONS]
    ]
    return {name: getattr(drift, name) for name in names} | {
        "contributions": json.dumps(parts),
        "components": json.dumps(dict(drift.components)) if drift.components else None,
        "change": shape_words(drift.components) or None,
    }


def _rate_columns(outcome: Outcome) -> dict[str, Any]:
    rate = outcome.rate
    assert rate is not None
    reference = outcome.window.reference.get(outcome.key)
    return {
        "method": rate.method,
        "m": None if reference is None else reference.n,
        "rate": rate.rate,
        "rate_lower": rate.lower,
        "rate_upper": rate.upper,
        "baseline_rate": rate.baseline_rate,
        "baseline_upper": rate.baseline_upper,
        "log_e_value": rate.log_e_value,
        "log_threshold": rate.log_threshold,
        "results": rate.results,
        "failures": rate.failures,
    }


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
