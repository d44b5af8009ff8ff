"""Windows of open alarms: what is abnormal must not become what is compared with."""

from __future__ import annotations

from retraind.evaluate.findings import FeatureKey, Outcome
from retraind.model import HOUR_NS
from retraind.window.reference import SAME_HOURS

REACH_DAYS = 100
"""No reference made of panes reaches further back: eight weeks, and a window before them."""


class Alarmed:
    """Time ranges by series and feature, in order, those that touch joined to one."""

    def __init__(self) -> None:
        self._ranges: dict[str, dict[FeatureKey, list[tuple[int, int]]]] = {}

    def add(self, series_id: str, key: FeatureKey, start_ns: int, end_ns: int) -> None:
        """Windows are given in order of their start; ranges that are out of reach are forgotten."""
        own = self._ranges.setdefault(series_id, {})
        before = [each for each in own.get(key, ()) if each[1] > end_ns - REACH_DAYS * 24 * HOUR_NS]
        if before and before[-1][1] >= start_ns:
            first_ns, last_ns = before.pop()
            start_ns, end_ns = first_ns, max(last_ns, end_ns)
        own[key] = [*before, (start_ns, end_ns)]

    def note(self, outcome: Outcome) -> None:
        """Take note of a window of an open alarm, or that spoke for one.

        Not of one that a pinned reference of other hours finds strange: that may be the season.
        """
        speaks = outcome.in_family and outcome.verdict in ("investigate", "retrain")
        if speaks or outcome.alarm_state in ("firing", "resolving"):
            window = outcome.window
            if (
                outcome.reference_kind == "pinned"
                and window.rungs.get(outcome.key) not in SAME_HOURS
            ):
                return
            self.add(window.series_id, outcome.key, window.start_ns, window.end_ns)

    def touches(
        self, series_id: str, key: FeatureKey, start_ns: int, end_ns: int, after_ns: int
    ) -> bool:
        """Whether a window of an alarm after `after_ns` lies in the range."""
        ranges = self._ranges.get(series_id, {}).get(key, ())
        return any(max(first, start_ns, after_ns) < min(last, end_ns) for first, last in ranges)
