"""Decoded OTLP to the daemon's tables, by the tables of conventions."""

from __future__ import annotations

from retraind.normalise.logs import NormalisedLogs, normalise_logs
from retraind.normalise.traces import NormalisedTraces, normalise_traces

__all__ = ["NormalisedLogs", "NormalisedTraces", "normalise_logs", "normalise_traces"]
