"""Frozen counts by hour of the week, and how much of them a window is compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retraind.config.settings import ReferenceSettings
from retraind.model import HOUR_NS, Counts, ReferenceKind
from retraind.window.buckets import RATIO, SMALLEST
from retraind.window.columns import Codes, text_codes, to_floats
from retraind.window.counts import FeatureKey, add_all, merge_rows
from retraind.window.plan import MonitorPlan, split_version
from retraind.window.tally import tally_categories, tally_numbers

Rung = Literal["hour_of_week", "kind_of_day", "hour_of_day", "everything"]
Baseline = tuple[str, str, str]
"""What shares a baseline: feature, judge of an evaluation (else the version), kind."""
UNKNOWN_HOUR = -1
SECOND_NS = 1_000_000_000
BINS_RULE = f"log {RATIO} from {SMALLEST:g}"
_THURSDAY = 72  # the epoch began on a Thursday at 00:00 UTC; hour 0 of the week is Monday 00:00


@dataclass(frozen=True, slots=True)
class Reference:
    """Counts of each (feature, version, kind) by hour of the week (-1: not known, from a file)."""

    id: str
    kind: ReferenceKind
    counts: Mapping[FeatureKey, Mapping[int, Counts]]
    sizes: Mapping[FeatureKey, Mapping[int, int]]
    # Summing all hours costs more than comparing: done once a feature, then remembered.
    _whole: dict[FeatureKey, Counts | None] = field(default_factory=dict, compare=False, repr=False)

    def whole(self, key: FeatureKey) -> Counts | None:
        """All counts that a window of this key is compared with, None when there are none."""
        if key not in self._whole:
            items = [self.counts[other][hour] for other, hour, _ in _items(self, key)]
            self._whole[key] = add_all(items) if items else None
        return self._whole[key]


def baseline_of(key: FeatureKey) -> Baseline:
    """Versions of a model that the same judge has judged have one baseline."""
    feature, version, kind = key
    return feature, split_version(version)[1] if kind in ("score", "rate") else version, kind


def hour_of_week(time_ns: int) -> int:
    """0 is Monday 00:00 UTC, 167 Sunday 23:00."""
    return (time_ns // HOUR_NS + _THURSDAY) % 168


def reference_id(kind: ReferenceKind, counts: Mapping[FeatureKey, Mapping[int, Counts]]) -> str:
    """128-bit hash of the kind, the rule of the bins, and all counts, whatever their order."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((kind, BINS_RULE)).encode())
    for key in sorted(counts):
        for hour in sorted(counts[key]):
            item = counts[key][hour]
            sums = (item.missing, item.total, item.total_squares, item.results, item.failures)
            digest.update(repr((key, hour, item.kind, len(item.values), sums)).encode())
            digest.update(_bytes_of(item.values))
            digest.update(_bytes_of(item.counts))
    return digest.hexdigest()


def _bytes_of(values: NDArray[Any]) -> bytes:
    """Integers as 64-bit little-endian, texts by their repr, which shows where one ends."""
    if values.dtype == object:
        return repr(tuple(values.tolist())).encode() if len(values) else b""
    return values.astype("<i8", copy=False).tobytes()


def freeze(kind: ReferenceKind, counts: Mapping[FeatureKey, Mapping[int, Counts]]) -> Reference:
    """A reference of these counts, with its id."""
    sizes = {
        key: {hour: item.n for hour, item in by_hour.items()} for key, by_hour in counts.items()
    }
    return Reference(reference_id(kind, counts), kind, counts, sizes)


