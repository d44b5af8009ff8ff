"""One monitor: why it fires, feature by feature, eval by eval, cohort beside cohort."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from . import frame
from .panels import ZERO_IS_GOOD, Line, Query, graph, number, states
from .queries import (
    ALARM,
    BURN,
    BY_SERIES,
    DRIFT_RATIO,
    EVAL,
    FEATURE,
    LIFE_FAIL_RATIO,
    MONITORED,
    SERIES,
    SERIES_LEGEND,
    state_number,
)
from .tables import colored, measured, rows

_VERSIONED = f"{SERIES_LEGEND} {{{{version}}}}"


def monitor() -> Dashboard:
    """The dashboard of one monitor."""
    built = frame.empty(
        "retraind-monitor",
        "retraind: one monitor",
        "Why a monitor fires. Times are those of the scrape: a window shows when it has closed.",
        ("monitor", "service", "environment", "model", "cohort", "version", "feature", "eval"),
    )
    for annotation in (frame.triggers(), frame.new_versions(), frame.restarts()):
        built.annotation(annotation)
    _now(built)
    _drift(built)
    _evals(built)
    _cohorts(built)
    return built


def _now(built: Dashboard) -> None:
    built.with_row(Row("Now"))
    built.with_panel(
        number(
            "Alarms on",
            "Features and evals of this choice whose alarm is on.",
            f"sum({ALARM}{{{SERIES}}})",
            steps=ZERO_IS_GOOD,
            runbooks=("RetraindDriftDetected", "RetraindEvalFailRateBurn"),
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
            "Fewest sessions in a window",
            "Sessions in the last window of the series that has fewest. Below "
            "`window.min_sessions` a window grows until it has enough, or is not judged.",
            f"min(retraind_window_sessions{{{SERIES}}})",
            runbooks=("RetraindNoData",),
        )
    )
    built.with_panel(
        number(
            "Oldest last window",
            "How long ago, in event time, the last window ended of the series that is farthest "
            "behind.",
            f"time() - min(retraind_window_end_timestamp_seconds{{{SERIES}}})",
            unit="s",
            steps=((None, "green"), (86400, "yellow"), (8 * 86400, "red")),
            runbooks=("RetraindWindowsStalled",),
        )
    )
    built.with_panel(
        number(
            "Oldest reference",
            "Age of the oldest active reference. After a wanted change pin a new one: `retraind "
            "reference pin`.",
            f"time() - min(retraind_reference_created_timestamp_seconds{{{SERIES}}})",
            unit="s",
            empty="no reference",
        )
    )
    built.with_panel(
        number(
            "Smallest reference",
            "Sessions in the smallest active reference: the smaller, the larger a change must be "
            "to be seen.",
            f"min(retraind_reference_sessions{{{SERIES}}})",
            empty="no reference",
        )
    )
    built.with_panel(
        states(
            "States",
            "What the daemon decided, by feature and eval. Pending: one bad window. Firing: two "
            "of three. Resolving: quiet, but not for long enough. Held: the alarm is on and its "
            "trigger waits for a hold. Muted: a mute keeps it quiet. No data: too few sessions. "
            "Immature: no reference.",
            Query(state_number(f"{BY_SERIES}, feature"), f"{{{{feature}}}} {SERIES_LEGEND}"),
            ("RetraindDriftDetected", "RetraindNoData"),
        )
    )


def _drift(built: Dashboard) -> None:
    built.with_row(Row("Drift"))
    built.with_panel(
        graph(
            "p-values",
            "The test of each feature's last window against its reference. Below the line (0.001, "
            "the default of detector.alpha) the change is no accident; it fires only if it is "
            "large as well.",
            Query(
                f'clamp_min(retraind_drift_p_value{{{FEATURE}, feature=~"$feature"}}, 1e-12)',
                f"{{{{feature}}}} {_VERSIONED}",
            ),
            unit="sci",
            steps=((None, "transparent"), (0.001, "red")),
            log=True,
            runbooks=("RetraindDriftDetected",),
        )
    )
    built.with_panel(
        graph(
            "Sessions in the last window",
            "Sessions, not spans, are what is counted and compared. A fall here comes before no "
            "data.",
            Query(f"max by ({BY_SERIES}) (retraind_window_sessions{{{SERIES}}})", SERIES_LEGEND),
            runbooks=("RetraindNoData",),
        )
    )
    score = f'{{{FEATURE}, feature=~"$feature", method="psi"}}'
    built.with_panel(
        graph(
            "Drift of $feature",
            "PSI of the last window against the reference, without its noise floor, and where the "
            "retrain band begins. Above it in two windows of three: look for a deploy, a prompt "
            "change or a new customer at the first rise; `retraind sql` on windows.contributions "
            "names the values.",
            Query(f"retraind_drift_score{score}", f"{{{{feature}}}} {_VERSIONED}"),
            Query(f"min(retraind_drift_threshold{score})", "retrain band"),
            lines=[Line("retrain band", "red")],
            runbooks=("RetraindDriftDetected",),
            width=24,
        )
        .repeat("feature")
        .repeat_direction("h")
        .max_per_row(3)
    )


def _evals(built: Dashboard) -> None:
    chosen = f'{EVAL}, eval=~"$eval"'
    built.with_row(Row("Eval $eval").repeat("eval"))
    ratio = "retraind_eval_fail_ratio"
    built.with_panel(
        graph(
            "Fail ratio of $eval",
            "Share of failed evaluations in the last window, inside the bounds of its confidence "
            "interval (of all chosen series together; choose one model and cohort for its own), "
            "and the share over the life of the series. Bounds wholly above the life's share: "
            "failures have risen.",
            Query(f"{ratio}{{{chosen}}}", _VERSIONED),
            Query(f"max({ratio}_upper_bound{{{chosen}}})", "upper bound"),
            Query(f"min({ratio}_lower_bound{{{chosen}}})", "lower bound"),
            Query(f'max({LIFE_FAIL_RATIO}{{{SERIES}, eval=~"$eval"}})', "over its life"),
            unit="percentunit",
            lines=[
                Line("upper bound", "light-blue", fill_to="lower bound"),
                Line("lower bound", "light-blue"),
                Line("over its life", "green"),
            ],
            runbooks=("RetraindEvalFailRateBurn",),
            width=10,
        )
    )
    built.with_panel(
        graph(
            "Burn of $eval",
            "How many times faster than over its life it fails in its last window. Steadily above "
            "1: read some failing answers, and ask first whether the judge is right.",
            Query(f'{BURN}{{{SERIES}, eval=~"$eval"}}', SERIES_LEGEND),
            steps=((None, "green"), (1, "red")),
            runbooks=("RetraindEvalFailRateBurn",),
            width=7,
        )
    )
    built.with_panel(
        graph(
            "Mean score of $eval",
            "Mean over sessions in the last window, by version of model and judge. A step at a "
            "new version of the judge is the judge's, not the model's.",
            Query(f"retraind_eval_score_mean{{{chosen}}}", _VERSIONED),
            least=None,
            width=7,
        )
    )


def _cohorts(built: Dashboard) -> None:
    by = "model, cohort"
    queries = [
        Query(f"sum by ({by}) ({ALARM}{{{SERIES}}})", "alarms on"),
        Query(f"max by ({by}) ({DRIFT_RATIO}{{{SERIES}}})", "worst score / threshold"),
        Query(f"max by ({by}) (retraind_eval_fail_ratio{{{SERIES}}})", "worst fail ratio"),
        Query(f"sum by ({by}) (retraind_window_sessions{{{SERIES}}})", "sessions"),
    ]
    built.with_row(Row("Cohorts beside each other"))
    built.with_panel(
        rows(
            "Cohorts now",
            "One cohort that drifts alone has a cause of its own: a customer, a region, an "
            "experiment. All together: a deploy, a prompt, the provider.",
            queries,
            {
                "alarms on": colored(ZERO_IS_GOOD),
                "worst score / threshold": colored(
                    ((None, "green"), (0.5, "yellow"), (1, "red")), decimals=2
                ),
                "worst fail ratio": measured("percentunit", 1),
            },
            order_by="worst score / threshold",
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Worst drift by cohort",
            "The highest score of any feature, in units of its threshold.",
            Query(f"max by (cohort) ({DRIFT_RATIO}{{{SERIES}}})", "cohort {{cohort}}"),
            steps=((None, "green"), (1, "red")),
            runbooks=("RetraindDriftDetected",),
            width=8,
        )
    )
    built.with_panel(
        graph(
            "Fail ratio by cohort",
            "The worst series of each cohort and eval.",
            Query(
                f'max by (cohort, eval) (retraind_eval_fail_ratio{{{EVAL}, eval=~"$eval"}})',
                "{{eval}} cohort {{cohort}}",
            ),
            unit="percentunit",
            runbooks=("RetraindEvalFailRateBurn",),
            width=8,
        )
    )
