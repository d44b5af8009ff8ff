"""OTLP bytes (protobuf or JSON) to Arrow arrays."""

from __future__ import annotations

from retraind.decode.columnar import (
    DecodedItems,
    DecodedLogs,
    DecodedTraces,
    decode_logs,
    decode_traces,
)

__all__ = ["DecodedItems", "DecodedLogs", "DecodedTraces", "decode_logs", "decode_traces"]
