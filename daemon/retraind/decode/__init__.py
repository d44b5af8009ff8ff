"""OTLP bytes (protobuf or JSON) to Arrow arrays."""

from __future__ import annotations

from retraind.decode.columnar import (
    DecodedItems,
    DecodedLogs,
    DecodedTraces,
    decode_logs,
    decode_traces,
)
from retraind.decode.otlp_json import logs_from_json, traces_from_json

__all__ = [
    "DecodedItems",
    "DecodedLogs",
    "DecodedTraces",
    "decode_logs",
    "decode_traces",
    "logs_from_json",
    "traces_from_json",
]
