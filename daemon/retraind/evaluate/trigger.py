"""From a decision to what is sent: reasons and alarms in order of importance, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from retraind.config.settings import Detector
from retraind.model import Contribution
from retraind.policy.decide import Child, Decision, PolicyKey
from retraind.webhook.trigger import Cause, ChildAlarm, Reason, Trigger

MAX_REASONS = 20
MAX_CHILDREN = 50
MAX_CONTRIBUTIONS = 5
MAX_CAUSES = 10


def trigger_of(
    key: PolicyKey, decision: Decision, children: Sequence[Child], detector: Detector
) -> Trigger:
    """The trigger of a decision of kind `trigger`; `children` are all alarms of the policy.

    Every alarm of the episode that still fires is a reason: those that decided come first, then the
    others, by how far each is above its threshold. A schedule without alarm is the reason itself.
    """
    alarmed = ranked(decision, children, detector)
    reasons = [_reason(child, decision, detector) for child in alarmed]
    if "schedule" in decision.reasons:
        before = sum(_decided(child, decision) for child in alarmed)
        reasons.insert(before, Reason(kind="schedule"))
    alarms = [_alarm(child) for child in alarmed]
    return Trigger(
        id=decision.trigger_id,
        episode_id=decision.episode_id,
        monitor=key.monitor,
        service_name=key.service_name,
        environment=key.environment,
        model=key.model,
        decided_for_ns=decision.at_ns,
        series=reasons[0].series if reasons else None,
        reasons=tuple(reasons[:MAX_REASONS]),
        children=tuple(alarms[:MAX_CHILDREN]),
        causes=tuple(
            Cause(hold.kind, hold.cause, hold.starts_ns) for hold in decision.holds[:MAX_CAUSES]
        ),
        reasons_omitted=max(0, len(reasons) - MAX_REASONS),
        children_omitted=max(0, len(alarms) - MAX_CHILDREN),
    )


def ranked(decision: Decision, children: Sequence[Child], detector: Detector) -> list[Child]:
    """The alarms of a decision, the most important first."""
    concerned = [child for child in children if child.id in set(decision.children)]
    return sorted(concerned, key=lambda child: _rank(child, decision, detector))


def _decided(child: Child, decision: Decision) -> bool:
    """Whether the policy asks because of this alarm; drift asks in its own band only."""
    return child.kind in decision.reasons and child.asks


def _rank(child: Child, decision: Decision, detector: Detector) -> tuple[int, float, str]:
    order = len(decision.reasons)
    if _decided(child, decision):
        order = decision.reasons.index(child.kind)
    reason = _reason(child, decision, detector)
    excess = (reason.value or 0.0) - (reason.threshold or 0.0)
    return order, -excess, child.id


def _reason(child: Child, decision: Decision, detector: Detector) -> Reason:
    finding = child.alarm.finding
    reason = Reason(
        child.kind, child.series, child.feature, child.version, reference_kind=child.reference
    )
    if finding is None:
        return reason
    evidence = finding.evidence
    threshold = evidence.get("threshold")
    if child.kind == "drift" and _decided(child, decision):
        threshold = detector.bands.retrain  # what asking for retraining took, beyond an alarm
    return replace(
        reason,
        method=evidence.get("method", ""),
        value=evidence.get("value"),
        bound=evidence.get("bound"),
        threshold=threshold,
        p_value=evidence.get("p_value"),
        n=evidence.get("n"),
        m=evidence.get("m"),
        window_ns=(finding.window_start_ns, finding.window_end_ns),
        reference_id=evidence.get("reference_id", ""),
        contributions=_contributions(evidence.get("contributions", ())),
        change=evidence.get("change", ""),
    )


def _contributions(parts: Sequence[Sequence[Any]]) -> tuple[Contribution, ...]:
    return tuple(Contribution(*part) for part in parts[:MAX_CONTRIBUTIONS])


def _alarm(child: Child) -> ChildAlarm:
    return ChildAlarm(
        series=child.series,
        feature=child.feature,
        version=child.version,
        kind=child.kind,
        state=child.alarm.state,
        firing_since_ns=child.alarm.fired_ns,
        reference_kind=child.reference,
    )
