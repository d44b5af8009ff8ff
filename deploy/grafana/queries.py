"""Parts that the queries of several dashboards share."""

from __future__ import annotations

MONITORED = (
    'monitor=~"$monitor", service_name=~"$service", deployment_environment=~"$environment", '
    'model=~"$model"'
)
SERIES = f'{MONITORED}, cohort=~"$cohort"'
# Most features have no version; they stay when one is chosen.
FEATURE = f'{SERIES}, version=~"|$version"'
EVAL = f'{SERIES}, version=~"$version"'
INSTANCE = 'instance=~"$instance"'

BY_SERIES = "monitor, service_name, deployment_environment, model, cohort"
SERIES_LEGEND = "{{service_name}} {{deployment_environment}} {{model}} {{cohort}}"

DRIFT_RATIO = "series_feature:retraind_drift_score_per_threshold:ratio"
ALARM = "series_feature:retraind_monitor_alarm:max5m"
LIFE_FAIL_RATIO = "series_eval:retraind_eval_failures_per_eval_results:ratio"
BURN = "series_eval:retraind_eval_fail_burn:ratio"

# The state of highest number wins; the numbers are also the order of the table of states.
STATES = ("ok", "immature", "no_data", "pending", "resolving", "muted", "held", "firing")


def state_number(by: str, selector: str = SERIES) -> str:
    """The state of each feature or eval as its place in STATES."""
    parts = " or ".join(
        f'{number} * retraind_monitor_state{{{selector}, state="{state}"}}'
        for number, state in enumerate(STATES)
    )
    return f"max by ({by}) ({parts})"


def rises(metric: str, by: str) -> str:
    """How much a counter grew in one step, also where its first sample is already 1.

    increase() misses the step from absent to 1, and that is how a counter of triggers begins. A
    counter below what it was has begun again. Failed scrapes neither hide nor repeat anything.
    """
    now = f"sum by ({by}) ({metric})"
    before = f"sum by ({by}) (last_over_time({metric}[1h] offset $__interval))"
    return f"{now} - (({before} <= {now}) or {now} * 0) and on () {scraped_before()}"


def newly_seen(metric: str, by: str) -> str:
    """1 where labels appear that were in no sample of the day before."""
    return (
        f"count by ({by}) ({metric}) "
        f"unless count by ({by}) (last_over_time({metric}[1d] offset $__interval)) "
        f"and on () {scraped_before()}"
    )


def scraped_before() -> str:
    """Not at the first scrape, where everything is new to Prometheus only."""
    return '(max(max_over_time(up{job="retraind"}[1h] offset $__interval)) == 1)'


def quantile(share: float, histogram: str, by: str = "instance") -> str:
    """A quantile of what a histogram observed in the last minutes."""
    buckets = f"{histogram}_bucket{{{INSTANCE}}}[$__rate_interval]"
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({buckets})))"
