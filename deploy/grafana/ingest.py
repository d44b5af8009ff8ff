"""Health of the daemon: what comes in, how fast it is committed, the store, panes, webhooks."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from . import frame
from .ingest_store import delivery, panes, store
from .panels import ONE_IS_GOOD, Line, Query, graph, number
from .queries import INSTANCE, quantile

ACK = "instance_signal:retraind_ack_latency_seconds"
REJECTED = "instance_reason:retraind_receiver_rejected_spans:increase5m"
REFUSED = "instance_reason:retraind_receiver_refused_requests:increase5m"


def ingest() -> Dashboard:
    """The dashboard of the daemon itself."""
    built = frame.empty(
        "retraind-ingest",
        "retraind: ingest health",
        "Whether spans arrive, are committed in time and are evaluated; and whether events leave.",
        ("instance",),
    )
    built.annotation(frame.restarts())
    _now(built)
    _receiver(built)
    _latency(built)
    store(built)
    panes(built)
    delivery(built)
    return built


def _now(built: Dashboard) -> None:
    built.with_row(Row("Now"))
    built.with_panel(
        number(
            "Accepting",
            "0 while the disk is low or the store fails: clients try again for a while, then drop "
            "spans.",
            f"min(retraind_store_accepting{{{INSTANCE}}})",
            steps=ONE_IS_GOOD,
            runbooks=("RetraindRefusing", "RetraindDiskLow"),
        )
    )
    built.with_panel(
        number(
            "Spans/s",
            "Spans committed and acknowledged, over 5 minutes.",
            f"sum(instance_transport:retraind_receiver_accepted_spans:rate5m{{{INSTANCE}}})",
            runbooks=("RetraindIngestSilent", "RetraindTrafficWithoutRows"),
        )
    )
    built.with_panel(
        number(
            "Acknowledged within (p99)",
            "One request in a hundred waits longer for its answer. The objective is 2 s.",
            f"max({ACK}:p99_rate5m{{{INSTANCE}}})",
            unit="s",
            steps=((None, "green"), (1, "yellow"), (2, "red")),
            empty="no requests",
            runbooks=("RetraindAckLatencyHigh",),
        )
    )
    built.with_panel(
        number(
            "Free disk",
            "On the data folder's disk. Below store.min_free_bytes (512 MiB by default) it takes "
            "no data.",
            f"min(retraind_store_free_bytes{{{INSTANCE}}})",
            unit="bytes",
            steps=((None, "red"), (2**30, "yellow"), (5 * 2**30, "green")),
            runbooks=("RetraindDiskLow", "RetraindDiskFillsUp"),
        )
    )
    built.with_panel(
        number(
            "Last tick",
            "Ticks build panes and evaluate windows every few seconds, also when there is nothing "
            "to do.",
            f"time() - min(retraind_last_tick_timestamp_seconds{{{INSTANCE}}})",
            unit="s",
            steps=((None, "green"), (60, "yellow"), (300, "red")),
            runbooks=("RetraindWindowsStalled",),
        )
    )
    built.with_panel(
        number(
            "Configuration",
            "0: the last reload was refused and the old configuration is in force; `retraind "
            "check` says why.",
            f"min(retraind_config_last_reload_successful{{{INSTANCE}}})",
            steps=ONE_IS_GOOD,
            runbooks=("RetraindConfigReloadFailed",),
        )
    )


def _receiver(built: Dashboard) -> None:
    built.with_row(Row("What comes in"))
    built.with_panel(
        graph(
            "Accepted",
            "Spans by transport and log records, committed and acknowledged. An abrupt end is an "
            "exporter that stopped, or a network that changed.",
            Query(
                f"instance_transport:retraind_receiver_accepted_spans:rate5m{{{INSTANCE}}}",
                "spans {{transport}} {{instance}}",
            ),
            Query(
                f"rate(retraind_receiver_accepted_log_records_total{{{INSTANCE}}}[$__rate_interval])",
                "log records {{instance}}",
            ),
            unit="cps",
            runbooks=("RetraindIngestSilent",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Not stored, and why",
            "Rejected items can never be stored (a sender writes invalid OTLP; they are kept in "
            "quarantine). Refused requests are retried. Duplicates were stored before: retries do "
            "that.",
            Query(
                f"sum by (reason) ({REJECTED}{{{INSTANCE}}})",
                "spans rejected: {{reason}}",
            ),
            Query(
                f"sum by (reason) ({REFUSED}{{{INSTANCE}}})",
                "requests refused: {{reason}}",
            ),
            Query(
                f"sum(increase(retraind_receiver_duplicate_spans_total{{{INSTANCE}}}[5m]))",
                "spans duplicate",
            ),
            Query(
                f"sum(increase(retraind_receiver_dropped_log_records_total{{{INSTANCE}}}[5m]))",
                "log records that are not gen_ai",
            ),
            runbooks=("RetraindRejectedSpans", "RetraindRefusing"),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Requests by outcome",
            "ok, partial and duplicate are good. refused is retried by the client; invalid, "
            "too_large, unauthenticated and unsupported are the sender's to repair; error is "
            "ours: read the log.",
            Query(
                "sum by (transport, signal, outcome) "
                f"(rate(retraind_receiver_requests_total{{{INSTANCE}}}[$__rate_interval]))",
                "{{transport}} {{signal}} {{outcome}}",
            ),
            unit="reqps",
            runbooks=("RetraindTrafficWithoutRows",),
            width=8,
        )
    )


def _latency(built: Dashboard) -> None:
    built.with_row(Row("Acknowledged means committed"))
    built.with_panel(
        graph(
            "Acknowledgement latency",
            "From the last byte of a request to its answer after the commit. Above 2 s exporters "
            "time out and send again: look at commits and disk beside.",
            Query(f"{ACK}:p50_rate5m{{{INSTANCE}}}", "p50 {{signal}} {{instance}}"),
            Query(
                quantile(0.9, "retraind_ack_latency_seconds", "instance, signal"),
                "p90 {{signal}} {{instance}}",
            ),
            Query(f"{ACK}:p99_rate5m{{{INSTANCE}}}", "p99 {{signal}} {{instance}}"),
            unit="s",
            steps=((None, "green"), (2, "red")),
            runbooks=("RetraindAckLatencyHigh",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Commits",
            "Duration of group commits, and how many rows one has. Long commits of few rows: a "
            "slow disk.",
            Query(
                f"instance:retraind_commit_duration_seconds:p99_rate5m{{{INSTANCE}}}",
                "p99 {{instance}}",
            ),
            Query(quantile(0.5, "retraind_commit_duration_seconds"), "p50 {{instance}}"),
            unit="s",
            runbooks=("RetraindAckLatencyHigh",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Requests in flight",
            "Bytes between their first byte and the commit, beside the limit at which requests "
            "are refused for memory.",
            Query(f"retraind_receiver_in_flight_bytes{{{INSTANCE}}}", "in flight {{instance}}"),
            Query(f"min(retraind_receiver_in_flight_capacity_bytes{{{INSTANCE}}})", "limit"),
            unit="bytes",
            lines=[Line("limit", "red")],
            runbooks=("RetraindRefusing",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Failed commits",
            "data: one request had rows that the database refuses, it was found and set aside. "
            "io: clients try again. fatal: the store stops taking data.",
            Query(
                f"sum by (reason) (increase(retraind_commit_failures_total{{{INSTANCE}}}[5m]))",
                "{{reason}}",
            ),
            runbooks=("RetraindRefusing",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Rows of a commit",
            "Mean number of rows; it grows with load, which is what keeps acknowledgements fast.",
            Query(
                f"rate(retraind_commit_rows_sum{{{INSTANCE}}}[$__rate_interval]) / "
                f"rate(retraind_commit_rows_count{{{INSTANCE}}}[$__rate_interval])",
                "{{instance}}",
            ),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Memory of the process",
            "Resident memory. store.memory_limit bounds the database's part.",
            Query(f"retraind_process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}}"),
            unit="bytes",
            width=8,
        )
    )
