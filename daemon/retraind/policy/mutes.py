"""What a person has silenced for a while: alarms that open no episode and ask for nothing."""

from __future__ import annotations

from dataclasses import dataclass

from retraind.model import SeriesKey


@dataclass(frozen=True, slots=True)
class Mute:
    """Covers windows of one monitor that end in [starts_ns, ends_ns), event time (ADR 8).

    None matches every service, environment, model, cohort or feature (an eval is one, too).
    """

    id: str
    monitor: str
    service_name: str | None
    environment: str | None
    model: str | None
    cohort: str | None
    feature: str | None
    starts_ns: int
    ends_ns: int
    reason: str

    def concerns(self, series: SeriesKey, feature: str) -> bool:
        """Whether it is about this alarm, whenever."""
        wanted = (self.service_name, self.environment, self.model, self.cohort, self.feature)
        values = (series.service_name, series.environment, series.model, series.cohort, feature)
        return self.monitor == series.monitor and all(
            name is None or name == value for name, value in zip(wanted, values, strict=True)
        )

    def is_active(self, at_ns: int) -> bool:
        """Whether it covers a window that ends at `at_ns`."""
        return self.starts_ns <= at_ns < self.ends_ns

    def covers(self, series: SeriesKey, feature: str, at_ns: int) -> bool:
        """Whether this alarm is muted in a window that ends at `at_ns`."""
        return self.is_active(at_ns) and self.concerns(series, feature)


@dataclass(frozen=True, slots=True)
class MuteRequest:
    """What is to be muted for `seconds` of wall time, why, and who says so. None matches all."""

    monitor: str
    service_name: str | None
    environment: str | None
    model: str | None
    cohort: str | None
    feature: str | None
    seconds: float
    reason: str
    by: str
