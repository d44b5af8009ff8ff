"""Row 4: what evaluating 100 series x 10 features costs after n spans and after ten times as many.

Both stores are fed over OTLP with the same hours, series and values, one call a session; while they
are fed, windows are kept from closing by the configuration. The daemon is then started again with
the real configuration on a copy of the state file, evaluates every window in its first tick, and
its own metric says how long that took.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.harness import Daemon, eventually

from .load import EXPORT
from .row import Row

MODELS, COHORTS = 10, 10
SERIES = MODELS * COHORTS
HOUR_NS = 3600 * 10**9
GOAL = 1.3
NUMBERS = ("app.depth", "app.passages", "app.latency", "app.turns", "app.score")
FEATURES = (
    "input_tokens", "output_tokens", "duration_seconds", "finish_reason", "error",
    *({"name": key[4:], "from": f'attributes["{key}"]', "type": "number"} for key in NUMBERS),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extent:
    """`sessions` of one series in one hour (times ten in the larger store); hours of each kind."""

    sessions: int = 300
    reference_hours: int = 4
    window_hours: int = 3
    rounds: int = 5


QUICK = Extent(sessions=3, reference_hours=1, window_hours=1, rounds=1)


def run(extent: Extent) -> Row:
    folder = Path(tempfile.mkdtemp(prefix="retraind-bench-"))
    try:
        small = _Store(folder / "n", extent, extent.sessions)
        large = _Store(folder / "10n", extent, extent.sessions * 10)
        pairs = [(small.evaluate(), large.evaluate()) for _ in range(extent.rounds)]
    finally:
        shutil.rmtree(folder)
    few, many = (median(pair[i] for pair in pairs) for i in (0, 1))
    cells = small.windows * len(FEATURES)
    row = Row("4. Evaluating 100 series x 10 features, from a restarted daemon")
    row.figures = {
        "spans, n": small.spans,
        "spans, 10 n": large.spans,
        "windows evaluated, n": small.windows,
        "windows evaluated, 10 n": large.windows,
        "features tested with a p-value, n and 10 n": f"{small.tested} and {large.tested}",
        "sessions a window, n and 10 n": f"{extent.sessions} and {extent.sessions * 10}",
        "seconds, n": few,
        "seconds, 10 n": many,
        "  each round, s": ", ".join(f"{a:.2f} and {b:.2f}" for a, b in pairs),
        "µs per series, feature and window, n": few / cells * 1e6,
        "µs per series, feature and window, 10 n": many / cells * 1e6,
        "ratio": many / few,
    }
    row.goals = {
        "the same windows": (small.windows, small.tested) == (large.windows, large.tested),
        f"ratio <= {GOAL}": many / few <= GOAL,
    }
    return row


class _Store:
    """A data folder with panes of every hour and no window evaluated yet."""

    def __init__(self, data: Path, extent: Extent, sessions: int) -> None:
        self.spans = SERIES * sessions * (extent.reference_hours + extent.window_hours)
        self.windows = self.tested = 0
        self._data = data
        self._extent = extent
        self._sessions = sessions
        self._feed()
        self._state = data.with_name(f"{data.name}.state")
        shutil.copy(data / "retraind.duckdb", self._state)
        log = data / "retraind.duckdb.wal"
        if log.exists():
            shutil.copy(log, f"{self._state}.wal")

    def evaluate(self) -> float:
        """Seconds of the evaluation in a newly started daemon, from the same state each time."""
        shutil.copy(self._state, self._data / "retraind.duckdb")
        log = self._data / "retraind.duckdb.wal"
        log.unlink(missing_ok=True)
        if Path(f"{self._state}.wal").exists():
            shutil.copy(f"{self._state}.wal", log)
        extent = self._extent
        window = {
            "min_length": "1h",
            "min_sessions": extent.sessions,
            "min_sessions_at_max_length": 1,
        }
        with Daemon(self._data, self._config(window)) as daemon:
            expected = SERIES * (extent.reference_hours + extent.window_hours)
            metrics = eventually(
                lambda: (
                    (m := daemon.metrics())["retraind_window_evaluations_total"] >= expected
                    and m["retraind_window_evaluation_duration_seconds_count"] >= 1
                    and m
                ),
                seconds=300,
            )
            tested = daemon.sql("SELECT count(*) AS n FROM windows WHERE p_value IS NOT NULL")
        self.windows = int(metrics["retraind_window_evaluations_total"])
        self.tested = int(tested[0]["n"])
        seconds: float = metrics["retraind_window_evaluation_duration_seconds_sum"]
        return seconds

    def _config(self, window: dict[str, Any]) -> dict[str, Any]:
        extent = self._extent
        reference = {
            "min_age": f"{extent.reference_hours}h",
            "min_sessions": extent.sessions * extent.reference_hours,
            "ratio": 1.0,
        }
        return {
            "monitors": [
                {
                    "name": "bench",
                    "cohort": 'attributes["app.cohort"]',
                    "features": list(FEATURES),
                    "window": window | {"lateness_max": "2m"},
                    "reference": reference,
                }
            ]
        }

    def _feed(self) -> None:
        """Hour by hour; then one span three hours on, which closes the last hour."""
        hours = self._extent.reference_hours + self._extent.window_hours
        start_ns = (time.time_ns() // HOUR_NS - hours - 12) * HOUR_NS
        idle = {"min_length": "7d", "min_sessions": 10**9}
        rng = np.random.default_rng(1)
        with Daemon(self._data, self._config(idle)) as daemon, daemon.channel() as channel:
            export = channel.unary_unary(EXPORT)
            for hour in range(hours):
                pending = []
                for session in range(0, self._sessions, 20):
                    at_ns = start_ns + hour * HOUR_NS + session * HOUR_NS // self._sessions
                    body = _request(rng, at_ns, min(20, self._sessions - session))
                    pending.append(export.future(body, timeout=60, wait_for_ready=True))
                    if len(pending) >= 8:
                        pending.pop(0).result()
                for call in pending:
                    call.result()
            export(_last(start_ns + (hours + 3) * HOUR_NS), timeout=60)
            eventually(
                lambda: (
                    daemon.metrics()["retraind_panes_built_total"] >= hours
                    and _closed(daemon, start_ns + hours * HOUR_NS)
                ),
                seconds=300,
            )


def _closed(daemon: Daemon, until_ns: int) -> bool:
    found = daemon.sql("SELECT epoch_ns(min(closed_through)) AS at FROM watermarks")
    return bool(found and found[0]["at"] is not None and int(found[0]["at"]) >= until_ns)


def _request(rng: np.random.Generator, at_ns: int, sessions: int) -> bytes:
    """One call of each of `sessions` sessions in each of 100 series, about 450 bytes each."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    for key, value in (("service.name", "bench"), ("deployment.environment.name", "prod")):
        group.resource.attributes.add(key=key).value.string_value = value
    spans = group.scope_spans.add().spans
    tokens = rng.lognormal(6.0, 0.6, (sessions, SERIES, 2)).astype(int).tolist()
    numbers = rng.lognormal(0.0, 1.0, (sessions, SERIES, len(NUMBERS))).round(2).tolist()
    lengths = rng.lognormal(0.0, 0.4, (sessions, SERIES)).tolist()
    for k in range(sessions):
        for series in range(SERIES):
            span = spans.add(
                trace_id=rng.bytes(16), span_id=rng.bytes(8), name="chat",
                kind=Span.SPAN_KIND_CLIENT, start_time_unix_nano=at_ns + k,
                end_time_unix_nano=at_ns + k + int(lengths[k][series] * 1e9),
            )  # fmt: skip
            _attributes(span, series, tokens[k][series], numbers[k][series])
    encoded: bytes = message.SerializeToString()
    return encoded


def _attributes(span: Span, series: int, tokens: list[int], numbers: list[float]) -> None:
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": f"model-{series % MODELS}",
        "gen_ai.response.model": f"model-{series % MODELS}",
        "app.cohort": f"cohort-{series // MODELS}",
    }
    for key, text in texts.items():
        span.attributes.add(key=key).value.string_value = text
    for key, count in zip(("input_tokens", "output_tokens"), tokens, strict=True):
        span.attributes.add(key=f"gen_ai.usage.{key}").value.int_value = count
    for key, number in zip(NUMBERS, numbers, strict=True):
        span.attributes.add(key=key).value.double_value = number
    reasons = span.attributes.add(key="gen_ai.response.finish_reasons").value.array_value
    reasons.values.add().string_value = "stop"


def _last(at_ns: int) -> bytes:
    return _request(np.random.default_rng(2), at_ns, 1)
