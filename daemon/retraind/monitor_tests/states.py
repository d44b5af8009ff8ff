"""What a feature of a series is like at a moment of a test."""

from __future__ import annotations

from typing import NamedTuple

from retraind.evaluate.memory import Memory
from retraind.monitor_tests.document import StateAt
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


def state_of(state: State, memory: Memory, series_id: str, expected: StateAt) -> Found:
    """The state of an eval (its fail rate), or of a feature or an eval's scores."""
    name = expected.eval if expected.eval is not None else expected.feature
    of_rate = expected.eval is not None
    alarm = next(
        (
            alarm.memory.state
            for key, alarm in sorted(memory.alarms.get(series_id, {}).items())
            if key.feature == name and (key.kind == "rate") == of_rate
        ),
        "",
    )
    for row in state.read("last_windows").to_pylist():
        if (row["series_id"], row["feature"]) != (series_id, name):
            continue
        if (row["kind"] == "rate") != of_rate:
            continue
        evidence = f"n {row['n']}"
        if row["rate"] is not None:
            evidence = f"fail rate {row['rate']:.3g}, {evidence}"
        if row["psi_corrected"] is not None:
            evidence = f"PSI {row['psi_corrected']:.3g}, p {row['p_value']:.2g}, {evidence}"
        return Found(alarm, row["verdict"], evidence)
    return Found("", "", "")
