"""Panes: one hour of one series, counted by session. A pure function of stored rows (design.md, 6).

The rows come out the same whatever the order of the input, the batching, duplicates, unrelated
traces in the input, or the number of hours built together (given the series known so far).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from retraind.config.settings import Limits
from retraind.model import HOUR_NS, SeriesKey
from retraind.window.carriers import Carriers
from retraind.window.columns import (
    Bools,
    Codes,
    Ints,
    group,
    pack,
    starts_of_runs,
    sum_by,
    text_codes,
    to_floats,
)  # fmt: skip
from retraind.window.evaluations import MILLION, Judgements, load_judgements
from retraind.window.plan import FeaturePlan, MonitorPlan, Source, version_key
from retraind.window.series import fold_series
from retraind.window.tally import (
    ROW_COLUMNS,
    tally_categories,
    tally_numbers,
    tally_rates,
    tally_scores,
)  # fmt: skip
from retraind.window.traces import Traces, inherit, load_traces
from retraind.window.usage import read_reports, second_reports

SESSIONS = "sessions"
VERSIONS = "versions"
KEY_COLUMNS = ("monitor", "service_name", "environment", "model", "cohort")
COLUMNS = (*KEY_COLUMNS, "pane_start_ns", "feature", "version", "kind", *ROW_COLUMNS)
DOMINATED_TRACES = 20


@dataclass(frozen=True, slots=True)
class PaneBuild:
    """The panes of a range of hours.

    `rows`: COLUMNS, sorted by key, hour, feature, version, kind. `new_series`: keys not known
    before. `folded`: keys folded by limit (models, cohorts, series). `by_trace`: panes (series,
    start) in which one session id held over half of at least 20 traces, so that traces were counted
    instead; their row `sessions` has the category `trace` instead of `session`. `waiting`:
    evaluations whose call is not among the spans.
    """

    rows: pa.Table
    new_series: tuple[SeriesKey, ...]
    folded: Mapping[str, int]
    by_trace: frozenset[tuple[SeriesKey, int]]
    waiting: int
    spans: int


@dataclass(slots=True)
class Calls:
    """Leaf inference spans of one monitor: `row` in Traces, the hour of the pane, the series."""

    row: Ints
    hour: Ints
    series: Ints
    judgement: Ints


def build_panes(
    spans: pa.Table,
    evaluations: pa.Table,
    plans: Sequence[MonitorPlan],
    *,
    first_ns: int,
    last_ns: int,
    limits: Limits,
    known_series: Collection[SeriesKey] = (),
) -> PaneBuild:
    """Build all panes of the hours [first_ns, last_ns).

    `spans`: BASE_COLUMNS and the aliases of all_columns(plans), from two hours before the range
    on (an evaluation may judge a call of the hour before, whose session comes from the hour before
    that); duplicates may be there. `evaluations`: the columns of the table. Rows whose pane is
    outside the range are context only.
    """
    first, last = first_ns // HOUR_NS, -(-last_ns // HOUR_NS)
    build = Build(load_traces(spans), limits)
    build.judgements = load_judgements(evaluations, build.traces, first, last)
    in_range = (build.traces.hour >= first) & (build.traces.hour < last)
    leaves = np.flatnonzero(build.traces.leaf & in_range)
    calls = [build.calls(plan, leaves) for plan in plans]
    keys = [build.keys(plan, item) for plan, item in zip(plans, calls, strict=True)]
    folding = fold_series((pair for each in keys for pair in each), known_series, limits)
    finals = sorted(set(folding.keys.values()))
    position = {key: i for i, key in enumerate(finals)}
    others = np.flatnonzero(build.traces.production & in_range)
    for plan, item, pairs in zip(plans, calls, keys, strict=True):
        final = np.array([position[folding.keys[key]] for _, key in pairs], np.int64)
        item.series = final[item.series]
        build.distributions(plan, item, others)
        build.quality(plan, item)
    return PaneBuild(
        rows=_sorted_rows(build.parts, finals),
        new_series=folding.new,
        folded=folding.folded,
        by_trace=frozenset((finals[series], hour * HOUR_NS) for series, hour in build.by_trace),
        waiting=build.judgements.waiting,
        spans=len(build.traces.trace),
    )


class Build:
    """What the steps share: the spans, columns (each computed once), and the rows so far."""

    judgements: Judgements

    def __init__(self, traces: Traces, limits: Limits) -> None:
        self.traces = traces
        self.limits = limits
        self.parts: list[pa.Table] = []
        self.by_trace: set[tuple[int, int]] = set()
        self._texts: dict[str, Codes] = {}
        self._floats: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
        self._repeated: Bools | None = None

    def text(self, alias: str, *, resolved: bool = False) -> Codes:
        name = f"resolved {alias}" if resolved else alias
        if name not in self._texts:
            codes = text_codes(self.traces.table[alias])
            if resolved:
                codes = Codes(inherit(self.traces, codes), codes.values)
            self._texts[name] = codes
        return self._texts[name]

    def number(self, alias: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if alias not in self._floats:
            self._floats[alias] = to_floats(self.traces.table[alias])
        return self._floats[alias]

    def resolved(self, source: Source) -> Codes:
        """A cohort or a version: the call's own, else one that it inherits."""
        return self.text(source.alias, resolved=source.inherited)

    def repeated(self) -> Bools:
        """Calls that another span reports, too."""
        if self._repeated is None:
            reports = read_reports(self.traces, self.text, self.number)
            self._repeated = second_reports(self.traces, reports)
        return self._repeated

    def model(self) -> Codes:
        """Request model, else response model, as one set of codes."""
        if "model" not in self._texts:
            request, response = self.text("request_model"), self.text("response_model")
            position = {text: i for i, text in enumerate(request.values)}
            for text in response.values:
                position.setdefault(text, len(position))
            remap = np.array([position[text] for text in response.values] + [-1], np.int64)
            index = np.where(request.index >= 0, request.index, remap[response.index])
            self._texts["model"] = Codes(index, list(position))
        return self._texts["model"]

    def _key_codes(self, plan: MonitorPlan) -> list[Codes]:
        nothing = Codes(np.full(len(self.traces.trace), -1, np.int64), [])
        cohort = nothing if plan.cohort is None else self.resolved(plan.cohort)
        return [self.text("service_name"), self.text("environment"), self.model(), cohort]

    def calls(self, plan: MonitorPlan, leaves: Ints) -> Calls:
        """The calls of the range, and those that an evaluation of the range judges."""
        service, environment, model, cohort = self._key_codes(plan)
        matched = _equals(service, plan.service_name) & _equals(environment, plan.environment)
        rows = leaves[matched[leaves]]
        judged = np.flatnonzero(matched[self.judgements.call])
        row = np.concatenate((rows, self.judgements.call[judged]))
        hour = np.concatenate((self.traces.hour[rows], self.judgements.hour[judged]))
        none = np.full(len(rows), -1, np.int64)
        codes = (service.index, environment.index, model.index, cohort.index)
        series, _ = group(pack(*(code[row] for code in codes)))
        return Calls(row, hour, series, np.concatenate((none, judged)))

    def keys(self, plan: MonitorPlan, calls: Calls) -> list[tuple[int, SeriesKey]]:
        """First hour and key of each series code of `calls`."""
        order = np.lexsort((calls.hour, calls.series))
        firsts = order[starts_of_runs(calls.series[order])]
        columns = [
            [codes.text(i) for i in codes.index[calls.row[firsts]]]
            for codes in self._key_codes(plan)
        ]
        hours = calls.hour[firsts].tolist()
        return [
            (hour, SeriesKey(plan.monitor, *key))
            for hour, key in zip(hours, zip(*columns, strict=True), strict=True)
        ]

    def units(self, calls: Calls) -> tuple[Ints, Ints, Bools]:
        """Pane code and session (or trace) code of each call; the panes that count traces."""
        pane, _ = group(pack(calls.series, calls.hour))
        session, trace = self.traces.session[calls.row], self.traces.trace[calls.row]
        pairs = group(pack(pane, trace, session))[0]
        one = np.unique(pairs, return_index=True)[1]
        held, first = np.unique(pack(pane[one], session[one]), return_index=True)
        codes = np.searchsorted(held, pack(pane[one], session[one]))
        count = np.bincount(codes, minlength=len(held))
        panes = int(pane.max(initial=-1)) + 1
        traces = np.bincount(pane[one], minlength=panes)
        top = np.zeros(panes, np.int64)
        np.maximum.at(top, pane[one][first], count)
        by_trace = (traces >= DOMINATED_TRACES) & (2 * top > traces)
        unit: Ints = np.where(by_trace[pane], session.max(initial=-1) + 1 + trace, session)
        return pane, unit, by_trace

    def distributions(self, plan: MonitorPlan, everything: Calls, others: Ints) -> None:
        """Number of sessions, and one value a session of every feature."""
        own = np.flatnonzero(everything.judgement < 0)
        calls = _take(everything, own)
        if len(own) == 0:
            return
        pane, unit, by_trace = self.units(calls)
        member, _ = group(pack(pane, unit))
        first = np.unique(member, return_index=True)[1]
        pane_of = pane[first]
        sessions = np.bincount(pane_of, minlength=len(by_trace))
        at = np.unique(pane, return_index=True)[1]
        series, hours = calls.series[at], calls.hour[at]
        self.by_trace |= set(zip(series[by_trace].tolist(), hours[by_trace].tolist(), strict=True))
        label = Codes(by_trace[pane_of].astype(np.int64), ["session", "trace"])
        rows = tally_categories(pane_of, label, sessions, 2)
        self._append(rows, series, hours, SESSIONS, "category")
        carriers = Carriers(self.traces, calls.row, member, others)
        version = self.resolved(plan.version)
        owner, row = carriers.chosen(version.index >= 0, anywhere=False)
        codes = Codes(version.index[row], version.values)
        rows = tally_categories(pane_of[owner], codes, sessions, self.limits.categories)
        self._append(rows, series, hours, VERSIONS, "category")
        for feature in plan.features:
            owner, row = carriers.chosen(self.carried(feature), feature.anywhere)
            if feature.kind == "number":
                values = self.number(feature.source.alias)[row] * feature.scale
                rows = tally_numbers(pane_of[owner], values, sessions)
            else:
                codes = self.text(feature.source.alias)
                codes = Codes(codes.index[row], codes.values)
                rows = tally_categories(pane_of[owner], codes, sessions, self.limits.categories)
            self._append(rows, series, hours, feature.name, feature.kind)

    def carried(self, feature: FeaturePlan) -> Bools:
        if feature.kind == "number":
            numbers = self.number(feature.source.alias)
            carried = np.isfinite(numbers) & (numbers >= feature.minimum)
            return np.asarray(carried & ~self.repeated() if feature.once else carried)
        return self.text(feature.source.alias).index >= 0

    def quality(self, plan: MonitorPlan, everything: Calls) -> None:
        """Scores and fail rates of the evaluations, by eval, version and judge."""
        calls = _take(everything, np.flatnonzero(everything.judgement >= 0))
        if len(calls.row) == 0:
            return
        _, unit, _ = self.units(calls)
        version, judgements = self.resolved(plan.version), self.judgements
        name = judgements.name.index[calls.judgement]
        for code in np.unique(name).tolist():
            text = judgements.name.values[code]
            at = np.flatnonzero(name == code)
            judged = calls.judgement[at]
            key = pack(version.index[calls.row[at]], judgements.judge.index[judged])
            verdict = judgements.verdicts(judged, plan.eval_plan(text))
            for one in np.unique(key).tolist():
                of = key == one
                v, j = version.index[calls.row[at[of]][0]], judgements.judge.index[judged[of][0]]
                label = version_key(version.text(v), judgements.judge.text(j))
                part, units = _take(calls, at[of]), unit[at[of]]
                self._scores(part, units, text, label)
                self._rates(part, units, verdict[of], text, label)

    def _scores(self, calls: Calls, unit: Ints, name: str, version: str) -> None:
        score = self.judgements.score[calls.judgement]
        scored = ~np.isnan(score)
        calls, unit = _take(calls, np.flatnonzero(scored)), unit[scored]
        value = np.rint(score[scored] * MILLION).astype(np.int64)
        pane, (total, count), (series, hours) = _by_session(calls, unit, value, np.ones_like(value))
        rows = tally_scores(pane, total, count, len(series))
        self._append(rows, series, hours, name, "score", version)

    def _rates(self, calls: Calls, unit: Ints, verdict: Ints, name: str, version: str) -> None:
        known = np.flatnonzero(verdict >= 0)
        failed = 1 - verdict[known]
        pane, (fails, count), (series, hours) = _by_session(
            _take(calls, known), unit[known], failed, np.ones_like(failed)
        )
        rows = tally_rates(pane, fails, count, len(series))
        self._append(rows, series, hours, name, "rate", version)

    def _append(
        self, rows: pa.Table, series: Ints, hours: Ints, feature: str, kind: str, version: str = ""
    ) -> None:
        columns = {"series": pa.array(series), "pane_start_ns": pa.array(hours * HOUR_NS)}
        for column, text in (("feature", feature), ("version", version), ("kind", kind)):
            columns[column] = pa.repeat(pa.scalar(text, pa.string()), len(series))
        columns.update(zip(rows.column_names, rows.columns, strict=True))
        self.parts.append(pa.table(columns))


