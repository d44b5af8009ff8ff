"""Fail rates: how soon a rise is seen, and how often one is seen where there is none.

A call is a session with one judged answer. The baseline is 5 %, known from 2000 calls. Every rule
gets the same streams: 20,000 calls, the rate changing after 2000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from retraind.model import HOUR_NS, Counts
from retraind.policy.alarms import AlarmMemory, Finding, step
from retraind.rates.edetector import log_threshold
from retraind.rates.failrate import evaluate
from retraind.rates.interval import MILLIONTHS

from .gates import at_least, at_most
from .ours import SETTINGS
from .section import Digest, Section, Size, generator, percent, progress

Stream = NDArray[np.bool_]

BASELINE = 0.05
REFERENCE_CALLS, CALLS, CHANGE = 2000, 20_000, 2000
RATES = {"5 %": 0.05, "7 %": 0.07, "10 %": 0.10, "20 %": 0.20}
RISES = ("7 %", "10 %", "20 %")
STREAMS = {"full": (400, 200), "quick": (60, 40), "test": (12, 12)}
"""Streams without and with a change."""
PROMISED_CALLS = 1000
PROMISED_FALSE = 0.0005
UNIT_CALLS = 100
"""False alarms are counted per 1000 windows of this many calls, whatever a rule's windows are."""
HOURS_A_YEAR = 8766.0


@dataclass(frozen=True, slots=True)
class Streams:
    """`failed[rate]`: calls of each stream, shape (streams, calls). `reference`: fails of 2000."""

    failed: dict[str, Stream]
    reference: dict[str, NDArray[np.int64]]


Rule = Callable[[Stream, int], list[int]]
"""(calls, fails in the reference) -> calls seen when each alarm was raised."""


def streams(seed: int, size: Size) -> Streams:
    failed, reference = {}, {}
    for name, rate in RATES.items():
        rng = generator(seed, "fail rate", name)
        many = STREAMS[size][0 if name == "5 %" else 1]
        rates = np.where(np.arange(CALLS) < CHANGE, BASELINE, rate)
        failed[name] = rng.random((many, CALLS)) < rates
        reference[name] = rng.binomial(REFERENCE_CALLS, BASELINE, many)
    return Streams(failed, reference)


def counts(failed: int, n: int) -> Counts:
    """Counts of n sessions with one evaluation each."""
    rows = [(value, count) for value, count in ((0, n - failed), (MILLIONTHS, failed)) if count]
    total = failed * MILLIONTHS
    return Counts(
        "rate", np.array([value for value, _ in rows]), np.array([count for _, count in rows]),
        total=total, total_squares=total, results=n, failures=failed,
    )  # fmt: skip


