"""What the receivers need of the store: commit a batch, and know what was committed."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from retraind.model import ExportResult, WriteBatch


class Ledger(Protocol):
    """Knows by their digests what was committed within the last hour."""

    def lookup(self, digest: bytes) -> ExportResult | None: ...


class Writer(Protocol):
    """Commits batches; the future holds one result or error a digest."""

    def submit(self, batch: WriteBatch) -> Future[list[ExportResult | Exception]]: ...
