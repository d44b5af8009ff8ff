"""A request to retrain as a value; `message` gives it the form that consumers code against.

The fields mirror proto/retraind/v1/trigger.proto. Times are event time in nanoseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from retraind.model import Contribution, SeriesKey
from retraind.webhook import trigger_pb2 as pb
from retraind.webhook.attribution import Attribution, add_attribution

LABEL_CHARACTERS = 120
CAUSE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: one alarm with the evidence that made it fire, or the schedule.

    `value`, `bound` and `threshold` are PSI above its noise floor for drift, a share of failed
    evaluations for fail rates; `n` and `m` are sessions in the window and in the reference. None
    where the method has no such number.
    """

    kind: str
    series: SeriesKey | None = None
    feature: str = ""
    version: str = ""
    method: str = ""
    value: float | None = None
    bound: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    n: int | None = None
    m: int | None = None
    window_ns: tuple[int, int] | None = None
    reference_id: str = ""
    contributions: tuple[Contribution, ...] = ()
    reference_kind: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class ChildAlarm:
    """One alarm of the episode."""

    series: SeriesKey
    feature: str
    version: str
    kind: str
    state: str
    firing_since_ns: int
    reference_kind: str = "pinned"


@dataclass(frozen=True, slots=True)
class Cause:
    """What else than the model may have caused it, for which the trigger may have waited."""

    kind: str
    detail: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """A request to retrain one model; `reasons` and `children` most important first.

    `causes` are newest first.
    """

    id: str
    episode_id: str
    monitor: str
    service_name: str
    environment: str
    model: str
    decided_for_ns: int
    series: SeriesKey | None
    reasons: tuple[Reason, ...]
    children: tuple[ChildAlarm, ...] = ()
    causes: tuple[Cause, ...] = ()
    reasons_omitted: int = 0
    children_omitted: int = 0
    attribution: Attribution = field(default_factory=Attribution)


def message(trigger: Trigger) -> pb.RetrainRequested:
    """The protobuf message of a trigger."""
    requested = pb.RetrainRequested(
        id=trigger.id,
        episode_id=trigger.episode_id,
        monitor=trigger.monitor,
        scope=pb.Scope(
            service_name=trigger.service_name,
            environment=trigger.environment,
            model=trigger.model,
        ),
        series=_series(trigger.series),
        reasons=[_reason(reason) for reason in trigger.reasons],
        children=[_child(child) for child in trigger.children],
        suspected_causes=[
            pb.SuspectedCause(
                kind=cause.kind, detail=cause.detail[:CAUSE_CHARACTERS], at=timestamp(cause.at_ns)
            )
            for cause in trigger.causes
        ],
        decided_for=timestamp(trigger.decided_for_ns),
        reasons_omitted=trigger.reasons_omitted,
        children_omitted=trigger.children_omitted,
    )
    add_attribution(requested, trigger.attribution)
    return requested


def timestamp(ns: int) -> Timestamp:
    """A protobuf timestamp of nanoseconds since the epoch."""
    made = Timestamp()
    made.FromNanoseconds(ns)
    return made


def _series(key: SeriesKey | None) -> pb.Series | None:
    if key is None:
        return None
    return pb.Series(
        monitor=key.monitor,
        service_name=key.service_name,
        environment=key.environment,
        model=key.model,
        cohort=key.cohort,
    )


def _reason(reason: Reason) -> pb.Reason:
    window = None
    if reason.window_ns is not None:
        start_ns, end_ns = reason.window_ns
        window = pb.Window(start=timestamp(start_ns), end=timestamp(end_ns))
    return pb.Reason(
        kind=reason.kind,
        series=_series(reason.series),
        feature=reason.feature,
        version=reason.version,
        method=reason.method,
        value=_finite(reason.value),
        bound=_finite(reason.bound),
        threshold=_finite(reason.threshold),
        p_value=_finite(reason.p_value),
        n=reason.n,
        m=reason.m,
        window=window,
        reference_id=reason.reference_id,
        reference_kind=reason.reference_kind,
        contributions=[
            pb.Contribution(
                label=part.label[:LABEL_CHARACTERS],
                reference_share=part.reference_share,
                current_share=part.current_share,
                contribution=part.contribution,
                residual=part.residual,
            )
            for part in reason.contributions
        ],
        change=reason.change,
    )


def _child(child: ChildAlarm) -> pb.Child:
    return pb.Child(
        series=_series(child.series),
        feature=child.feature,
        version=child.version,
        kind=child.kind,
        state=child.state,
        firing_since=timestamp(child.firing_since_ns),
        reference_kind=child.reference_kind,
    )


def _finite(value: float | None) -> float | None:
    """JSON has no NaN or infinity, and neither says anything to a consumer."""
    return value if value is not None and math.isfinite(value) else None
