"""Why triggers wait: something else than the model may have caused what alarms.

A hold stands from its cause until it expires, in event time. No trigger waits longer than
`policy.hold_for` in all, whatever else happens meanwhile: with a deploy every day, retraining would
otherwise never be asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

HoldKind = Literal["deploy", "judge", "schema"]
OVERLAP_HOURS = 24
"""Two judges that ran beside each other for so long can be compared; nothing has to wait."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Triggers of this monitor, service, environment and model (None: all) wait for it.

    `cause` is one sentence for the person who decides. Times are event time in nanoseconds.
    """

    id: str
    kind: HoldKind
    monitor: str
    service_name: str
    environment: str
    model: str | None
    cause: str
    starts_ns: int
    expires_ns: int

    def concerns(self, monitor: str, service_name: str, environment: str, model: str) -> bool:
        """Whether triggers of this policy wait for it; the arguments are those of a PolicyKey."""
        own = (self.monitor, self.service_name, self.environment)
        return own == (monitor, service_name, environment) and self.model in (None, model)

    def stands(self, at_ns: int) -> bool:
        """Whether triggers wait for it at `at_ns`."""
        return self.starts_ns <= at_ns < self.expires_ns

    def overlaps(self, start_ns: int, end_ns: int) -> bool:
        """Whether it stood at some time from `start_ns` to `end_ns`, both included."""
        return self.starts_ns <= end_ns and start_ns < self.expires_ns


def hold_id(kind: HoldKind, *cause: str | None) -> str:
    """An id that depends on nothing but the cause and what is held."""
    text = json.dumps([kind, *cause], ensure_ascii=True)
    return f"hold_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def clear_ns(holds: Iterable[Hold], from_ns: int) -> int:
    """The first time from `from_ns` on at which none of the holds stands."""
    holds, at_ns = tuple(holds), from_ns
    while standing := [hold.expires_ns for hold in holds if hold.stands(at_ns)]:
        at_ns = max(standing)
    return at_ns


def is_deploy(first_ns: int, others: Collection[int]) -> bool:
    """Whether a version first seen then replaced something: the first of a service is no deploy."""
    return any(other_ns < first_ns for other_ns in others)


def judges_changed(
    current: Collection[str], known: Collection[str], hours: Mapping[str, Collection[int]]
) -> bool:
    """Whether an eval's results come from other judges than the reference's, without a handover.

    `current` judged in the window, `known` are the reference's; `hours` are the panes of each judge
    up to the window's end. A handover is OVERLAP_HOURS panes with an old judge beside a new one.
    """
    if not current or not known or not set(current).isdisjoint(known):
        return False
    old = {hour for judge in known for hour in hours.get(judge, ())}
    new = {hour for judge in current for hour in hours.get(judge, ())}
    return len(old & new) < OVERLAP_HOURS