def ours(window: int, series: int, digest: Digest) -> Rule:
    """The daemon's rule for closed windows of so many calls, one an hour, among so many series."""
    limit = log_threshold(SETTINGS.false_pages_per_year, series, HOURS_A_YEAR)

    def alarms(stream: Stream, reference: int) -> list[int]:
        base, memory, alarm = counts(reference, REFERENCE_CALLS), None, AlarmMemory()
        found = []
        for number, failed in enumerate(stream.reshape(-1, window).sum(axis=1)):
            result, memory = evaluate(
                counts(int(failed), window), base, memory,
                tolerance=SETTINGS.fail_rate_tolerance, log_threshold=limit,
            )  # fmt: skip
            digest.add(result)
            after = _step(alarm, number, alarmed=result.alarmed)
            if after.is_firing and not alarm.is_firing:
                found.append((number + 1) * window)
            alarm = after
        return found

    return lambda stream, reference: alarms(stream[: len(stream) // window * window], reference)


def _step(alarm: AlarmMemory, number: int, *, alarmed: bool) -> AlarmMemory:
    told = Finding(
        "eval_fail_rate", "x", "", "alarm" if alarmed else "ok",
        number * HOUR_NS, (number + 1) * HOUR_NS,
    )  # fmt: skip
    return step(alarm, told, SETTINGS)


def by_window(tells: Callable[[int, int], bool]) -> Rule:
    """A rule that looks at (fails in a window of 100, fails in the reference)."""

    def alarms(stream: Stream, reference: int) -> list[int]:
        failed = stream.reshape(-1, UNIT_CALLS).sum(axis=1)
        return [(i + 1) * UNIT_CALLS for i, k in enumerate(failed) if tells(int(k), reference)]

    return alarms


def z_test(alpha: float) -> Rule:
    """Two shares compared in each window on its own, one-sided."""
    limit = float(stats.norm.isf(alpha))

    def tells(failed: int, reference: int) -> bool:
        pooled = (failed + reference) / (UNIT_CALLS + REFERENCE_CALLS)
        error = math.sqrt(pooled * (1 - pooled) * (1 / UNIT_CALLS + 1 / REFERENCE_CALLS))
        return failed / UNIT_CALLS - reference / REFERENCE_CALLS > limit * error

    return by_window(tells)


NAIVE: dict[str, Rule] = {
    "window rate > 2 x baseline": by_window(
        lambda k, reference: k / UNIT_CALLS > 2 * reference / REFERENCE_CALLS
    ),
    "z-test p < .05, each window": z_test(0.05),
    "z-test p < .001, each window": z_test(0.001),
}
OURS = {
    "retraind, windows of 100, 1 series": (100, 1),
    "retraind, windows of 280, 1 series": (280, 1),
    "retraind, windows of 280, 100 series": (280, 100),
}
GATED = ("retraind, windows of 100, 1 series", "retraind, windows of 280, 1 series")

Alarms = dict[str, list[list[int]]]
"""Alarms of each stream, by the name of its rate."""


def apply(rule: Rule, data: Streams) -> Alarms:
    return {
        name: [rule(stream, int(k)) for stream, k in zip(failed, data.reference[name], strict=True)]
        for name, failed in data.failed.items()
    }


def run(
    seed: int, size: Size, others: Callable[[Streams], dict[str, Alarms]] | None = None
) -> Section:
    """`others` gives the alarms of third-party detectors on the same streams."""
    section = Section("A fail rate that rises from 5 %: calls until it is seen")
    section.header = [
        "rule", "false per 1000 x 100 calls",
        *(f"to {rise}: found %, median calls" for rise in RISES),
    ]  # fmt: skip
    digest, data = Digest(), streams(seed, size)
    found: dict[str, Alarms] = {}
    for name in progress(list(OURS), "fail rates"):
        found[name] = apply(ours(*OURS[name], digest), data)
    found |= {name: apply(rule, data) for name, rule in NAIVE.items()}
    if others is not None:
        found |= others(data)
    for name, alarms in found.items():
        section.rows.append([name, *_cells(section, name, alarms)])
    for name in GATED:
        _promise(section, name, found[name])
    section.notes.append(
        f"{STREAMS[size][0]} streams without a change, {STREAMS[size][1]} with each rise; "
        "an alarm before the change leaves a stream out of its column"
    )
    section.digest = digest.text()
    return section


def delays(alarms: Sequence[Sequence[int]]) -> list[float]:
    """Calls from the change to the first alarm, inf if none; not of streams with an early one."""
    return [
        min((at for at in stream if at > CHANGE), default=math.inf) - CHANGE
        for stream in alarms
        if not any(at <= CHANGE for at in stream)
    ]


def _false(alarms: Alarms) -> tuple[int, int]:
    """False alarms, and windows of 100 calls, of the streams without a change."""
    return sum(len(stream) for stream in alarms["5 %"]), len(alarms["5 %"]) * CALLS // UNIT_CALLS


def _cells(section: Section, name: str, alarms: Alarms) -> list[str]:
    false, windows = _false(alarms)
    cells = [f"{1000 * false / windows:.2f}"]
    data: dict[str, Any] = {"false_per_1000": 1000 * false / windows}
    for rise in RISES:
        waited = delays(alarms[rise])
        if not waited:
            cells.append("all false")
            continue
        found = sum(math.isfinite(value) for value in waited) / len(waited)
        middle = float(np.median(waited))
        cells.append(
            f"{percent(found)}, {middle:,.0f}" if math.isfinite(middle) else f"{percent(found)}, -"
        )
        data[rise] = {"found": found, "median": middle if math.isfinite(middle) else None}
    section.data[name] = data
    return cells


def _promise(section: Section, name: str, alarms: Alarms) -> None:
    waited = delays(alarms["10 %"])
    soon = sum(value <= PROMISED_CALLS for value in waited)
    section.gates += [
        # a median of at most 1000 calls: half of the streams or more have been found by then
        at_least(
            f"fail rate: {name}, 5 to 10 % within {PROMISED_CALLS} calls", soon, len(waited), 0.5
        ),
        at_most(f"fail rate: {name}, false alarms", *_false(alarms), PROMISED_FALSE),
    ]
