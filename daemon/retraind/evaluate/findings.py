"""One closed decision window of one series: the tests of its features, and what each amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retraind.config.settings import Detector, EvalSettings, WindowSettings
from retraind.drift.attribution import movements, shape_words
from retraind.drift.bands import verdict
from retraind.drift.compare import FrozenBins, compare
from retraind.drift.family import select
from retraind.model import (
    Counts,
    DriftResult,
    FeatureKind,
    RateResult,
    ReferenceKind,
    SeriesKey,
)  # fmt: skip
from retraind.policy.alarms import AlarmKind, AlarmState, Finding, Verdict
from retraind.rates.failrate import evaluate
from retraind.window.counts import is_high_cardinality
from retraind.window.reference import Rung

TOP_CONTRIBUTIONS = 5


class FeatureKey(NamedTuple):
    """A watched feature of a series; version is set for scores and rates."""

    feature: str
    version: str
    kind: FeatureKind


class AlarmKey(NamedTuple):
    """A watched feature, and the kind of reference that it is watched against."""

    feature: str
    version: str
    kind: FeatureKind
    reference: ReferenceKind = "pinned"

    @property
    def watched(self) -> FeatureKey:
        return FeatureKey(self.feature, self.version, self.kind)


@dataclass(frozen=True, slots=True)
class SeriesWindow:
    """The counts of one decision window, and the reference counts of the same hours.

    `reference_kind` says which reference; the same window is held against several. `reference`
    lacks a feature that the reference does not have or of which it has too little; `bins` are those
    of the whole reference. `rungs` say how far a pinned reference had to be widened.
    """

    series_id: str
    series: SeriesKey
    start_ns: int
    end_ns: int
    sessions: int
    ready: bool
    counts: Mapping[FeatureKey, Counts]
    reference_id: str | None
    reference: Mapping[FeatureKey, Counts]
    bins: Mapping[FeatureKey, FrozenBins | None]
    reference_kind: ReferenceKind = "pinned"
    rungs: Mapping[FeatureKey, Rung] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What of a monitor's configuration the tests need."""

    detector: Detector
    window: WindowSettings
    evals: Mapping[str, EvalSettings]
    context: frozenset[str]
    categories: int


@dataclass(slots=True)
class Outcome:
    """One feature of one window, tested; `decide_family` settles `verdict` and `in_family`.

    `trial`: the score is shown, but says nothing yet. `alarm_state` is that after the window.
    """

    window: SeriesWindow
    key: FeatureKey
    counts: Counts
    verdict: Verdict
    drift: DriftResult | None = None
    rate: RateResult | None = None
    in_family: bool = False
    over_limit: bool | None = None
    detector: tuple[float, ...] = ()
    trial: bool = False
    alarm_state: AlarmState | None = None

    @property
    def reference_kind(self) -> ReferenceKind:
        return self.window.reference_kind

    @property
    def alarm_key(self) -> AlarmKey | None:
        """The alarm that it steps: none for context, and for what is only shown."""
        if self.verdict == "context" or self.trial or self.reference_kind == "trailing":
            return None
        return AlarmKey(*self.key, self.reference_kind)

    @property
    def alarm_kind(self) -> AlarmKind:
        return "eval_fail_rate" if self.key.kind == "rate" else "drift"


def examine(
    window: SeriesWindow,
    sensitivity: Sensitivity,
    detectors: Mapping[FeatureKey, tuple[float, ...]],
    log_threshold: float,
) -> list[Outcome]:
    """Test every feature of a window on its own; `decide_family` completes drift outcomes."""
    outcomes = []
    for key, counts in sorted(window.counts.items()):
        if key.kind == "rate":
            memory = detectors.get(key, ())
            outcomes.append(_examine_rate(window, key, counts, sensitivity, memory, log_threshold))
        else:
            outcomes.append(_examine_drift(window, key, counts, sensitivity))
    return outcomes


def examine_against(
    window: SeriesWindow, sensitivity: Sensitivity, *, trial: bool
) -> list[Outcome]:
    """Test a window's features against a reference other than the pinned one.

    What cannot be tested is said once, by the comparison with the pinned reference. On `trial` the
    verdict is immature, whatever the score.
    """
    outcomes = []
    for key, counts in sorted(window.counts.items()):
        outcome = _examine_drift(window, key, counts, sensitivity)
        if outcome.drift is not None:
            if trial:
                outcome.verdict, outcome.trial = "immature", True
            outcomes.append(outcome)
    return outcomes


