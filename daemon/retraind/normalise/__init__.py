"""Decoded OTLP to the daemon's tables, by the tables of conventions."""

from __future__ import annotations

from retraind.normalise.traces import NormalisedTraces, normalise_traces

__all__ = ["NormalisedTraces", "normalise_traces"]
