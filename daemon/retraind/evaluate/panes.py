"""From newly stored rows to panes: clocks move, hours close, late hours are built again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.config.settings import Config, WindowSettings
from retraind.evaluate import holds, service_versions
from retraind.evaluate.inputs import CONTEXT_NS, pane_inputs
from retraind.evaluate.memory import Memory, Series, Source, SourceState
from retraind.evaluate.tables import rows_table, timestamp
from retraind.evaluate.tidy import KEPT_NS
from retraind.model import HOUR_NS, SeriesKey
from retraind.store.rows import Column, StoredRows
from retraind.store.state import State, Transaction
from retraind.telemetry import Telemetry
from retraind.window.panes import build_panes
from retraind.window.plan import MonitorPlan, all_columns
from retraind.window.series import OTHER
from retraind.window.watermark import first_clock, summarise

ABSORBED_ROWS = 1_000_000
BUILT_SPANS = 1_000_000
FROZEN_AFTER_NS = 24 * HOUR_NS

PANE_COLUMNS = (
    "feature", "version", "kind", "sessions", "missing", "buckets", "categories", "counts", "total",
    "total_squares", "results", "failures",
)  # fmt: skip


class PaneBuilder:
    """Keeps the panes of every source up to date with the stored rows."""

    def __init__(
        self,
        rows: StoredRows,
        state: State,
        plans: Sequence[MonitorPlan],
        config: Config,
        telemetry: Telemetry,
    ) -> None:
        self._rows = rows
        self._state = state
        self._plans = plans
        context = frozenset(alias for plan in plans for alias in plan.context())
        self._columns = {
            alias: Column(source.kind, source.key, alias in context)
            for alias, source in all_columns(plans).items()
        }
        self._limits = config.limits
        self._monitors = config.monitors
        self._telemetry = telemetry
        windows = [monitor.window for monitor in config.monitors]
        # A source is shared by all monitors: the most patient one decides when its hours close.
        self._lateness = WindowSettings(
            lateness_min=max(window.lateness_min for window in windows),
            lateness_max=max(window.lateness_max for window in windows),
        )

    def bring_up_to_date(self, memory: Memory, now_ns: int) -> None:
        """Absorb new rows, then build panes that closed or changed; `memory.due` says whose."""
        while True:
            newest = max(memory.through_seq, self._rows.newest_seq())
            through = min(newest, memory.through_seq + ABSORBED_ROWS)
            late = self._absorb(memory, through)
            for source in sorted(memory.sources):
                hours = late.get(source, set())
                self._build_source(memory, source, hours, through, now_ns)
            if through > memory.through_seq:
                self._record(memory, late, through)
            if through >= newest:
                return

    def _absorb(self, memory: Memory, through: int) -> dict[Source, set[int]]:
        """Move the clocks over rows up to `through`; the touched hours of each source."""
        touched: dict[Source, set[int]] = {}
        if through <= memory.through_seq:
            return touched
        table = self._rows.new_rows(memory.through_seq, through)
        for source, part in _by_source(table):
            event_ns = part.column("event_ns").to_numpy()
            received_ns = part.column("received_ns").to_numpy()
            hours = np.unique(event_ns // HOUR_NS) * HOUR_NS
            known = memory.sources.get(source)
            if known is not None:
                batch = summarise(event_ns, received_ns, known.clock.max_event_ns)
                known.clock = known.clock.update(batch)
            elif len(memory.sources) >= self._limits.series:
                self._telemetry.series_limited.labels("series").inc()
                continue
            else:
                clock = first_clock(summarise(event_ns, received_ns))
                if clock is None:
                    continue
                # A clock that once stood at 1970 must not open decades of windows.
                first_ns = (clock.max_event_ns - KEPT_NS) // HOUR_NS * HOUR_NS
                memory.sources[source] = SourceState(clock, max(int(hours[0]), first_ns))
            touched[source] = set(hours.tolist())
        self._touch_others(memory, touched, through)
        self._touch_told_and_judged(memory, touched, through)
        return touched

    def _touch_others(self, memory: Memory, touched: dict[Source, set[int]], through: int) -> None:
        """A row also changes the closed panes of the other services that share its trace."""
        if len(memory.sources) < 2:
            return
        closed = max(state.closed_ns for state in memory.sources.values())
        past = [hour for hours in touched.values() for hour in hours if hour < closed]
        past = [hour for hour in past if hour >= closed - FROZEN_AFTER_NS - CONTEXT_NS]
        if not past:
            return
        shared = self._rows.shared_traces(
            memory.through_seq, through, min(past), closed + CONTEXT_NS
        )
        for service_name, environment, hour in shared:
            source = Source(service_name, environment)
            if source in memory.sources:
                touched.setdefault(source, set()).add(hour)

    def _touch_told_and_judged(
        self, memory: Memory, touched: dict[Source, set[int]], through: int
    ) -> None:
        """Log records and evaluations change the closed panes of the calls that they are about."""
        closed = max((state.closed_ns for state in memory.sources.values()), default=0)
        if closed == 0:
            return
        late = any(hour < closed for hours in touched.values() for hour in hours)
        first = closed - FROZEN_AFTER_NS - CONTEXT_NS
        changed = self._rows.late_hours(memory.through_seq, through, first, closed, spans=late)
        for service_name, environment, hour in changed:
            source = Source(service_name, environment)
            if source in memory.sources:
                touched.setdefault(source, set()).add(hour)

    def _build_source(
        self,
        memory: Memory,
        source: Source,
        touched: set[int],
        through: int,
        now_ns: int,
    ) -> None:
        state = memory.sources[source]
        watermark = state.clock.watermark_ns(now_ns, self._lateness)
        closed = state.closed_ns
        horizon = max(watermark // HOUR_NS * HOUR_NS, closed)
        frozen = watermark - FROZEN_AFTER_NS
        late = {hour for hour in touched if hour < closed}
        # A late span changes its own pane and, as context, the next ones (ADR 3).
        context = {hour + shift for hour in late for shift in (HOUR_NS, CONTEXT_NS)}
        late |= {hour for hour in context if hour < closed}
        if late:
            frozen = max(frozen, self._deleted_through_ns() + CONTEXT_NS)
        again = sorted(hour for hour in late if hour >= frozen)
        self._telemetry.frozen_late_panes.inc(len(late) - len(again))
        ranges = [(hour, hour + HOUR_NS) for hour in again]
        self._telemetry.late_panes.inc(len(again))
        if horizon > closed:
            ranges += self._bounded(source, closed, horizon)
        for first, last in ranges:
            self._build(memory, source, first, last, through)

    def build_hours(
        self, memory: Memory, source: Source, first: int, last: int, through: int
    ) -> None:
        """Build the panes of a source in [first, last) of rows up to a seq, whatever the clocks."""
        for start, end in self._bounded(source, first, last):
            self._build(memory, source, start, end, through)

    def record_deploys(self, memory: Memory, versions: pa.Table) -> None:
        """Take up versions (StoredRows.new_versions), and place the holds that follow."""
        with self._state.transaction() as tx:
            placed = service_versions.record(tx, memory, versions, self._monitors)
        holds.announce(placed)

    def _deleted_through_ns(self) -> int:
        """No pane that these event times take part in may be built again: rows are missing."""
        found: int = self._state.read("deleted_through")["deleted_ns"][0].as_py()
        return found

    def _bounded(self, source: Source, first_ns: int, last_ns: int) -> list[tuple[int, int]]:
        """The range cut so that no piece holds many more than BUILT_SPANS spans."""
        counts = self._rows.rows_per_hour(
            source.service_name, source.environment, first_ns, last_ns
        )
        pieces = []
        start, size = first_ns, 0
        for hour, n in counts:
            if size and size + n > BUILT_SPANS:
                pieces.append((start, hour))
                start, size = hour, 0
            size += n
        return [*pieces, (start, last_ns)]

    def _build(self, memory: Memory, source: Source, first: int, last: int, through: int) -> None:
        started = time.perf_counter()
        spans, evaluations = pane_inputs(self._rows, source, first, last, through, self._columns)
        build = build_panes(
            spans, evaluations, self._plans, first_ns=first, last_ns=last,
            limits=self._limits, known_series=memory.known_keys(),
        )  # fmt: skip
        for limit, n in build.folded.items():
            if n:
                self._telemetry.series_limited.labels(limit).inc(n)
        rows = _of_source(build.rows, source)
        new = _new_series(memory, rows)
        state = memory.sources[source]
        closed = max(state.closed_ns, last)
        with self._state.transaction() as tx:
            tx.run(
                "delete_panes", first=first, last=last,
                service_name=source.service_name, environment=source.environment,
            )  # fmt: skip
            if new:
                tx.append("series", rows_table([series_row(series) for series in new]))
            if rows.num_rows:
                tx.append("panes", _pane_rows(memory, new, rows, through))
            if closed > state.closed_ns:
                tx.run(
                    "move_closed", closed=closed,
                    service_name=source.service_name, environment=source.environment,
                )  # fmt: skip
        memory.series |= {series.id: series for series in new}
        state.closed_ns = closed
        memory.due.add(source)
        self._telemetry.pane_rows.inc(spans.num_rows)
        self._telemetry.panes_built.inc(rows.num_rows)
        self._telemetry.pane_build_duration.observe(time.perf_counter() - started)

    def _record(self, memory: Memory, touched: Iterable[Source], through: int) -> None:
        """Make moved clocks, deploys and the progress durable, once all their panes are."""
        versions = self._rows.new_versions(memory.through_seq, through)
        with self._state.transaction() as tx:
            _write_clocks(tx, {source: memory.sources[source] for source in touched})
            placed = service_versions.record(tx, memory, versions, self._monitors)
            tx.run("write_progress", through=through)
        memory.through_seq = through
        holds.announce(placed)


def _by_source(table: pa.Table) -> Iterable[tuple[Source, pa.Table]]:
    if table.num_rows == 0:
        return
    names = table.column("service_name").combine_chunks().dictionary_encode()
    environments = table.column("environment").combine_chunks().dictionary_encode()
    codes = (
        names.indices.to_numpy() * len(environments.dictionary) + environments.indices.to_numpy()
    )
    for code in np.unique(codes):
        name, environment = divmod(int(code), len(environments.dictionary))
        source = Source(
            names.dictionary[name].as_py(), environments.dictionary[environment].as_py()
        )
        yield source, table.filter(pa.array(codes == code))


def _of_source(rows: pa.Table, source: Source) -> pa.Table:
    """The rows of this source's own series; those of other services in its traces are theirs."""
    own = pc.and_(
        pc.equal(rows.column("service_name"), source.service_name),
        pc.equal(rows.column("environment"), source.environment),
    )
    return rows.filter(own)


