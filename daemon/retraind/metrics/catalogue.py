"""Every window-result metric: name, labels and help. docs/metrics.md is generated from it.

They describe decision windows in event time, which PromQL cannot derive from counters; so ratios
are exported with their bounds, beside the counts that they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SERIES = ("monitor", "service_name", "deployment_environment", "model", "cohort")
FEATURE = (*SERIES, "feature", "version", "window", "reference")
EVAL = (*SERIES, "eval", "version")

POLICY = ("monitor", "service_name", "deployment_environment", "model")

STATES = ("ok", "pending", "firing", "resolving", "no_data", "immature", "muted", "held")


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. `name` is as exposed, with `_total` for counters."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    help: str


DRIFT_SCORE = Metric(
    "retraind_drift_score", "gauge", (*FEATURE, "method"),
    "Distance of the last closed decision window from its reference; psi without its noise floor.",
)  # fmt: skip
DRIFT_THRESHOLD = Metric(
    "retraind_drift_threshold", "gauge", (*FEATURE, "method"),
    "Score from which the retrain band begins; same labels as retraind_drift_score.",
)  # fmt: skip
DRIFT_P_VALUE = Metric(
    "retraind_drift_p_value", "gauge", FEATURE,
    "p-value of the test of the last closed decision window against its reference.",
)  # fmt: skip
EVAL_RESULTS = Metric(
    "retraind_eval_results_total", "counter", EVAL,
    "Single evaluations in closed decision windows.",
)  # fmt: skip
EVAL_FAILURES = Metric(
    "retraind_eval_failures_total", "counter", EVAL,
    "Failed evaluations in closed decision windows.",
)  # fmt: skip
EVAL_FAIL_RATIO = Metric(
    "retraind_eval_fail_ratio", "gauge", (*EVAL, "window"),
    "Mean over sessions of the share of failed evaluations in the last closed decision window.",
)  # fmt: skip
EVAL_FAIL_RATIO_LOWER = Metric(
    "retraind_eval_fail_ratio_lower_bound", "gauge", (*EVAL, "window"),
    "Lower confidence bound of retraind_eval_fail_ratio.",
)  # fmt: skip
EVAL_FAIL_RATIO_UPPER = Metric(
    "retraind_eval_fail_ratio_upper_bound", "gauge", (*EVAL, "window"),
    "Upper confidence bound of retraind_eval_fail_ratio.",
)  # fmt: skip
EVAL_SCORE_MEAN = Metric(
    "retraind_eval_score_mean", "gauge", (*EVAL, "window"),
    "Mean over sessions of the evaluation's score in the last closed decision window.",
)  # fmt: skip
WINDOW_SESSIONS = Metric(
    "retraind_window_sessions", "gauge", (*SERIES, "window"),
    "Sessions in the last closed decision window.",
)  # fmt: skip
WINDOW_END = Metric(
    "retraind_window_end_timestamp_seconds", "gauge", (*SERIES, "window"),
    "Unix time at which the last closed decision window ended (event time).",
)  # fmt: skip
MONITOR_STATE = Metric(
    "retraind_monitor_state", "gauge", (*SERIES, "feature", "state"),
    "State of a watched feature or eval: 1 for the state it is in, 0 for the others.",
)  # fmt: skip
REFERENCE_CREATED = Metric(
    "retraind_reference_created_timestamp_seconds", "gauge", (*SERIES, "reference"),
    "Unix time at which the active reference was pinned.",
)  # fmt: skip
REFERENCE_SESSIONS = Metric(
    "retraind_reference_sessions", "gauge", (*SERIES, "reference"),
    "Sessions in the active reference.",
)  # fmt: skip
OPEN_EPISODES = Metric(
    "retraind_open_episodes", "gauge", POLICY,
    "Open episodes: continuous alarms of a model, at most one trigger each.",
)  # fmt: skip
HOLD_EXPIRES = Metric(
    "retraind_hold_expires_timestamp_seconds", "gauge", (*POLICY, "kind"),
    "Unix time (event time) at which the last hold of a kind (deploy, judge, schema) ends; one of "
    "every model has an empty model.",
)  # fmt: skip
HELD_TRIGGER_DUE = Metric(
    "retraind_held_trigger_due_timestamp_seconds", "gauge", POLICY,
    "Unix time (event time) at which a trigger that waits for holds is sent at the latest.",
)  # fmt: skip
DEPLOY = Metric(
    "retraind_deploy_timestamp_seconds", "gauge",
    ("service_name", "deployment_environment", "service_version"),
    "Unix time (event time) at which a service.version was first seen, of the newest three.",
)  # fmt: skip

CATALOGUE = (
    DRIFT_SCORE, DRIFT_THRESHOLD, DRIFT_P_VALUE, EVAL_RESULTS, EVAL_FAILURES, EVAL_FAIL_RATIO,
    EVAL_FAIL_RATIO_LOWER, EVAL_FAIL_RATIO_UPPER, EVAL_SCORE_MEAN, WINDOW_SESSIONS, WINDOW_END,
    MONITOR_STATE, REFERENCE_CREATED, REFERENCE_SESSIONS, OPEN_EPISODES, HOLD_EXPIRES,
    HELD_TRIGGER_DUE, DEPLOY,
)  # fmt: skip
