"""Traffic with days and weeks in it: which part of the reference a window is held against.

Ten thousand windows or so, each held against its own hour of the week: as the last of five weeks is
tested against the four before it, no two windows share a reference and the gate is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retraind.drift.compare import compare, freeze_bins
from retraind.model import HOUR_NS, Counts
from retraind.policy.alarms import AlarmMemory, step
from retraind.window.counts import FeatureKey, add_all
from retraind.window.decision import close_windows
from retraind.window.reference import Reference, freeze, pool, window_hours

from .gates import at_most
from .generate import Values, counts_of
from .ours import SETTINGS, WINDOW, finding, flagged
from .section import Digest, Section, Size, generator, per_thousand, progress

PROMISE = 0.002
WEEK = 168
SERIES = {"full": 100, "quick": 12, "test": 2}
TESTED = 4 * WEEK
MONDAY_NS = 96 * HOUR_NS  # 5 January 1970
KEY: FeatureKey = ("x", "", "number")

REFERENCES: dict[str, tuple[int, float | None]] = {
    "same hours of the week, 4 weeks": (4, 0.0),
    "pinned 1 week, as by default": (1, 1.0),
    "pinned 4 weeks, ratio 10": (4, 10.0),
    "pinned 1 week, ratio 10": (1, 10.0),
    "all hours of 4 weeks together": (4, None),
}
"""Weeks kept, and the ratio below which other days are taken, too; None: all hours always."""
Tally = NDArray[np.int64]
"""Windows, p < .001, in the 0.10 band, pages; shifted windows, and those found."""
Window = tuple[frozenset[int], Counts, Counts]
"""Its hours of the week, its counts, and those it had if every value were 0.5 sd larger."""
GATED = ("same hours of the week, 4 weeks", "pinned 1 week, as by default")


def run(seed: int, size: Size) -> Section:
    section = Section("Traffic with days and weeks: false alarms per 1000 unchanged windows")
    section.header = ["reference", "windows", "p < .001", "0.10 band", "pages", "0.5 sd found %"]
    digest = Digest()
    counts = {name: np.zeros(6, np.int64) for name in REFERENCES}
    for series in progress(range(SERIES[size]), "seasonal series"):
        for name, found in _series(seed, series, digest).items():
            counts[name] += found
    for name, (windows, hits, banded, pages, shifted, seen) in counts.items():
        section.rows.append([
            name, str(windows), per_thousand(hits, windows), per_thousand(banded, windows),
            str(pages), f"{100 * seen / shifted:.0f}",
        ])  # fmt: skip
    for name in GATED:
        windows, hits = counts[name][:2]
        section.gates.append(at_most(f"season: {name}", int(hits), int(windows), PROMISE))
    section.notes += [
        "about 400 sessions an hour, day and night x0.3 to x1.7, weekends half; the mean swings",
        "0.35 sd with the hour and 0.3 sd with the weekend. Windows close as by default.",
    ]
    section.digest = digest.text()
    return section


def _series(seed: int, series: int, digest: Digest) -> dict[str, Tally]:
    """One series, its fifth week held against each kind of reference."""
    rng = generator(seed, "season", series)
    volume, mean = _season(5)
    hours = [rng.normal(mean[i], 1, max(20, n)) for i, n in enumerate(rng.poisson(volume))]
    panes = [counts_of("number", values) for values in hours]
    sizes = [(MONDAY_NS + i * HOUR_NS, panes[TESTED + i].n) for i in range(WEEK)]
    closed = close_windows(MONDAY_NS, sizes, MONDAY_NS + WEEK * HOUR_NS, WINDOW)
    windows = []
    for window in closed:
        first, last = ((ns - MONDAY_NS) // HOUR_NS for ns in (window.start_ns, window.end_ns))
        own = slice(TESTED + first, TESTED + last)
        moved = counts_of("number", np.concatenate(hours[own]) + 0.5)
        windows.append((window_hours(window.start_ns, window.end_ns), add_all(panes[own]), moved))
    return {
        name: _held(_reference(panes, weeks), ratio, windows, digest)
        for name, (weeks, ratio) in REFERENCES.items()
    }


def _season(weeks: int) -> tuple[Values, Values]:
    """Sessions an hour, and their mean, for each hour from a Monday on."""
    hour = np.arange(weeks * WEEK)
    weekend = hour // 24 % 7 >= 5
    volume = 400 * (1 + 0.7 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)) * np.where(weekend, 0.5, 1)
    mean = 0.35 * np.sin(2 * np.pi * (hour % 24 - 14) / 24) + np.where(weekend, 0.3, 0)
    return volume, mean


def _reference(panes: list[Counts], weeks: int) -> Reference:
    """The `weeks` before the tested one, by hour of the week."""
    kept = range(TESTED - weeks * WEEK, TESTED, WEEK)
    by_hour = {hour: add_all([panes[week + hour] for week in kept]) for hour in range(WEEK)}
    return freeze("pinned", {KEY: by_hour})


def _held(
    reference: Reference, ratio: float | None, windows: list[Window], digest: Digest
) -> Tally:
    whole = reference.whole(KEY)
    assert whole is not None
    bins, alarm, tally = freeze_bins(whole), AlarmMemory(), np.zeros(6, np.int64)
    for number, (hours, window, moved) in enumerate(windows):
        pooled = None if ratio is None else pool(reference, KEY, hours, window.n, ratio)
        against = whole if pooled is None else pooled[0]
        result, shifted = compare(against, window, bins), compare(against, moved, bins)
        digest.add((result, shifted))
        told = finding(result, number, in_family=flagged([result])[0])
        after = step(alarm, told, SETTINGS)
        banded = told.verdict in ("investigate", "retrain")
        began = after.is_firing and not alarm.is_firing
        tally += (1, told.in_family, banded, began, 1, flagged([shifted])[0])
        alarm = after
    return tally