def references_from_panes(rows: pa.Table, kind: ReferenceKind = "pinned") -> dict[str, Reference]:
    """References by series_id, of rows of `panes` (with pane_start_ns) by hour of the week."""
    hours = (rows["pane_start_ns"].to_numpy() // HOUR_NS + _THURSDAY) % 168
    rows = rows.append_column("hour_of_week", pa.array(hours))
    by = ("series_id", "feature", "version", "kind", "hour_of_week")
    counts: dict[str, dict[FeatureKey, dict[int, Counts]]] = {}
    for (series, feature, version, kind_, hour), item in merge_rows(rows, by).items():
        own = counts.setdefault(series, {})
        own.setdefault((feature, version, kind_), {})[hour] = item
    return {series: freeze(kind, own) for series, own in counts.items()}


def reference_from_rows(rows: pa.Table, kind: ReferenceKind = "pinned") -> Reference:
    """A reference from rows with the columns of `reference_counts`."""
    counts: dict[FeatureKey, dict[int, Counts]] = {}
    by = ("feature", "version", "kind", "hour_of_week")
    for (feature, version, kind_, hour), item in merge_rows(rows, by).items():
        counts.setdefault((feature, version, kind_), {})[hour] = item
    return freeze(kind, counts)


def window_hours(start_ns: int, end_ns: int) -> frozenset[int]:
    """Hours of the week that a window covers."""
    count = min(168, -(-(end_ns - start_ns) // HOUR_NS))
    return frozenset(hour_of_week(start_ns + i * HOUR_NS) for i in range(count))


def pool(
    reference: Reference, key: FeatureKey, hours: frozenset[int], n: int, ratio: float
) -> tuple[Counts, Rung] | None:
    """What a window of `n` sessions over these hours of the week is compared with.

    The narrowest with at least ratio x n sessions of: the same hours of the week; the same hours
    of the day on the same kind of day (weekday or weekend); the same hours of the day. When none
    has as many, the last, if it has enough for a test at all: other hours are not taken, because a
    difference between night and day is not drift. None otherwise: the result is immature. What has
    no hours, or less than a day of them, serves as a whole: a file, or a period that somebody chose
    to be short. Scores and rates pool all versions of the model judged by the same judge. Rates
    take everything, however little: the upper limit of their baseline already widens with few.
    """
    items = _items(reference, key)
    known = {hour for _, hour, _ in items} - {UNKNOWN_HOUR}
    if key[2] == "rate" or _within_a_day(known):
        found = sum(size for _, _, size in items)
        enough = 0 if key[2] == "rate" else ratio * n
        whole = reference.whole(key) if found > 0 and found >= enough else None
        return None if whole is None else (whole, "everything")
    for rung in _LIKE_HOURS:
        chosen = [item for item in items if _on_rung(rung, item[1], hours)]
        found = sum(size for _, _, size in chosen)
        enough = ratio * n if rung != _LIKE_HOURS[-1] else min(ratio * n, FEWEST_SESSIONS)
        if found > 0 and found >= enough:
            return add_all([reference.counts[other][hour] for other, hour, _ in chosen]), rung
    return None


SAME_HOURS: frozenset[Rung] = frozenset({"hour_of_week", "kind_of_day"})
"""Rungs on which a difference cannot be that of other hours."""
_LIKE_HOURS: tuple[Rung, ...] = ("hour_of_week", "kind_of_day", "hour_of_day")
FEWEST_SESSIONS = 100
"""On either side of a test, as design.md has it for windows."""


def _within_a_day(hours: Collection[int]) -> bool:
    """Whether 24 hours in a row hold them all."""
    ordered = sorted(hours)
    gaps = [(b - a - 1) % 168 + 1 for a, b in zip(ordered, ordered[1:] + ordered[:1], strict=True)]
    return max(gaps, default=168) > 168 - 24


def _items(reference: Reference, key: FeatureKey) -> list[tuple[FeatureKey, int, int]]:
    """(feature key, hour, sessions) of what a window of this key is compared with."""
    feature, version, kind = key
    keys = [key] if key in reference.sizes else []
    if kind in ("score", "rate"):
        judge = split_version(version)[1]
        keys = [
            other
            for other in reference.sizes
            if (other[0], other[2]) == (feature, kind) and split_version(other[1])[1] == judge
        ]
    return [(other, hour, n) for other in keys for hour, n in reference.sizes[other].items()]


def _on_rung(rung: Rung, hour: int, hours: frozenset[int]) -> bool:
    if hour == UNKNOWN_HOUR:
        return False
    if rung == "hour_of_week":
        return hour in hours
    if rung == "kind_of_day":
        return (hour % 24, hour // 24 >= 5) in {(each % 24, each // 24 >= 5) for each in hours}
    return hour % 24 in {each % 24 for each in hours}


def mature(first_ns: int, last_ns: int, sessions: int, settings: ReferenceSettings) -> bool:
    """Whether traffic of [first_ns, last_ns) is long and large enough to pin itself."""
    age = last_ns - first_ns
    return age >= settings.min_age * SECOND_NS and sessions >= settings.min_sessions


def counts_from_table(
    table: pa.Table, plan: MonitorPlan
) -> Mapping[FeatureKey, Mapping[int, Counts]]:
    """Counts of a training distribution: one row a session, columns named like the features.

    Columns that are no feature are ignored. Raises ValueError when no column is a feature.
    """
    counts: dict[FeatureKey, dict[int, Counts]] = {}
    pane = np.zeros(table.num_rows, np.int64)
    sessions = np.array([table.num_rows], np.int64)
    for feature in plan.features:
        if feature.name not in table.column_names:
            continue
        if feature.kind == "number":
            rows = tally_numbers(pane, to_floats(table[feature.name]), sessions)
        else:
            codes = text_codes(table[feature.name])
            there = codes.index >= 0
            present = Codes(codes.index[there], codes.values)
            rows = tally_categories(pane[there], present, sessions, 2**31)
        key = (feature.name, "", feature.kind)
        rows = rows.append_column("kind", pa.array([feature.kind]))
        counts[key] = {UNKNOWN_HOUR: merge_rows(rows, ("kind",))[(feature.kind,)]}
    if not counts:
        raise ValueError(f"no column is a feature of the monitor: {_names(plan)}")
    return counts


def _names(plan: MonitorPlan) -> str:
    names: Sequence[str] = [feature.name for feature in plan.features]
    return ", ".join(names)