def _equals(codes: Codes, text: str | None) -> Bools:
    """Where a column has this text; everywhere for None."""
    if text is None:
        return np.ones(len(codes.index), bool)
    code = codes.values.index(text) if text in codes.values else -2
    return np.asarray(codes.index == code)


def _take(calls: Calls, at: Ints) -> Calls:
    return Calls(calls.row[at], calls.hour[at], calls.series[at], calls.judgement[at])


def _by_session(
    calls: Calls, unit: Ints, *values: Ints
) -> tuple[Ints, list[Ints], tuple[Ints, Ints]]:
    """Pane of each session, sums of the values by session, and series and hour of each pane."""
    pane = group(pack(calls.series, calls.hour))[0]
    member = group(pack(pane, unit))[0]
    first = np.unique(member, return_index=True)[1]
    sums = [sum_by(member, value, len(first)) for value in values]
    at = np.unique(pane, return_index=True)[1]
    return pane[first], sums, (calls.series[at], calls.hour[at])


def _sorted_rows(parts: list[pa.Table], finals: list[SeriesKey]) -> pa.Table:
    if not parts:
        return EMPTY
    rows = pa.concat_tables(parts)
    rows = rows.sort_by(
        [(name, "ascending") for name in ("series", "pane_start_ns", "feature", "version", "kind")]
    )
    series = rows["series"].combine_chunks()
    for i, name in enumerate(KEY_COLUMNS):
        texts = pa.array([getattr(key, name) for key in finals], pa.string())
        rows = rows.add_column(i, name, texts.take(series))
    return rows.select(list(COLUMNS))


_TYPES = {
    **dict.fromkeys((*KEY_COLUMNS, "feature", "version", "kind"), pa.string()),
    "buckets": pa.list_(pa.int32()),
    "categories": pa.list_(pa.string()),
    "counts": pa.list_(pa.int64()),
}
EMPTY = pa.schema([(name, _TYPES.get(name, pa.int64())) for name in COLUMNS]).empty_table()