def series_id(key: SeriesKey) -> str:
    """Stable id of a series: 64 bits of SHA-256 over its key."""
    text = json.dumps([key.monitor, key.service_name, key.environment, key.model, key.cohort])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keys(rows: pa.Table) -> list[SeriesKey]:
    names = ("monitor", "service_name", "environment", "model", "cohort")
    columns = [rows.column(name).to_pylist() for name in names]
    return [SeriesKey(*values) for values in zip(*columns, strict=True)]


def _new_series(memory: Memory, rows: pa.Table) -> list[Series]:
    first: dict[SeriesKey, int] = {}
    for key, pane_ns in zip(_keys(rows), rows.column("pane_start_ns").to_pylist(), strict=True):
        first[key] = min(pane_ns, first.get(key, pane_ns))
    known = memory.known_keys()
    return [
        Series(series_id(key), key, pane_ns, pane_ns)
        for key, pane_ns in sorted(first.items())
        if key not in known and key.service_name != OTHER
    ]


def series_row(series: Series) -> dict[str, Any]:
    """The row of `series` for one of them."""
    return {
        "id": series.id,
        "monitor": series.key.monitor,
        "service_name": series.key.service_name,
        "environment": series.key.environment,
        "model": series.key.model,
        "cohort": series.key.cohort,
        "first_pane": timestamp(series.first_ns),
        "window_start": timestamp(series.window_ns),
    }


