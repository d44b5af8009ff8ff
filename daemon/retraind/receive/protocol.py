"""What the transports need from the intake behind them."""

from __future__ import annotations

from typing import Literal, Protocol

from retraind.model import ExportResult, Signal

Encoding = Literal["protobuf", "json"]
Transport = Literal["grpc", "http"]


class Export(Protocol):
    """Takes one decompressed request and returns once it is committed."""

    async def export(
        self,
        signal: Signal,
        body: bytes,
        *,
        encoding: Encoding,
        transport: Transport,
        deadline_seconds: float | None,
    ) -> ExportResult:
        """Raises InvalidPayload, Refused, StoreUnavailable or StoreFatal."""
        ...
