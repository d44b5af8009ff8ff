"""Every metric that retraind exports about itself, declared once with its help text.

Window results (drift scores, fail rates, states) are declared in metrics/catalogue.py: they are
read from the last evaluation at scrape time. docs/metrics.md is generated from both.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

_ACK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COMMIT_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_PROCESS = Path("/proc/self")

# Values of the label `reason`, shown as 0 from the start. A test compares them with those in use.
REFUSED = ("draining", "disk_low", "memory", "queue_full", "store")
REJECTED = ("invalid_trace_id", "invalid_span_id", "timestamp", "attribute_limit", "encoding")


class Telemetry:
    """The instruments of one daemon, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._receiver()
        self._store()
        self._evaluation()
        self._webhook()
        self._process()
        self._count_from_zero()

    def _count_from_zero(self) -> None:
        """Show counters with few, known labels from the start: increase() misses a first sample."""
        for counter in (self.accepted_spans, self.request_bytes, self.auth_failures):
            for transport in ("grpc", "http"):
                counter.labels(transport)
        for api in ("feedback", "evaluations"):
            for outcome in ("accepted", "duplicate", "rejected"):
                self.judgements.labels(api, outcome)
        for reason in ("data", "io", "fatal"):
            self.commit_failures.labels(reason)
        for reason in REFUSED:
            self.refused_requests.labels(reason)
        for reason in REJECTED:
            self.rejected_spans.labels(reason)
        for limit in ("series", "models", "cohorts"):
            self.series_limited.labels(limit)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"retraind_{name}", help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"retraind_{name}", help_text, labels, registry=self.registry)

    def _histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"retraind_{name}", help_text, labels, registry=self.registry, buckets=buckets
        )

    def _receiver(self) -> None:
        self.requests = self._counter(
            "receiver_requests_total",
            "OTLP requests by outcome: ok, partial, duplicate, invalid, too_large, refused, "
            "unauthenticated, unsupported, cancelled (the client left) or error.",
            "transport", "signal", "outcome",
        )  # fmt: skip
        self.request_bytes = self._counter(
            "receiver_request_bytes_total",
            "Bytes of OTLP requests after decompression.",
            "transport",
        )
        self.accepted_spans = self._counter(
            "receiver_accepted_spans_total", "Spans committed and acknowledged.", "transport"
        )
        self.rejected_spans = self._counter(
            "receiver_rejected_spans_total",
            "Spans that can never be stored; each is kept in the quarantine table within its "
            "limit.",
            "reason",
        )
        self.rejected_log_records = self._counter(
            "receiver_rejected_log_records_total",
            "gen_ai log records that can never be stored; kept in the quarantine table like spans.",
            "reason",
        )
        self.refused_requests = self._counter(
            "receiver_refused_requests_total",
            "Requests answered with a retryable refusal.", "reason",
        )  # fmt: skip
        self.duplicate_requests = self._counter(
            "receiver_duplicate_requests_total",
            "Requests that were stored before, answered with success.",
        )
        self.duplicate_spans = self._counter(
            "receiver_duplicate_spans_total", "Spans of requests that were stored before."
        )
        self.accepted_log_records = self._counter(
            "receiver_accepted_log_records_total", "Log records committed and acknowledged."
        )
        self.dropped_log_records = self._counter(
            "receiver_dropped_log_records_total",
            "Log records that are not gen_ai events; they are acknowledged and not stored.",
        )
        self.repaired_strings = self._counter(
            "receiver_repaired_strings_total", "Strings with invalid UTF-8 that were repaired."
        )
        self.duplicate_attributes = self._counter(
            "receiver_duplicate_attributes_total",
            "Attributes whose key came twice; the last one was kept.",
        )
        self.incomplete_spans = self._counter(
            "receiver_incomplete_spans_total",
            "Spans stored, or told of by log records, with content missing: the sender dropped "
            "attributes or events, cut JSON or left holes in a list. docs/tracers.md says which "
            "limits of the SDK to raise.",
            "convention",
        )
        self.judgements = self._counter(
            "judgements_total",
            "Items of POST /api/v1/feedback and /api/v1/evaluations: accepted, duplicate (stored "
            "before) or rejected.",
            "api", "outcome",
        )  # fmt: skip
        self.auth_failures = self._counter(
            "receiver_auth_failures_total", "Requests without a valid token.", "transport"
        )
        self.ack_latency = self._histogram(
            "ack_latency_seconds",
            "From the last byte of a request to its answer after the "
            "commit.", _ACK_BUCKETS, "signal",
        )  # fmt: skip
        self.in_flight_bytes = self._gauge(
            "receiver_in_flight_bytes", "Bytes of requests between their first byte and the commit."
        )
        self.in_flight_capacity_bytes = self._gauge(
            "receiver_in_flight_capacity_bytes", "Limit of retraind_receiver_in_flight_bytes."
        )

    def _store(self) -> None:
        self.commits = self._counter("commits_total", "Committed transactions of the ingest path.")
        self.commit_failures = self._counter(
            "commit_failures_total",
            "Failed commits: data (bisected), io (retried by clients) or fatal.",
            "reason",
        )  # fmt: skip
        self.poison_requests = self._counter(
            "poison_requests_total", "Requests whose rows the database refused after validation."
        )
        self.commit_duration = self._histogram(
            "commit_duration_seconds", "Duration of one group commit.", _COMMIT_BUCKETS
        )
        self.commit_rows = self._histogram(
            "commit_rows", "Rows of one group commit.",
            (1.0, 16.0, 128.0, 512.0, 2048.0, 8192.0, 32768.0),
        )  # fmt: skip
        self.last_commit = self._gauge(
            "last_commit_timestamp_seconds", "Unix time of the last commit."
        )
        self.segments = self._gauge("segments", "Segment files by status.", "status")
        self.segment_rotations = self._counter("segment_rotations_total", "Segments sealed.")
        self.segment_seal_duration = self._histogram(
            "segment_seal_duration_seconds", "Time to checkpoint and verify a sealed segment.",
            (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
        )  # fmt: skip
        self.segment_merges = self._counter(
            "segment_merges_total", "Times several sealed segments were merged into one."
        )
        self.segments_merged = self._counter(
            "merged_segments_total", "Sealed segments deleted because a merged one has their rows."
        )
        self.segment_merge_failures = self._counter(
            "segment_merge_failures_total", "Merges given up; nothing is lost, they are repeated."
        )
        self.segment_merge_duration = self._histogram(
            "segment_merge_duration_seconds", "Time to write and verify a merged file.",
            (0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0),
        )  # fmt: skip
        self.segments_quarantined = self._counter(
            "segments_quarantined_total",
            "Segment files set aside because they could not be opened or verified.",
        )
        self.segments_deleted = self._counter(
            "retention_deleted_segments_total", "Segments deleted by retention."
        )
        self.segments_left_out = self._counter(
            "segments_left_out_total",
            "Old segments left out of a read because it may open 64 at most.",
        )
        self.state_recoveries = self._counter(
            "state_recoveries_total", "Times the state file was set aside and a snapshot took over."
        )
        self.snapshots = self._counter("state_snapshots_total", "Snapshots of the state file.")
        self.quarantined_items = self._counter(
            "quarantined_items_total", "Rejected items kept in the quarantine table."
        )
        self.quarantine_overflow = self._counter(
            "quarantine_overflow_total",
            "Rejected items not kept because store.quarantine_rows was reached.",
        )
        self.queries_ended = self._counter(
            "user_queries_ended_total",
            "Users' queries ended because incoming data needed their memory or disk.",
        )
        self.log_bytes = self._gauge("segment_log_bytes", "Size of the hot segment's log.")
        self.stored_bytes = self._gauge("store_size_bytes", "Bytes of all segment files.")
        self.free_bytes = self._gauge("store_free_bytes", "Free bytes on the data folder's disk.")
        self.accepting = self._gauge(
            "store_accepting",
            "1 while new data is taken, 0 while the disk is low or the store fails.",
        )
        self.ledger_entries = self._gauge(
            "ledger_entries", "Requests in the in-memory index that recognises retries."
        )
        self.ledger_evictions = self._counter(
            "ledger_evictions_total",
            "Ledger entries younger than the retry window evicted by its size limit.",
        )

    def _evaluation(self) -> None:
        self.pane_build_duration = self._histogram(
            "pane_build_duration_seconds", "Time to build the panes of one source in one tick.",
            (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0),
        )  # fmt: skip
        self.pane_rows = self._counter("pane_rows_total", "Stored spans read to build panes.")
        self.panes_built = self._counter("panes_built_total", "Hour panes built or rebuilt.")
        self.late_panes = self._counter(
            "late_panes_total", "Panes rebuilt because spans arrived after they had closed."
        )
        self.frozen_late_panes = self._counter(
            "late_panes_frozen_total", "Panes left as they were because spans came over 24 h late."
        )
        self.evaluations = self._counter("window_evaluations_total", "Decision windows evaluated.")
        self.evaluation_duration = self._histogram(
            "window_evaluation_duration_seconds",
            "Time to evaluate the windows closed in one tick.",
            (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0),
        )  # fmt: skip
        self.evaluation_failures = self._counter(
            "evaluation_failures_total", "Ticks that failed; they are tried again."
        )
        self.last_tick = self._gauge(
            "last_tick_timestamp_seconds", "Unix time of the last completed tick."
        )
        self.series_limited = self._counter(
            "series_limited_total",
            "Series folded into __other__ (limits.models, limits.cohorts) or not watched "
            "(limits.series).", "limit",
        )  # fmt: skip
        self.triggers = self._counter(
            "triggers_total", "Retrain triggers by leading reason.", "monitor", "reason"
        )

        self.suppressed_triggers = self._counter(
            "suppressed_triggers_total", "Triggers not sent because of the cooldown.",
            "monitor", "reason",
        )  # fmt: skip

    def _webhook(self) -> None:
        self.webhook_deliveries = self._counter(
            "webhook_deliveries_total", "Delivery attempts.", "destination"
        )
        self.webhook_failures = self._counter(
            "webhook_delivery_failures_total", "Failed delivery attempts.", "destination", "reason"
        )
        self.webhook_duration = self._histogram(
            "webhook_delivery_duration_seconds",
            "Duration of a delivery attempt.",
            _ACK_BUCKETS,
            "destination",
        )
        self.webhook_pending = self._gauge(
            "webhook_pending", "Events not yet delivered.", "destination"
        )
        self.webhook_oldest_pending = self._gauge(
            "webhook_oldest_pending_timestamp_seconds",
            "Unix time at which the oldest undelivered event was created; absent when there "
            "is none.",
            "destination",
        )
        self.webhook_dead = self._counter(
            "webhook_dead_total", "Events given up: refused for good or expired.", "destination"
        )
        self.webhook_disabled = self._gauge(
            "webhook_disabled",
            "1 while a destination is left alone because it answered 410 Gone; a reload ends it.",
            "destination",
        )

    def _process(self) -> None:
        self.build_info = self._gauge(
            "build_info", "Versions; the value is always 1.", "version", "duckdb", "python"
        )
        self.start_time = self._gauge(
            "process_start_time_seconds", "Unix time at which this process started to count."
        )
        self.start_time.set_to_current_time()
        self.resident_memory = self._gauge(
            "process_resident_memory_bytes", "Resident memory of the process; 0 without /proc."
        )
        self.open_files = self._gauge(
            "process_open_fds", "Open file descriptors of the process; 0 without /proc."
        )
        if _PROCESS.exists():
            self.resident_memory.set_function(_resident_bytes)
            self.open_files.set_function(lambda: sum(1 for _ in (_PROCESS / "fd").iterdir()))
        self.config_reload_successful = self._gauge(
            "config_last_reload_successful", "1 when the last reload of the configuration was good."
        )
        self.config_reload_timestamp = self._gauge(
            "config_last_reload_success_timestamp_seconds", "Unix time of the last good (re)load."
        )
        self.metric_series_limited = self._counter(
            "metrics_series_limited_total",
            "Exported series left out because limits.metric_series was reached.",
        )


def _resident_bytes() -> float:
    """The second number of statm: resident pages."""
    return float((_PROCESS / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
