"""What fires now, for whoever is on call: states, scores, fail ratios, triggers, delivery."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from . import frame
from .panels import ZERO_IS_GOOD, Query, graph, number
from .queries import (
    ALARM,
    BURN,
    BY_SERIES,
    DRIFT_RATIO,
    LIFE_FAIL_RATIO,
    MONITORED,
    SERIES,
    SERIES_LEGEND,
    rises,
    state_number,
)
from .tables import colored, linked, measured, named_states, rows

_OPEN_MONITOR = "/d/retraind-monitor?${__url_time_range}&var-datasource=${datasource}" + "".join(
    f"&var-{variable}=${{__data.fields.{label}:percentencode}}"
    for variable, label in (
        ("monitor", "monitor"),
        ("service", "service_name"),
        ("environment", "deployment_environment"),
        ("model", "model"),
        ("cohort", "cohort"),
    )
)
_BAND = ((None, "green"), (0.5, "yellow"), (1, "red"))


def overview() -> Dashboard:
    """The dashboard that is opened first."""
    built = frame.empty(
        "retraind-overview",
        "retraind: overview",
        "What fires now and where. Follow a feature or an eval to its monitor.",
        ("monitor", "service", "environment", "model", "cohort"),
    )
    for annotation in (frame.triggers(), frame.new_versions(), frame.restarts()):
        built.annotation(annotation)
    _now(built)
    _drift(built)
    _fail_ratios(built)
    _delivery(built)
    return built


def _now(built: Dashboard) -> None:
    built.with_row(Row("What fires now"))
    built.with_panel(
        number(
            "Alarms on",
            "Features and evals whose alarm is on, also while it resolves. Above 0: see the table "
            "below.",
            f"sum({ALARM}{{{SERIES}}})",
            steps=ZERO_IS_GOOD,
            runbooks=("RetraindDriftDetected", "RetraindEvalFailRateBurn", "RetraindHoldExpiring"),
        )
    )
    built.with_panel(
        number(
            "Open episodes",
            "Continuous alarms of a model; each asks for retraining once at most.",
            f"sum(retraind_open_episodes{{{MONITORED}}})",
            steps=((None, "green"), (1, "orange")),
            empty="0",
        )
    )
    built.with_panel(
        number(
            "Without data",
            "Watched features and evals whose last window had too few sessions to be judged: "
            "drift there is not noticed. Compare with the traffic of the service.",
            f'sum(retraind_monitor_state{{{SERIES}, state="no_data"}})',
            steps=((None, "green"), (1, "purple")),
            runbooks=("RetraindNoData",),
        )
    )
    built.with_panel(
        number(
            "Undelivered webhooks",
            "Events that no destination has taken yet. If this stays, nobody learns of the "
            "triggers: read `retraind webhook list`.",
            "sum(retraind_webhook_pending)",
            steps=((None, "green"), (1, "orange"), (5, "red")),
            empty="no destination",
            runbooks=("RetraindWebhookUndelivered",),
        )
    )
    built.with_panel(
        number(
            "Newest window ended",
            "Age of the newest closed window of any series, in event time. Windows close hourly; "
            "much more means no traffic or no ticks.",
            f"time() - max(retraind_window_end_timestamp_seconds{{{SERIES}}})",
            unit="s",
            steps=((None, "green"), (6 * 3600, "yellow"), (86400, "red")),
            runbooks=("RetraindWindowsStalled",),
        )
    )
    built.with_panel(
        number(
            "Daemons up",
            "Instances that Prometheus can scrape. Red: nothing below is fresh.",
            'sum(up{job="retraind"})',
            steps=((None, "red"), (1, "green")),
            empty="0",
            runbooks=("RetraindDown",),
        )
    )
    built.with_panel(
        rows(
            "Not ok",
            "Every watched feature and eval that is not ok, worst first. Firing and resolving: "
            "the alarm is on. Held: it is on, and its trigger waits for a hold. Muted: whatever it "
            "does, a mute keeps it quiet. Pending: one bad window so far. No data: too few "
            "sessions. Immature: no reference yet, only max_fail_rate can fire. Click a feature "
            "to open its monitor.",
            [Query(f"{state_number(f'{BY_SERIES}, feature')} > 0", "state")],
            {"state": named_states(), "feature": linked("Open the monitor", _OPEN_MONITOR)},
            order_by="state",
            width=14,
            height=10,
        )
    )
    built.with_panel(
        rows(
            "Alerts",
            "Alerts of deploy/prometheus that fire. Click a name for what to do.",
            [Query('ALERTS{alertname=~"Retraind.+", alertstate="firing"}', "value")],
            {"alertname": linked("Runbook", "${runbooks}/${__value.text}.md")},
            order_by="severity",
            hide=("__name__", "alertstate", "job", "Value"),
            width=10,
            height=10,
        )
    )


def _drift(built: Dashboard) -> None:
    built.with_row(Row("Drift"))
    built.with_panel(
        graph(
            "Drift score in units of its threshold",
            "PSI of each series' last window, divided by where its retrain band begins: at 1 the "
            "change is large. The 20 highest. It takes two windows of three, and a small p-value, "
            "to fire.",
            Query(
                f"topk(20, max by ({BY_SERIES}, feature) ({DRIFT_RATIO}{{{SERIES}}}))",
                f"{SERIES_LEGEND} {{{{feature}}}}",
            ),
            steps=((None, "green"), (1, "red")),
            runbooks=("RetraindDriftDetected",),
            width=14,
        )
    )
    built.with_panel(
        rows(
            "Largest drift now",
            "The 20 features that are farthest from their reference. Click one to open its "
            "monitor.",
            [
                Query(
                    f"topk(20, max by ({BY_SERIES}, feature) ({DRIFT_RATIO}{{{SERIES}}}))",
                    "score / threshold",
                )
            ],
            {
                "score / threshold": colored(_BAND, decimals=2),
                "feature": linked("Open the monitor", _OPEN_MONITOR),
            },
            order_by="score / threshold",
            width=10,
        )
    )


def _fail_ratios(built: Dashboard) -> None:
    by = f"{BY_SERIES}, eval"
    ratio = "retraind_eval_fail_ratio"
    queries = [
        Query(f"max by ({by}) ({ratio}{{{SERIES}}})", "fail ratio"),
        Query(f"min by ({by}) ({ratio}_lower_bound{{{SERIES}}})", "at least"),
        Query(f"max by ({by}) ({ratio}_upper_bound{{{SERIES}}})", "at most"),
        Query(f"max by ({by}) ({LIFE_FAIL_RATIO}{{{SERIES}}})", "over its life"),
        Query(f"max by ({by}) ({BURN}{{{SERIES}}})", "times its life"),
    ]
    percent = measured("percentunit", 1)
    built.with_row(Row("Evaluations"))
    built.with_panel(
        rows(
            "Fail ratios",
            "Share of failed evaluations in the last window (the worst version), its confidence "
            "bounds, and the share over the life of the series. The last column is how many times "
            "faster it fails now. Click an eval to open its monitor.",
            queries,
            {
                **{query.legend: percent for query in queries[:-1]},
                "times its life": colored(
                    ((None, "green"), (1.5, "yellow"), (3, "red")), decimals=2
                ),
                "eval": linked("Open the monitor", _OPEN_MONITOR),
            },
            order_by="times its life",
            runbooks=("RetraindEvalFailRateBurn",),
            width=14,
        )
    )
    built.with_panel(
        graph(
            "Fail ratio",
            "Mean over sessions of the share of failed evaluations in the last window. The 20 "
            "highest.",
            Query(
                f"topk(20, max by ({by}) ({ratio}{{{SERIES}}}))", f"{SERIES_LEGEND} {{{{eval}}}}"
            ),
            unit="percentunit",
            width=10,
        )
    )


def _delivery(built: Dashboard) -> None:
    built.with_row(Row("Triggers and delivery"))
    selector = '{monitor=~"$monitor"}'
    sent, held_back = (
        f'label_replace(retraind_{name}_total{selector}, "outcome", "{outcome}", "", "")'
        for name, outcome in (("triggers", "sent"), ("suppressed_triggers", "held back"))
    )
    built.with_panel(
        graph(
            "Retrain triggers",
            "Triggers in each step, by monitor and leading reason. More than one for the same "
            "cause would be a fault: an episode triggers once.",
            Query(
                rises(f"retraind_triggers_total{selector}", "monitor, reason"),
                "{{monitor}} {{reason}}",
            ),
            bars=True,
            width=8,
        )
    )
    built.with_panel(
        rows(
            "Triggers since the daemon started",
            "Sent ones, and those that the cooldown held back: a long list of these means that "
            "retraining does not help, or that it takes longer than the cooldown.",
            [Query(f"sum by (monitor, reason, outcome) ({sent} or {held_back})", "triggers")],
            {},
            order_by="triggers",
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Oldest undelivered webhook",
            "Age of the oldest event that a destination has not taken. Above 15 minutes repair "
            "the destination: `retraind webhook list` shows its answers. Events expire, after 24 "
            "h by default.",
            Query(
                "max by (destination) (time() - retraind_webhook_oldest_pending_timestamp_seconds)",
                "{{destination}}",
            ),
            unit="s",
            steps=((None, "green"), (900, "red")),
            runbooks=(
                "RetraindWebhookUndelivered",
                "RetraindWebhookGivenUp",
                "RetraindWebhookDisabled",
            ),
            width=8,
        )
    )
