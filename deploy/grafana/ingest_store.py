"""Lower half of the ingest dashboard: segments and disk, panes and windows, events that leave."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from .panels import Query, graph
from .queries import INSTANCE, quantile


def store(built: Dashboard) -> None:
    """Segments, disk, quarantine."""
    built.with_row(Row("Store"))
    built.with_panel(
        graph(
            "Disk",
            "Free bytes and bytes of all segments. Retention deletes the oldest segments; if free "
            "bytes still fall, set store.retention_bytes or give it a larger disk.",
            Query(f"retraind_store_free_bytes{{{INSTANCE}}}", "free {{instance}}"),
            Query(f"retraind_store_size_bytes{{{INSTANCE}}}", "segments {{instance}}"),
            Query(f"retraind_segment_log_bytes{{{INSTANCE}}}", "hot segment's log {{instance}}"),
            unit="bytes",
            runbooks=("RetraindDiskLow", "RetraindDiskFillsUp"),
        )
    )
    built.with_panel(
        graph(
            "Segments",
            "Files by status. quarantined ones could not be opened or verified: their rows are "
            "missing in queries, the files are still there.",
            Query(f"sum by (status) (retraind_segments{{{INSTANCE}}})", "{{status}}"),
            runbooks=("RetraindSegmentQuarantined",),
        )
    )
    built.with_panel(
        graph(
            "Sealing, merging, deleting",
            "Segments an hour. Failed merges lose nothing and are repeated; many of them point at "
            "the disk.",
            *(
                Query(f"sum(increase(retraind_{name}_total{{{INSTANCE}}}[1h]))", legend)
                for name, legend in (
                    ("segment_rotations", "sealed"),
                    ("segment_merges", "merges"),
                    ("segment_merge_failures", "failed merges"),
                    ("retention_deleted_segments", "deleted by retention"),
                )
            ),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Time spent sealing and merging",
            "Share of the time. Both run beside the commits and share the disk with them.",
            *(
                Query(
                    f"sum(rate(retraind_segment_{name}_duration_seconds_sum{{{INSTANCE}}}[$__rate_interval]))",
                    legend,
                )
                for name, legend in (("seal", "sealing"), ("merge", "merging"))
            ),
            unit="percentunit",
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Quarantine and repairs",
            "Items an hour. Kept: in the table `quarantine`, with the reason. Not kept: over "
            "store.quarantine_rows. Incomplete content comes from limits of the sender's SDK.",
            *(
                Query(f"sum(increase(retraind_{name}_total{{{INSTANCE}}}[1h]))", legend)
                for name, legend in (
                    ("quarantined_items", "kept"),
                    ("quarantine_overflow", "not kept"),
                    ("poison_requests", "requests refused by the database"),
                    ("receiver_repaired_strings", "repaired strings"),
                )
            ),
            runbooks=("RetraindRejectedSpans",),
            width=8,
        )
    )


def panes(built: Dashboard) -> None:
    """From committed spans to evaluated windows."""
    built.with_row(Row("Panes and windows"))
    built.with_panel(
        graph(
            "Behind",
            "Seconds since the last completed tick, and how old the newest closed window is in "
            "event time. The first is ours; the second also grows when no spans come.",
            Query(
                f"time() - retraind_last_tick_timestamp_seconds{{{INSTANCE}}}",
                "last tick {{instance}}",
            ),
            Query(
                f"time() - max by (instance) (retraind_window_end_timestamp_seconds{{{INSTANCE}}})",
                "newest window {{instance}}",
            ),
            unit="s",
            runbooks=("RetraindWindowsStalled",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Panes and windows",
            "Hour panes built, windows evaluated. Late panes are built again; frozen ones are "
            "not, as their spans came over a day late: look for a sender with a wrong clock or a "
            "long queue.",
            *(
                Query(f"sum(increase(retraind_{name}_total{{{INSTANCE}}}[5m]))", legend)
                for name, legend in (
                    ("panes_built", "panes"),
                    ("late_panes", "late panes"),
                    ("late_panes_frozen", "frozen late panes"),
                    ("window_evaluations", "windows"),
                    ("evaluation_failures", "failed ticks"),
                )
            ),
            runbooks=("RetraindWindowsStalled",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Time of a tick",
            "p99 of building the panes of one source and of evaluating the windows of one tick.",
            Query(quantile(0.99, "retraind_pane_build_duration_seconds"), "panes {{instance}}"),
            Query(
                quantile(0.99, "retraind_window_evaluation_duration_seconds"),
                "windows {{instance}}",
            ),
            unit="s",
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Over a limit",
            "Series an hour that limits.models or limits.cohorts fold into __other__, that "
            "limits.series leaves unwatched, or that limits.metric_series leaves out of these "
            "metrics.",
            Query(
                f"sum by (limit) (increase(retraind_series_limited_total{{{INSTANCE}}}[1h]))",
                "{{limit}}",
            ),
            Query(
                f"sum(increase(retraind_metrics_series_limited_total{{{INSTANCE}}}[1h]))",
                "metric_series",
            ),
        )
    )
    built.with_panel(
        graph(
            "Retries that can be recognised",
            "Requests in the index that tells a retry from new data. Evictions: a retry older "
            "than what is kept could be stored twice: send fewer, larger batches.",
            Query(f"retraind_ledger_entries{{{INSTANCE}}}", "entries {{instance}}"),
            Query(
                f"sum(increase(retraind_ledger_evictions_total{{{INSTANCE}}}[1h]))",
                "evicted in an hour",
            ),
        )
    )


def delivery(built: Dashboard) -> None:
    """Webhooks: the way out."""
    built.with_row(Row("Webhooks"))
    built.with_panel(
        graph(
            "Undelivered",
            "Waiting events, those given up for good, and destinations left alone because they "
            "answered 410.",
            *(
                Query(
                    f"sum by (destination) (retraind_webhook_{name}{{{INSTANCE}}})",
                    "{{destination}} " + legend,
                )
                for name, legend in (
                    ("pending", "waiting"),
                    ("dead_total", "given up"),
                    ("disabled", "disabled"),
                )
            ),
            runbooks=(
                "RetraindWebhookUndelivered",
                "RetraindWebhookGivenUp",
                "RetraindWebhookDisabled",
            ),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Delivery attempts",
            "Attempts and failures in 5 minutes. Failures by reason say where to look: a name "
            "that does not resolve, a refused connection, an answer.",
            Query(
                "sum by (destination) "
                f"(increase(retraind_webhook_deliveries_total{{{INSTANCE}}}[5m]))",
                "{{destination}} attempts",
            ),
            Query(
                "sum by (destination, reason) "
                f"(increase(retraind_webhook_delivery_failures_total{{{INSTANCE}}}[5m]))",
                "{{destination}} failed: {{reason}}",
            ),
            runbooks=("RetraindWebhookUndelivered",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Duration of an attempt",
            "90 in 100 attempts are shorter. A destination that takes long should answer first and "
            "work afterwards.",
            Query(
                quantile(0.9, "retraind_webhook_delivery_duration_seconds", "destination"),
                "{{destination}}",
            ),
            unit="s",
            width=8,
        )
    )
