"""Batches as the intake hands them over, small and with real columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.clock import ManualClock
from retraind.config.settings import Store
from retraind.model import ExportResult, WriteBatch
from retraind.store.database import Database
from retraind.store.engine import run
from retraind.telemetry import Telemetry

NOW_NS = 1_780_000_000_000_000_000
SECOND_NS = 1_000_000_000
DEFAULTS: dict[str, Any] = {"min_free_bytes": 0, "memory_limit": 256 * 2**20}


def open_database(
    folder: Path, *, clock: ManualClock | None = None, start: bool = True, **options: Any
) -> Database:
    database = Database.open(
        folder, Store(**(DEFAULTS | options)), Telemetry(), clock or ManualClock(NOW_NS)
    )
    if start:
        database.start()
    return database


def spans(ids: Sequence[int], *, at_ns: int = NOW_NS, text: str = "") -> pa.Table:
    return pa.table(
        {
            "trace_id": [f"{i:032x}" for i in ids],
            "span_id": [f"{i:016x}" for i in ids],
            "name": ["chat"] * len(ids),
            "start_time": pa.array([at_ns] * len(ids)).cast(pa.timestamp("ns")),
            "input_tokens": pa.array(list(ids), pa.int64()),
            "attributes": ['{"k":"' + text + '"}'] * len(ids),
            "resource": ['{"service.name":"shop"}'] * len(ids),
            "norm_source": [f'{{"input_tokens":"tokens.{i % 3}"}}' if i % 4 else None for i in ids],
        }
    )


def batch(
    *requests: Sequence[int], at_ns: int = NOW_NS, text: str = "", salt: str = ""
) -> WriteBatch:
    """One request for each sequence of span ids."""
    ids = [i for request in requests for i in request]
    return WriteBatch(
        signal="traces",
        received_at_ns=NOW_NS,
        digests=[digest(request, salt) for request in requests],
        results=[ExportResult(len(request)) for request in requests],
        spans=spans(ids, at_ns=at_ns, text=text),
        span_request=np.repeat(np.arange(len(requests)), [len(r) for r in requests]),
    )


def digest(request: Sequence[int], salt: str = "") -> bytes:
    return hashlib.blake2b(f"{salt}{list(request)}".encode(), digest_size=16).digest()


def commit(database: Database, written: WriteBatch) -> list[Any]:
    future: Future[list[Any]] = database.writer.submit(written)
    return future.result(timeout=60)


def query(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.segments.reading():
        return run(database.engine.cursor(), sql)


def value(database: Database, name: str, **labels: str) -> float:
    registry = database.writer._telemetry.registry
    return registry.get_sample_value(f"retraind_{name}", labels) or 0.0
