"""Exports the last snapshot to Prometheus, within the limit of series."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from retraind.metrics import catalogue
from retraind.metrics.catalogue import CATALOGUE, Metric
from retraind.metrics.snapshot import Snapshot
from retraind.model import SeriesKey
from retraind.telemetry import Telemetry

LABEL_CHARACTERS = 128
WINDOW = "decision"

Labels = tuple[str, ...]
Sample = tuple[Metric, Labels, float | None]


class SnapshotCollector(Collector):
    """Reads `snapshot` at scrape time; whoever evaluates replaces it with the next one.

    Left out and counted in retraind_metrics_series_limited_total: samples over `limit` (in the
    order of the catalogue), and samples whose labels are equal after being cut to 128 characters.
    """

    def __init__(
        self, telemetry: Telemetry, limit: int, methods: Collection[str] = ("psi",)
    ) -> None:
        self.snapshot = Snapshot()
        self._telemetry = telemetry
        self.limit = limit
        self.methods = methods
        telemetry.registry.register(self)

    def describe(self) -> Iterable[Family]:
        return [_family(metric) for metric in CATALOGUE]

    def collect(self) -> Iterator[Family]:
        families = {metric.name: _family(metric) for metric in CATALOGUE}
        seen: set[tuple[str, Labels]] = set()
        limited = 0
        for metric, labels, value in samples(self.snapshot, self.methods):
            if value is None or not math.isfinite(value):
                continue
            cut = tuple(label[:LABEL_CHARACTERS] for label in labels)
            if len(seen) >= self.limit or (metric.name, cut) in seen:
                limited += 1
                continue
            seen.add((metric.name, cut))
            families[metric.name].add_metric(cut, value)
        if limited:
            self._telemetry.metric_series_limited.inc(limited)
        yield from (family for family in families.values() if family.samples)


def samples(snapshot: Snapshot, methods: Collection[str]) -> Iterator[Sample]:
    """Every sample of the snapshot, family by family; None where there is no data."""
    yield from _drift(snapshot, methods)
    yield from _evals(snapshot)
    labels: Labels
    for window in snapshot.windows:
        labels = (*_series(window.series), WINDOW)
        yield catalogue.WINDOW_SESSIONS, labels, window.sessions
        yield catalogue.WINDOW_END, labels, window.end_ns / 1e9
    for row in snapshot.states:
        for state in catalogue.STATES:
            labels = (*_series(row.series), row.feature, state)
            yield catalogue.MONITOR_STATE, labels, float(state == row.state)
    for reference in snapshot.references:
        labels = (*_series(reference.series), reference.kind)
        yield catalogue.REFERENCE_CREATED, labels, reference.created_ns / 1e9
        yield catalogue.REFERENCE_SESSIONS, labels, reference.sessions
    for each in snapshot.episodes:
        labels = (each.monitor, each.service_name, each.environment, each.model)
        yield catalogue.OPEN_EPISODES, labels, each.open
    yield from _holds(snapshot)


def _holds(snapshot: Snapshot) -> Iterator[Sample]:
    labels: Labels
    expires: dict[Labels, int] = {}
    for hold in snapshot.holds:
        labels = (hold.monitor, hold.service_name, hold.environment, hold.model or "", hold.kind)
        expires[labels] = max(hold.expires_ns, expires.get(labels, 0))
    for labels, expires_ns in sorted(expires.items()):
        yield catalogue.HOLD_EXPIRES, labels, expires_ns / 1e9
    for held in snapshot.held:
        labels = (held.monitor, held.service_name, held.environment, held.model)
        yield catalogue.HELD_TRIGGER_DUE, labels, held.due_ns / 1e9
    for deploy in snapshot.deploys:
        labels = (deploy.service_name, deploy.environment, deploy.version)
        yield catalogue.DEPLOY, labels, deploy.first_ns / 1e9


def _drift(snapshot: Snapshot, methods: Collection[str]) -> Iterator[Sample]:
    for row in snapshot.drift:
        labels = (*_series(row.series), row.feature, row.version, WINDOW, row.reference)
        for method in methods:
            yield catalogue.DRIFT_SCORE, (*labels, method), row.scores.get(method)
        if "psi" in methods:
            yield catalogue.DRIFT_THRESHOLD, (*labels, "psi"), row.threshold
        yield catalogue.DRIFT_P_VALUE, labels, row.p_value


def _evals(snapshot: Snapshot) -> Iterator[Sample]:
    labels: Labels
    for rate in snapshot.rates:
        labels = (*_series(rate.series), rate.eval, rate.version)
        yield catalogue.EVAL_RESULTS, labels, rate.results
        yield catalogue.EVAL_FAILURES, labels, rate.failures
        yield catalogue.EVAL_FAIL_RATIO, (*labels, WINDOW), rate.ratio
        yield catalogue.EVAL_FAIL_RATIO_LOWER, (*labels, WINDOW), rate.lower
        yield catalogue.EVAL_FAIL_RATIO_UPPER, (*labels, WINDOW), rate.upper
    for score in snapshot.scores:
        labels = (*_series(score.series), score.eval, score.version, WINDOW)
        yield catalogue.EVAL_SCORE_MEAN, labels, score.mean


def _series(key: SeriesKey) -> Labels:
    return key.monitor, key.service_name, key.environment, key.model, key.cohort


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
