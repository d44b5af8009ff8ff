"""What the policies decide, as rows of the same transaction: episodes, triggers, the outbox."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from retraind.config.settings import Config
from retraind.evaluate.attribution import attribute, to_json
from retraind.evaluate.memory import Memory, Source
from retraind.evaluate.tables import rows_table, timestamp
from retraind.evaluate.telling import SessionFinder
from retraind.evaluate.trigger import ranked, trigger_of
from retraind.model import SeriesKey
from retraind.policy import decide
from retraind.policy.decide import Child, Decision, PolicyKey, PolicyMemory
from retraind.store.state import Transaction
from retraind.telemetry import Telemetry
from retraind.webhook.attribution import Attribution
from retraind.webhook.event import build_event
from retraind.webhook.outbox import outbox_rows

log = structlog.get_logger(__name__)


class Decided(NamedTuple):
    """A decision and the policy that made it."""

    policy: PolicyKey
    decision: Decision


class Pinned(NamedTuple):
    """A reference that pinned itself, or what was `added` to one that there was."""

    series: SeriesKey
    reference_id: str
    sessions: int
    added: tuple[str, ...] = ()


class Decider:
    """Steps the policies whose series had windows, and writes what they decide."""

    def __init__(
        self, config: Config, telemetry: Telemetry, sessions: SessionFinder | None = None
    ) -> None:
        """Without `sessions`, for want of stored spans, triggers name none."""
        self._sessions = sessions
        self._monitors = config.monitors_by_name
        self._destinations = config.destinations
        self._telemetry = telemetry

    def decide(
        self,
        tx: Transaction,
        memory: Memory,
        policies: Collection[PolicyKey],
        end_ns: int,
        now_ns: int,
    ) -> list[Decided]:
        """Decide at `end_ns` (event time) for these policies. Rows carry the wall time `now_ns`."""
        decided: list[Decided] = []
        children = _children(memory, policies)
        for key in sorted(policies):
            before = memory.policies.get(key, PolicyMemory())
            own = children[key]
            after, decisions = decide.decide(
                key, before, own, end_ns, self._monitors[key.monitor].policy,
                has_evaluations=any(child.kind == "eval_fail_rate" for child in own),
                mutes=memory.mutes.values(), holds=memory.holds.values(),
            )  # fmt: skip
            if after != before:
                memory.policies[key] = after
                _write_policy(tx, key, after)
            for decision in decisions:
                self._write(tx, memory, key, decision, own, now_ns)
                decided.append(Decided(key, decision))
        return decided

    def due(self, memory: Memory, source: Source, until_ns: int) -> list[tuple[int, PolicyKey]]:
        """When triggers of a source that wait may be sent, up to a time: nobody waits for windows.

        Those of low traffic may be a week long.
        """
        found = [
            (
                decide.due_ns(
                    key, policy, self._monitors[key.monitor].policy, memory.holds.values()
                ),
                key,
            )
            for key, policy in memory.policies.items()
            if (key.service_name, key.environment) == source and key.monitor in self._monitors
        ]
        return sorted((at, key) for at, key in found if at is not None and at <= until_ns)

    def announce(self, decided: Iterable[Decided], pinned: Iterable[Pinned]) -> None:
        """Log and count what has become durable."""
        for series, reference_id, sessions, added in pinned:
            # Loudly: everything later is held against it.
            event = "late features joined the reference" if added else "reference pinned itself"
            named = {"features": list(added)} if added else {}
            log.warning(
                event, **named, monitor=series.monitor, service=series.service_name,
                environment=series.environment, model=series.model, cohort=series.cohort,
                reference=reference_id, sessions=sessions,
            )  # fmt: skip
        for key, decision in decided:
            log.info(
                "decided", decision=decision.kind, monitor=key.monitor, service=key.service_name,
                environment=key.environment, model=key.model, episode=decision.episode_id,
                trigger=decision.trigger_id, reasons=list(decision.reasons),
                detail=decision.detail,
            )  # fmt: skip
            if decision.kind == "suppressed":
                self._telemetry.suppressed_triggers.labels(key.monitor, decision.reasons[0]).inc()
            elif decision.kind == "trigger":
                self._telemetry.triggers.labels(key.monitor, decision.reasons[0]).inc()

    def _write(
        self,
        tx: Transaction,
        memory: Memory,
        key: PolicyKey,
        decision: Decision,
        children: list[Child],
        now_ns: int,
    ) -> None:
        if decision.kind == "open_episode":
            found = self._attribute(tx, memory, key, decision, children)
            tx.append("episodes", rows_table([_episode_row(key, decision, found)]))
        elif decision.kind == "join":
            tx.run("join_episode", id=decision.episode_id, children=json.dumps(decision.children))
        elif decision.kind == "close_episode":
            tx.run("close_episode", id=decision.episode_id, closed=decision.at_ns)
        elif decision.kind == "trigger":
            self._write_trigger(tx, memory, key, decision, children, now_ns)

    def _attribute(
        self,
        tx: Transaction,
        memory: Memory,
        key: PolicyKey,
        decision: Decision,
        children: list[Child],
    ) -> Attribution:
        series = [each for each in memory.series.values() if each.policy == key]
        return attribute(tx, memory, series, decision, children, self._monitors[key.monitor])

    def _write_trigger(
        self,
        tx: Transaction,
        memory: Memory,
        key: PolicyKey,
        decision: Decision,
        children: list[Child],
        now_ns: int,
    ) -> None:
        found = self._attribute(tx, memory, key, decision, children)
        detector = self._monitors[key.monitor].detector
        alarmed = ranked(decision, children, detector)
        series = [each for each in memory.series.values() if each.policy == key]
        if self._sessions is not None and alarmed:
            sessions = self._sessions.find(tx, memory, series, alarmed)
            found = replace(found, sessions=sessions)
        if decision.episode_id:
            tx.run("attribute_episode", id=decision.episode_id, attribution=to_json(found))
        trigger = trigger_of(key, decision, children, detector)
        trigger = replace(trigger, attribution=found)
        longest = max((d.expire_after for d in self._destinations), default=86400.0)
        expires_ns = now_ns + int(longest * 1e9)
        body = build_event(
            trigger, created_at_ns=now_ns, expires_at_ns=expires_ns,
            source=f"/retraind/{key.environment or 'default'}/{key.service_name}",
        )  # fmt: skip
        row = {
            "id": decision.trigger_id,
            "episode_id": decision.episode_id or None,
            "monitor": key.monitor,
            "service_name": key.service_name,
            "environment": key.environment,
            "model": key.model,
            "reason": decision.reasons[0],
            "decided_for": timestamp(decision.at_ns),
            "created_at": timestamp(now_ns),
            "event": body.decode(),
        }
        tx.append("triggers", rows_table([row]))
        if self._destinations:
            tx.append("outbox", outbox_rows(decision.trigger_id, body, self._destinations, now_ns))


def _children(memory: Memory, policies: Collection[PolicyKey]) -> Mapping[PolicyKey, list[Child]]:
    """Every alarm of the policies, silent ones too, in a stable order."""
    children: dict[PolicyKey, list[Child]] = {key: [] for key in policies}
    for series in memory.series.values():
        own = children.get(series.policy)
        if own is None:
            continue
        for key, alarm in memory.alarms.get(series.id, {}).items():
            kind: Any = "eval_fail_rate" if key.kind == "rate" else "drift"
            own.append(
                Child(series.key, key.feature, key.version, kind, alarm.memory, key.reference)
            )
    for own in children.values():
        own.sort(key=lambda child: child.id)
    return children


def _write_policy(tx: Transaction, key: PolicyKey, memory: PolicyMemory) -> None:
    tx.run("delete_policy", **key._asdict())
    tx.append("policies", rows_table([{**key._asdict(), "memory": decide.to_json(memory)}]))


def _episode_row(key: PolicyKey, decision: Decision, found: Attribution) -> dict[str, Any]:
    return {
        "id": decision.episode_id,
        **key._asdict(),
        "opened_at": timestamp(decision.at_ns),
        "closed_at": None,
        "status": "open",
        "children": json.dumps(decision.children),
        "attribution": to_json(found),
    }