def _pane_rows(memory: Memory, new: list[Series], rows: pa.Table, through: int) -> pa.Table:
    ids = {series.key: series.id for series in (*memory.series.values(), *new)}
    columns: dict[str, Any] = {name: rows.column(name) for name in PANE_COLUMNS}
    columns["series_id"] = pa.array([ids[key] for key in _keys(rows)], pa.string())
    nanoseconds = rows.column("pane_start_ns").cast(pa.int64())
    columns["pane_start"] = pc.divide(nanoseconds, 1000).cast(pa.timestamp("us"))
    columns["through_seq"] = pa.repeat(pa.scalar(through, pa.int64()), rows.num_rows)
    return pa.table(columns)


def _write_clocks(tx: Transaction, sources: Mapping[Source, SourceState]) -> None:
    for source in sources:
        tx.run("delete_watermark", service_name=source.service_name, environment=source.environment)
    rows = [
        {
            "service_name": source.service_name,
            "environment": source.environment,
            "max_event_ns": state.clock.max_event_ns,
            "last_arrival_ns": state.clock.last_arrival_ns,
            "lateness_counts": list(state.clock.lateness_counts),
            "closed_through": timestamp(state.closed_ns),
        }
        for source, state in sources.items()
    ]
    if rows:
        tx.append("watermarks", rows_table(rows))
