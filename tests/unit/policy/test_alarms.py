"""The alarm's states, window by window; expected states are worked out by hand from design §8."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retraind.config.settings import Detector
from retraind.policy.alarms import AlarmMemory, Finding, from_json, step, to_json

SETTINGS = Detector()
# verdict, in_family, corrected PSI
HOT = ("investigate", True, 0.15)
STRONG = ("retrain", True, 0.4)
QUIET = ("ok", False, 0.01)
GREY = ("ok", False, 0.07)  # above half of the threshold 0.10: not quiet, not hot
LONELY = ("investigate", False, 0.15)  # in the band, not in the family
NO_DATA = ("no_data", False, None)
IMMATURE = ("immature", False, None)


def drift(memory: AlarmMemory, windows: list) -> list[str]:
    states = []
    for hour, (verdict, family, psi) in enumerate(windows):
        finding = Finding("drift", "intent", "", verdict, hour, hour + 1, family, psi)
        memory = from_json(to_json(step(memory, finding, SETTINGS)))
        states.append(memory.state)
    return states


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([HOT, HOT], ["pending", "firing"]),
        ([HOT, QUIET, HOT], ["pending", "pending", "firing"]),
        ([HOT, QUIET, QUIET, HOT], ["pending", "pending", "pending", "pending"]),
        ([HOT, QUIET, QUIET, QUIET], ["pending", "pending", "pending", "ok"]),
        ([HOT, NO_DATA, HOT], ["pending", "no_data", "firing"]),
        ([LONELY, LONELY, LONELY], ["ok", "ok", "ok"]),
        ([IMMATURE, NO_DATA, QUIET], ["immature", "no_data", "ok"]),
        (
            [HOT, HOT, QUIET, QUIET, QUIET],
            ["pending", "firing", "resolving", "resolving", "ok"],
        ),
        ([HOT, HOT, GREY, GREY, GREY, GREY], ["pending"] + ["firing"] * 5),
        (
            [HOT, HOT, QUIET, QUIET, GREY, QUIET],
            ["pending", "firing", "resolving", "resolving", "firing", "resolving"],
        ),
        ([HOT, HOT, NO_DATA, IMMATURE], ["pending", "firing", "firing", "firing"]),
        (
            [HOT, HOT, QUIET, NO_DATA, QUIET, QUIET, HOT],
            ["pending", "firing", "resolving", "resolving", "resolving", "ok", "pending"],
        ),
    ],
)
def test_drift_goes_through_its_states(windows: list, expected: list[str]):
    assert drift(AlarmMemory(), windows) == expected


def test_two_windows_of_three_make_the_retrain_band():
    memory = AlarmMemory()
    bands = []
    for hour, (verdict, family, psi) in enumerate([STRONG, HOT, STRONG, HOT, HOT]):
        finding = Finding("drift", "intent", "", verdict, hour, hour + 1, family, psi)
        memory = step(memory, finding, SETTINGS)
        bands.append(memory.retrain_band)
    assert bands == [False, False, True, False, False]


def rate(memory: AlarmMemory, verdict: str, hour: int, over: bool | None = None) -> AlarmMemory:
    finding = Finding("eval_fail_rate", "grounded", "v1", verdict, hour, hour + 1, over_limit=over)
    return step(memory, finding, SETTINGS)


def test_a_fail_rate_fires_at_once_and_keeps_firing_for_three_quiet_windows():
    memory = rate(AlarmMemory(), "alarm", 0)
    assert (memory.state, memory.fired_ns, memory.finding.window_end_ns) == ("firing", 1, 1)
    states = []
    for hour, verdict in enumerate(["ok", "ok", "alarm", "ok", "no_data", "ok", "ok"], 1):
        memory = rate(memory, verdict, hour)
        states.append(memory.state)
    assert states == ["resolving", "resolving", "firing"] + ["resolving"] * 3 + ["ok"]


def test_a_fixed_limit_fires_without_a_reference_and_clears_without_one():
    memory = rate(AlarmMemory(), "immature", 0, over=True)
    assert memory.state == "firing"
    memory = rate(memory, "no_data", 1)
    assert memory.state == "firing"
    for hour in (2, 3, 4):
        memory = rate(memory, "immature", hour, over=False)
    assert memory.state == "ok"
    assert memory == replace(AlarmMemory(), since_ns=5, noticed_ns=memory.noticed_ns)
