"""CPU time of one feature of one series in one window: test, family, band and alarm."""

from __future__ import annotations

import time
from statistics import median

from retraind.drift.compare import compare, freeze_bins
from retraind.model import Counts
from retraind.policy.alarms import AlarmMemory, step
from retraind.rates.failrate import evaluate

from . import fail_rate
from .gates import certain
from .generate import SHAPES, counts_of
from .ours import SETTINGS, finding, flagged
from .section import Section, Size, generator

PROMISE_MS = 1.0
ROUNDS = {"full": 30, "quick": 10, "test": 3}
FAMILY = 100


def run(seed: int, size: Size) -> Section:
    section = Section("Cost of a series-feature-window, CPU ms on one core")
    section.header = ["feature", "n = 500", "n = 5000"]
    worst = 0.0
    for shape in SHAPES:
        cells = []
        for n in (500, 5000):
            rng = generator(seed, "cost", shape.name, n)
            reference = counts_of(shape.kind, shape.draw(rng, 10 * n))
            windows = [counts_of(shape.kind, shape.draw(rng, n)) for _ in range(FAMILY)]
            cells.append(_drift_ms(reference, windows, ROUNDS[size]))
        worst = max(worst, *cells)
        section.rows.append([shape.name, *(f"{cell:.3f}" for cell in cells)])
    cells = [_rate_ms(seed, n, ROUNDS[size]) for n in (500, 5000)]
    worst = max(worst, *cells)
    section.rows.append(["fail rate", *(f"{cell:.3f}" for cell in cells)])
    kept = worst <= PROMISE_MS
    section.gates.append(
        certain("cost", f"<= {PROMISE_MS:g} ms", f"at most {worst:.3f} ms", kept=kept)
    )
    section.notes.append(
        f"median of {ROUNDS[size]} rounds of a family of {FAMILY}; bins frozen before"
    )
    return section


def _drift_ms(reference: Counts, windows: list[Counts], rounds: int) -> float:
    bins, times = freeze_bins(reference), []
    for _ in range(rounds):
        started = time.process_time()
        results = [compare(reference, window, bins) for window in windows]
        for result, flag in zip(results, flagged(results), strict=True):
            step(AlarmMemory(), finding(result, 0, in_family=flag), SETTINGS)
        times.append(time.process_time() - started)
    return 1000 * median(times) / len(windows)


def _rate_ms(seed: int, n: int, rounds: int) -> float:
    rng = generator(seed, "cost", "rate", n)
    reference, times = fail_rate.counts(int(rng.binomial(10 * n, 0.05)), 10 * n), []
    windows = [fail_rate.counts(int(rng.binomial(n, 0.05)), n) for _ in range(FAMILY)]
    for _ in range(rounds):
        started, memory = time.process_time(), None
        for window in windows:
            _, memory = evaluate(window, reference, memory, tolerance=0.01, log_threshold=10.0)
        times.append(time.process_time() - started)
    return 1000 * median(times) / len(windows)