def decide_family(outcomes: list[Outcome], detector: Detector) -> None:
    """Set `in_family` and the band of every drift result of one family (ADR 4).

    Trailing references make a family of their own: what is only shown takes no part in decisions.
    """
    tested = [each for each in outcomes if each.drift is not None and not each.trial]
    _decide([each for each in tested if each.reference_kind != "trailing"], detector)
    _decide([each for each in tested if each.reference_kind == "trailing"], detector)


def _decide(tested: list[Outcome], detector: Detector) -> None:
    p_values = [outcome.drift.p_value for outcome in tested if outcome.drift is not None]
    chosen = select(p_values, q=detector.bh_q, alpha=detector.alpha)
    for outcome, in_family in zip(tested, chosen, strict=True):
        assert outcome.drift is not None
        outcome.in_family = in_family
        outcome.verdict = verdict(
            outcome.drift,
            in_family=in_family,
            investigate=detector.bands.investigate,
            retrain=detector.bands.retrain,
        )
        if outcome.reference_kind == "trailing" and outcome.verdict != "ok":
            outcome.verdict = "notice"  # it forgets slow drift, so it may not speak of its size


def _examine_drift(
    window: SeriesWindow, key: FeatureKey, counts: Counts, sensitivity: Sensitivity
) -> Outcome:
    if key.feature in sensitivity.context:
        return Outcome(window, key, counts, "context")
    if not window.ready or counts.n < sensitivity.window.min_sessions_at_max_length:
        return Outcome(window, key, counts, "no_data")
    if is_high_cardinality(counts, sensitivity.categories):
        return Outcome(window, key, counts, "high_cardinality")
    reference = window.reference.get(key)
    if reference is None or reference.n == 0:
        return Outcome(window, key, counts, "immature")
    return Outcome(
        window, key, counts, "ok", drift=compare(reference, counts, window.bins.get(key))
    )


def _examine_rate(
    window: SeriesWindow,
    key: FeatureKey,
    counts: Counts,
    sensitivity: Sensitivity,
    memory: tuple[float, ...],
    log_threshold: float,
) -> Outcome:
    if counts.n == 0:
        return Outcome(window, key, counts, "no_data", detector=memory)
    result, after = evaluate(
        counts,
        window.reference.get(key),
        memory or None,
        tolerance=sensitivity.detector.fail_rate_tolerance,
        log_threshold=log_threshold,
    )
    limit = (
        sensitivity.evals[key.feature].max_fail_rate if key.feature in sensitivity.evals else None
    )
    # A fixed limit is crossed when the rate is above it beyond doubt, not when one session failed.
    over_limit = None if limit is None else result.lower > limit
    reference = window.reference.get(key)
    judged = reference is not None and reference.n > 0
    found: Verdict = "alarm" if result.alarmed else "ok" if judged else "immature"
    return Outcome(
        window, key, counts, found, rate=result, over_limit=over_limit, detector=after
    )  # fmt: skip


def finding_of(outcome: Outcome, sensitivity: Sensitivity) -> Finding:
    """What the policy is told, with the evidence that a trigger will carry."""
    drift = outcome.drift
    return Finding(
        kind=outcome.alarm_kind,
        feature=outcome.key.feature,
        version=outcome.key.version,
        verdict=outcome.verdict,
        window_start_ns=outcome.window.start_ns,
        window_end_ns=outcome.window.end_ns,
        in_family=outcome.in_family,
        psi_corrected=None if drift is None else drift.psi_corrected,
        over_limit=outcome.over_limit,
        evidence=_evidence(outcome, sensitivity),
    )


def _evidence(outcome: Outcome, sensitivity: Sensitivity) -> dict[str, Any]:
    evidence: dict[str, Any] = {"reference_id": outcome.window.reference_id or ""}
    if outcome.drift is not None:
        drift = outcome.drift
        evidence |= {
            "method": drift.method,
            "value": drift.psi_corrected,
            "bound": drift.psi_lower,
            "threshold": sensitivity.detector.bands.investigate,
            "p_value": drift.p_value,
            "n": drift.n,
            "m": drift.m,
            "contributions": [
                [
                    part.label,
                    part.reference_share,
                    part.current_share,
                    part.contribution,
                    part.residual,
                ]
                for part in movements(drift)[:TOP_CONTRIBUTIONS]
            ],
            "change": shape_words(drift.components),
        }
    elif outcome.rate is not None:
        rate = outcome.rate
        by_limit = outcome.over_limit and not rate.alarmed
        limit = sensitivity.evals[outcome.key.feature].max_fail_rate if by_limit else None
        reference = outcome.window.reference.get(outcome.key)
        evidence |= {"method": rate.method, "value": rate.rate, "bound": rate.lower, "n": rate.n}
        if by_limit:
            evidence["threshold"] = limit
        elif reference is not None:
            evidence |= {"threshold": rate.baseline_upper, "m": reference.n}
    return evidence
