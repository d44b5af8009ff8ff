"""The detector as the daemon runs it, with its default settings."""

from __future__ import annotations

from retraind.config.settings import Detector, WindowSettings
from retraind.drift.bands import Band, verdict
from retraind.drift.compare import compare, freeze_bins
from retraind.drift.family import select
from retraind.model import HOUR_NS, Counts, DriftResult
from retraind.policy.alarms import Finding

SETTINGS = Detector()
WINDOW = WindowSettings()
SMALLEST_WINDOW = WINDOW.min_sessions_at_max_length
"""Windows with fewer sessions are not tested."""


def flagged(results: list[DriftResult]) -> list[bool]:
    """Whether each result of one family counts."""
    p_values = [result.p_value for result in results]
    return select(p_values, q=SETTINGS.bh_q, alpha=SETTINGS.alpha)


def band(result: DriftResult, *, in_family: bool, settings: Detector = SETTINGS) -> Band:
    """What a window amounts to."""
    bands = settings.bands
    return verdict(
        result, in_family=in_family, investigate=bands.investigate, retrain=bands.retrain
    )


def finding(
    result: DriftResult, number: int, *, in_family: bool, settings: Detector = SETTINGS
) -> Finding:
    """What the alarm is told about window `number` of its series."""
    return Finding(
        kind="drift",
        feature="x",
        version="",
        verdict=band(result, in_family=in_family, settings=settings),
        window_start_ns=number * HOUR_NS,
        window_end_ns=(number + 1) * HOUR_NS,
        in_family=in_family,
        psi_corrected=result.psi_corrected,
    )


def held_against(reference: Counts, window: Counts) -> DriftResult:
    """A window against a whole reference, bins frozen with it."""
    return compare(reference, window, freeze_bins(reference))
