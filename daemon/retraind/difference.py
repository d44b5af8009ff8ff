"""How far one reference, or current traffic, is from another reference, feature by feature."""

from __future__ import annotations

from typing import Any

from retraind.config.settings import Config
from retraind.drift.compare import compare
from retraind.errors import QueryError
from retraind.evaluate.references import panes_of
from retraind.model import HOUR_NS, Counts, Json
from retraind.rates.baseline import mean
from retraind.store.state import State
from retraind.window.counts import FeatureKey, is_high_cardinality
from retraind.window.reference import (
    Reference,
    baseline_of,
    reference_from_rows,
    references_from_panes,
)  # fmt: skip

CURRENT = "current"
_SHOWN = ("method", "n", "m", "psi", "psi_corrected", "psi_lower", "p_value")


def difference(state: State, config: Config, reference_id: str, other: str | None) -> Json:
    """{"reference", "other", "features": [...]}, the feature that moved most first.

    Current traffic is what pinning would take now: the newest `reference.min_age` of the series.
    For fail rates it gives both rates. Raises QueryError when one of them is not there.
    """
    row = _find(state, reference_id)
    first = _load(state, row)
    if other is None:
        second = _current(state, config, row["series_id"])
    else:
        second = _load(state, _find(state, other))
    keys = {baseline_of(key): key for each in (second, first) for key in sorted(each.sizes)}
    features = [
        _feature(first.whole(key), second.whole(key), key, config.limits.categories)
        for key in keys.values()
    ]
    features.sort(key=lambda each: (-(each["psi_corrected"] or 0.0), each["feature"]))
    return {
        "reference": row["id"],
        "other": CURRENT if other is None else second.id,
        "features": features,
    }


def _feature(a: Counts | None, b: Counts | None, key: FeatureKey, categories: int) -> Json:
    feature, version, kind = baseline_of(key)
    shown: Json = {"feature": feature, "version": version, "kind": kind}
    shown |= dict.fromkeys((*_SHOWN, "rate", "other_rate"))
    shown |= {"n": 0 if b is None else b.n, "m": 0 if a is None else a.n}
    if a is None or b is None or not a.n or not b.n:
        return shown
    if kind == "rate":
        return shown | {"rate": mean(a), "other_rate": mean(b)}
    if is_high_cardinality(a, categories) or is_high_cardinality(b, categories):
        return shown | {"method": "high_cardinality"}
    result = compare(a, b)
    return shown | {name: getattr(result, name) for name in _SHOWN}


def _find(state: State, reference_id: str) -> dict[str, Any]:
    rows = state.read("find_references", id=reference_id).to_pylist()
    if not rows:
        raise QueryError(f"there is no reference {reference_id}")
    if len({row["id"] for row in rows}) > 1:
        raise QueryError(f"{reference_id} begins more than one id; write more of it")
    found: dict[str, Any] = rows[0]
    return found


def _load(state: State, row: dict[str, Any]) -> Reference:
    counts = state.read("read_reference_counts", id=row["id"], series_id=row["series_id"])
    return reference_from_rows(counts, row["kind"])


def _current(state: State, config: Config, series_id: str) -> Reference:
    (series,) = (row for row in state.read("read_series").to_pylist() if row["id"] == series_id)
    monitor = config.monitors_by_name.get(series["monitor"])
    closed = [
        row["closed_ns"]
        for row in state.read("read_watermarks").to_pylist()
        if (row["service_name"], row["environment"])
        == (series["service_name"], series["environment"])
    ]
    if monitor is None or not closed:
        raise QueryError(f"the monitor {series['monitor']} watches this series no more")
    last_ns = closed[0]
    first_ns = (last_ns - int(monitor.reference.min_age * 1e9)) // HOUR_NS * HOUR_NS
    found = references_from_panes(panes_of(state, {series_id: first_ns}, last_ns))
    if series_id not in found:
        raise QueryError("the series has no closed panes in reference.min_age")
    return found[series_id]
