"""The values of single sessions of one series, as its panes have counted them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from retraind.config.settings import Limits
from retraind.model import HOUR_NS, SeriesKey
from retraind.window.buckets import NO_BUCKET, bucket
from retraind.window.carriers import Carriers
from retraind.window.columns import Ints, group, pack, text_codes
from retraind.window.evaluations import load_judgements
from retraind.window.panes import Build, Calls
from retraind.window.plan import FeaturePlan, MonitorPlan
from retraind.window.series import fold_series
from retraind.window.traces import Traces, inherit, load_traces

Values = Ints | list[str | None]
_NO_EVALUATIONS = pa.schema(
    [("time", pa.timestamp("ns")), ("score", pa.float64()), ("passed", pa.bool_())]
    + [
        (name, pa.string())
        for name in (
            "trace_id", "span_id", "response_id", "session_id", "name", "label", "evaluator",
            "evaluator_version", "error_type", "kind", "source", "idempotency_key", "run_id",
            "variant",
        )
    ]
    + [("seq", pa.int64())]
).empty_table()  # fmt: skip


@dataclass(frozen=True, slots=True)
class SessionValues:
    """One entry a session: its id (its trace's where it has none), traces, and values by feature.

    Values are log buckets of numbers (NO_BUCKET for none), texts of categories (None for none).
    """

    ids: list[str]
    traces: list[tuple[str, ...]]
    values: Mapping[str, Values]


def session_values(
    spans: pa.Table,
    plan: MonitorPlan,
    key: SeriesKey,
    features: Collection[str],
    *,
    first_ns: int,
    last_ns: int,
    limits: Limits,
    known_series: Collection[SeriesKey],
) -> SessionValues:
    """Values of the sessions of a series in the hours [first_ns, last_ns).

    `spans` as for `build_panes`. A session of several hours counts in each; here it has the values
    of its first one.
    """
    build = Build(load_traces(spans), limits)
    traces = build.traces
    first, last = first_ns // HOUR_NS, -(-last_ns // HOUR_NS)
    build.judgements = load_judgements(_NO_EVALUATIONS, traces, first, last)
    in_range = (traces.hour >= first) & (traces.hour < last)
    calls = _calls_of(build, plan, key, np.flatnonzero(traces.leaf & in_range), known_series)
    if len(calls.row) == 0:
        return SessionValues([], [], {})
    pane, unit, by_trace = build.units(calls)
    member, _ = group(pack(pane, unit))
    one = np.unique(member, return_index=True)[1]
    ids = _ids(traces, calls.row[one], by_trace[pane[one]].tolist())
    chosen = _first_hours(ids, calls.hour[one].tolist())
    carriers = Carriers(traces, calls.row, member, np.flatnonzero(traces.production & in_range))
    wanted = [feature for feature in plan.features if feature.name in features]
    return SessionValues(
        [ids[i] for i in chosen],
        _traces_of(traces, calls.row, member, chosen),
        {each.name: _values(build, carriers, each, len(one), chosen) for each in wanted},
    )


def _calls_of(
    build: Build, plan: MonitorPlan, key: SeriesKey, leaves: Ints, known: Collection[SeriesKey]
) -> Calls:
    """The calls that panes count for this series, folded cohorts included."""
    calls = build.calls(plan, leaves)
    pairs = build.keys(plan, calls)
    folding = fold_series(pairs, known, build.limits)
    mine = [code for code, pair in enumerate(pairs) if folding.keys[pair[1]] == key]
    at = np.flatnonzero(np.isin(calls.series, mine))
    return Calls(calls.row[at], calls.hour[at], np.zeros(len(at), np.int64), calls.judgement[at])


def _ids(traces: Traces, rows: Ints, by_trace: list[bool]) -> list[str]:
    codes = text_codes(traces.table["session_id"])
    inherited = inherit(traces, codes)[rows].tolist()
    names = traces.trace_ids.to_pylist()
    own = traces.trace[rows].tolist()
    return [
        names[trace] if alone or code < 0 else codes.values[code]
        for code, trace, alone in zip(inherited, own, by_trace, strict=True)
    ]


def _first_hours(ids: list[str], hours: list[int]) -> list[int]:
    """The member with which each session begins, by id: an order that no row order changes."""
    best: dict[str, int] = {}
    for member, id_ in enumerate(ids):
        if id_ not in best or hours[member] < hours[best[id_]]:
            best[id_] = member
    return [best[id_] for id_ in sorted(best)]


def _traces_of(traces: Traces, row: Ints, member: Ints, chosen: list[int]) -> list[tuple[str, ...]]:
    names = traces.trace_ids.to_pylist()
    found: dict[int, set[str]] = {}
    for code, trace in zip(member.tolist(), traces.trace[row].tolist(), strict=True):
        found.setdefault(code, set()).add(names[trace])
    return [tuple(sorted(found[each])) for each in chosen]


def _values(
    build: Build, carriers: Carriers, feature: FeaturePlan, members: int, chosen: list[int]
) -> Values:
    owner, row = carriers.chosen(build.carried(feature), feature.anywhere)
    if feature.kind == "number":
        buckets = np.full(members, NO_BUCKET, np.int64)
        buckets[owner] = bucket(build.number(feature.source.alias)[row] * feature.scale)
        return buckets[chosen]
    codes = build.text(feature.source.alias)
    texts: list[str | None] = [None] * members
    for place, code in zip(owner.tolist(), codes.index[row].tolist(), strict=True):
        texts[place] = codes.values[code]
    return [texts[i] for i in chosen]
