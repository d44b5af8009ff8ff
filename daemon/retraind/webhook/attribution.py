"""What moved, as part of a trigger: features, mix against within-cohort change, sessions."""

from __future__ import annotations

from dataclasses import dataclass

from retraind.drift.attribution import MeanShift
from retraind.webhook import trigger_pb2 as pb

MAX_FEATURES = 10
MAX_SHIFTS = 3
MAX_COHORTS = 3
MAX_TRACES = 3
CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class MovedFeature:
    """A feature of one cohort and the drift of its last window, PSI above its noise floor."""

    feature: str
    version: str
    cohort: str
    psi_corrected: float
    p_value: float


@dataclass(frozen=True, slots=True)
class EvalShift:
    """The change of a fail rate's (`rate`) or a score's mean over all cohorts of a model."""

    feature: str
    judge: str
    kind: str
    shift: MeanShift


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session that shows what is new, ids as stored. `parts`: its score by feature."""

    session_id: str
    trace_ids: tuple[str, ...]
    cohort: str
    score: float
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Attribution:
    """What moved, each list the most important first."""

    features: tuple[MovedFeature, ...] = ()
    shifts: tuple[EvalShift, ...] = ()
    sessions: tuple[FoundSession, ...] = ()


def add_attribution(requested: pb.RetrainRequested, found: Attribution) -> None:
    """Write the first of each into the message."""
    for feature in found.features[:MAX_FEATURES]:
        requested.moved_features.add(
            feature=feature.feature, version=feature.version[:CHARACTERS],
            cohort=feature.cohort[:CHARACTERS], value=feature.psi_corrected,
            p_value=feature.p_value,
        )  # fmt: skip
    requested.mean_shifts.extend(_shift(each) for each in found.shifts[:MAX_SHIFTS])
    for session in found.sessions:
        requested.telling_sessions.add(
            session_id=session.session_id, trace_ids=session.trace_ids[:MAX_TRACES],
            cohort=session.cohort[:CHARACTERS], score=session.score,
        )  # fmt: skip


def _shift(found: EvalShift) -> pb.MeanShift:
    shift = found.shift
    cohorts = [
        pb.CohortShift(
            cohort=each.cohort[:CHARACTERS],
            reference_share=each.reference_share,
            current_share=each.current_share,
            reference_mean=each.reference_mean,
            current_mean=each.current_mean,
            mix=each.mix,
            within=each.within,
        )
        for each in shift.cohorts[:MAX_COHORTS]
    ]
    return pb.MeanShift(
        feature=found.feature,
        judge=found.judge[:CHARACTERS],
        kind=found.kind,
        change=shift.change,
        mix=shift.mix,
        within=shift.within,
        within_p=shift.within_p,
        cause=shift.cause,
        cohorts=cohorts,
    )
