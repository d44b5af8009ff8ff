"""What an attempt shows to the operator: its metrics and its line in the log."""

from __future__ import annotations

import structlog

from retraind.telemetry import Telemetry
from retraind.webhook.outbox import Attempt, Pending

log = structlog.get_logger(__name__)


def report(telemetry: Telemetry, event: Pending, attempt: Attempt) -> None:
    """Count a recorded attempt, and say what it made of its event. URLs and secrets stay out."""
    name = event.destination
    telemetry.webhook_deliveries.labels(name).inc()
    telemetry.webhook_duration.labels(name).observe(attempt.seconds)
    if attempt.outcome != "delivered":
        reason = "network" if attempt.status is None else f"http_{attempt.status // 100}xx"
        telemetry.webhook_failures.labels(name, reason).inc()
    bound = log.bind(trigger=event.trigger_id, destination=name)
    if attempt.outcome == "delivered":
        bound.info("webhook delivered")
    elif attempt.outcome == "dead":
        telemetry.webhook_dead.labels(name).inc()
        bound.error(
            "webhook event refused for good; `retraind webhook retry` sends it again",
            error=attempt.error,
        )
    else:
        bound.warning("webhook delivery failed, trying again", error=attempt.error)
