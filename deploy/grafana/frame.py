"""What the dashboards share around their panels: variables, annotations, links to each other."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from .panels import DATASOURCE
from .queries import MONITORED, newly_seen, rises

TAG = "retraind"
# Nobody serves them there; the README says how to put in an address that exists.
RUNBOOKS = "https://git.example.com/retraind/docs/runbooks"
STATE = "retraind_monitor_state"

# What each variable offers depends on those before it.
LABELS = {
    "monitor": ("monitor", f"{STATE}"),
    "service": ("service_name", f'{STATE}{{monitor=~"$monitor"}}'),
    "environment": (
        "deployment_environment",
        f'{STATE}{{monitor=~"$monitor", service_name=~"$service"}}',
    ),
    "model": (
        "model",
        (
            f'{STATE}{{monitor=~"$monitor", service_name=~"$service", '
            'deployment_environment=~"$environment"}'
        ),
    ),
    "cohort": ("cohort", f"{STATE}{{{MONITORED}}}"),
    "version": ("version", f"retraind_eval_results_total{{{MONITORED}}}"),
    "feature": ("feature", f"retraind_drift_score{{{MONITORED}}}"),
    "eval": ("eval", f"retraind_eval_results_total{{{MONITORED}}}"),
    "instance": ("instance", 'up{job="retraind"}'),
}


def empty(
    uid: str, title: str, description: str, variables: tuple[str, ...]
) -> dashboard.Dashboard:
    """A dashboard without panels; its uid never changes, links and bookmarks hold it."""
    frame = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-24h", "now")
        .refresh("1m")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(_siblings())
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for name in variables:
        # The one monitor is one; everything else starts with all.
        frame.with_variable(choice(name, several=(uid, name) != ("retraind-monitor", "monitor")))
    return frame.with_variable(
        dashboard.TextBoxVariable("runbooks")
        .label("Runbooks")
        .description("Where docs/runbooks is served, without a slash at the end.")
        .default_value(RUNBOOKS)
        .current(VariableOption(text=RUNBOOKS, value=RUNBOOKS))
    )


def choice(name: str, *, several: bool = True) -> dashboard.QueryVariable:
    """A variable of the values that a label has."""
    label, metric = LABELS[name]
    query = f"label_values({metric}, {label})"
    variable = (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    if several:
        # ".*" and not the list of values: it holds series without the label too.
        variable.multi(True).include_all(True).all_value(".*")
        variable.current(VariableOption(text=["All"], value=["$__all"]))
    return variable


def triggers() -> dashboard.AnnotationQuery:
    """A mark where the daemon asked for retraining."""
    count = rises('retraind_triggers_total{monitor=~"$monitor"}', "monitor, reason")
    return _marks(
        "Retrain triggers", f"({count}) > 0", "red", "Retrain trigger", "{{monitor}}: {{reason}}"
    )


def new_versions() -> dashboard.AnnotationQuery:
    """A mark where spans first name a version of the model (or its judge): a deploy."""
    by = "monitor, service_name, deployment_environment, model, version"
    seen = newly_seen(f"retraind_eval_results_total{{{MONITORED}}}", by)
    return _marks("Deploys", seen, "blue", "New version", "{{service_name}} {{model}}: {{version}}")


def restarts() -> dashboard.AnnotationQuery:
    """A mark where the daemon started; the value is the time."""
    started = (
        "1000 * max by (instance, version) (retraind_process_start_time_seconds "
        "* on (job, instance) group_left (version) retraind_build_info)"
    )
    marks = _marks(
        "retraind restarts", started, "purple", "retraind started", "{{instance}} {{version}}"
    )
    return marks.use_value_for_time(True)


def _marks(name: str, expr: str, color: str, title: str, text: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(color)
        .target(prometheus.Dataquery().expr(expr).ref_id("Anno").interval("1m").range())
        .title_format(title)
        .text_format(text)
    )


def _siblings() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("retraind")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
    )
