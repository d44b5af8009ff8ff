"""What a feature of a series is like at a moment of a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from retraind.evaluate.memory import Memory
from retraind.evaluate.shown import GRAVITY
from retraind.monitor_tests.document import StateAt
from retraind.policy.alarms import Verdict
from retraind.store.state import State


class Found(NamedTuple):
    """The alarm's state and the verdict on the last window; empty before the first one."""

    state: str
    band: str
    evidence: str

    def __str__(self) -> str:
        if not self.band:
            return "no closed window yet"
        return f"state {self.state or 'none'}, band {self.band} ({self.evidence})"


BANDS: tuple[Verdict, ...] = (
    "context", "no_data", "immature", "high_cardinality", "ok", "notice", "investigate", "retrain",
    "alarm",
)  # fmt: skip


def state_of(state: State, memory: Memory, series_id: str, expected: StateAt) -> Found:
    """The state of an eval (its fail rate), or of a feature or an eval's scores.

    Of several alarms or results the gravest, as in metrics and `retraind status`.
    """
    name = expected.eval if expected.eval is not None else expected.feature
    of_rate = expected.eval is not None
    states = [
        alarm.memory.state
        for key, alarm in memory.alarms.get(series_id, {}).items()
        if key.feature == name and (key.kind == "rate") == of_rate
    ]
    rows = [
        row
        for row in state.read("last_windows").to_pylist()
        if (row["series_id"], row["feature"]) == (series_id, name)
        and (row["kind"] == "rate") == of_rate
    ]
    if not rows:
        return Found("", "", "")
    gravest = max(rows, key=lambda row: BANDS.index(row["verdict"]))
    alarmed = max(states, key=GRAVITY.index, default="")
    return Found(alarmed, gravest["verdict"], _evidence(gravest))


def _evidence(row: Mapping[str, Any]) -> str:
    parts = []
    if row["psi_corrected"] is not None:
        parts.append(f"PSI {row['psi_corrected']:.3g}, p {row['p_value']:.2g}")
    if row["rate"] is not None:
        parts.append(f"fail rate {row['rate']:.3g}")
    return ", ".join([*parts, f"n {row['n']}"])
