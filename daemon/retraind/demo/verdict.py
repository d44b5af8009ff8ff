"""Right or wrong, read from nothing but the delivered events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from retraind.demo.receiver import Delivery
from retraind.demo.scenario import ENVIRONMENT, SECOND_NS, SERVICE, Drift, Scenario

EVENT_TYPE: Final = "dev.retraind.retrain.requested.v1"


def problems(scenario: Scenario, accepted: Sequence[Delivery], refused: Sequence[str]) -> list[str]:
    """What was wrong, one sentence each; empty when the daemon said exactly what it should.

    The same event delivered twice counts once: delivery is at least once by contract.
    """
    drift = scenario.drift
    found = [f"a delivery was refused: {reason}" for reason in refused]
    events = {delivery.id: delivery.event for delivery in accepted}
    found += [
        f"the webhook-id {key} is not the event's id {event.get('id')}"
        for key, event in events.items()
        if event.get("id") != key
    ]
    if drift is None:
        found += [f"nothing drifted, but this trigger came: {_target(e)}" for e in events.values()]
        return found
    if len(events) != 1:
        targets = ", ".join(_target(event) for event in events.values()) or "none"
        found.append(f"expected one trigger for {drift}, got {len(events)}: {targets}")
        return found
    (event,) = events.values()
    return found + _wrong_content(drift, event) + _too_early(scenario.drift_ns, event)


def _too_early(drift_ns: int, event: dict[str, Any]) -> list[str]:
    """A trigger for the right series is a false alarm all the same when nothing had changed yet."""
    text = event.get("data", {}).get("decidedFor")
    if not text:
        return ["the trigger does not say when it was decided for"]
    decided = datetime.fromisoformat(text)
    changed = datetime.fromtimestamp(drift_ns // SECOND_NS, UTC)
    if decided > changed:
        return []
    return [f"it was decided for {decided:%m-%d %H:%M}, before {changed:%m-%d %H:%M}"]


def _wrong_content(drift: Drift, event: dict[str, Any]) -> list[str]:
    data = event.get("data", {})
    expected = {"serviceName": SERVICE, "environment": ENVIRONMENT, "model": drift.model}
    found = []
    if event.get("type") != EVENT_TYPE:
        found.append(f"the event's type is {event.get('type')!r}, not {EVENT_TYPE!r}")
    if data.get("scope") != expected:
        found.append(f"the scope is {data.get('scope')}, not {expected}")
    reasons = data.get("reasons", [])
    if not reasons:
        found.append("the trigger gives no reason")
    alarmed = [data.get("series", {})]
    alarmed += [entry.get("series", {}) for entry in (*reasons, *data.get("children", []))]
    wrong = {(s.get("model"), s.get("cohort")) for s in alarmed} - {(drift.model, drift.cohort)}
    found += [f"it also names {model}/{cohort}, which did not change" for model, cohort in wrong]
    return found


def _target(event: dict[str, Any]) -> str:
    series = event.get("data", {}).get("series", {})
    return f"{series.get('model')}/{series.get('cohort')}"
