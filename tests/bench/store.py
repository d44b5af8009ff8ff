"""Rows a second of the writer against a bare INSERT loop, for the stored columns."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from retraind.clock import SystemClock
from retraind.config.settings import Store
from retraind.model import ExportResult, WriteBatch
from retraind.store.commit import inserts
from retraind.store.database import Database
from retraind.store.queries import schema_script
from retraind.telemetry import Telemetry

ROWS = 10_240
COMMITS = 12
REQUESTS = 20
_SHARED = {
    "name": ["chat", "tool", "retrieve"], "kind": ["client", "internal"], "status": ["ok", "error"],
    "service_name": ["shop", "support"], "environment": ["production"], "scope_name": ["openai"],
    "operation": ["chat", "tool"], "provider": ["openai"], "request_model": ["gpt-4o"],
    "response_model": ["gpt-4o-2026-01-01"], "resource": ['{"service.name":"shop"}' * 5],
    "norm_source": ['{"operation":"gen_ai.operation.name"}' * 4],
}  # fmt: skip
_OWN = {
    "trace_id": 16, "span_id": 8, "parent_span_id": 8, "session_id": 16, "response_id": 12,
    "input_messages": 140, "output_messages": 140, "attributes": 110, "events": 60,
}  # fmt: skip


def final_rows() -> pa.Table:
    """10,240 spans of about 1.8 KB in every column of the table but seq and received_at."""
    random = np.random.default_rng(1)
    with duckdb.connect() as connection:
        connection.execute(schema_script("segment", "memory"))
        schema = connection.sql("FROM spans LIMIT 0").to_arrow_table().schema
    columns = {}
    for field in schema:
        name = field.name
        if name in ("seq", "received_at"):
            continue
        if name in _OWN:
            columns[name] = pa.array([random.bytes(_OWN[name]).hex() for _ in range(ROWS)])
        elif name in _SHARED:
            values = pa.array(_SHARED[name])
            columns[name] = values.take(pa.array(random.integers(0, len(values), ROWS)))
        elif pa.types.is_timestamp(field.type):
            columns[name] = pa.array(1_790_000_000 * 10**9 + np.arange(ROWS)).cast(field.type)
        elif pa.types.is_integer(field.type):
            columns[name] = pa.array(random.integers(0, 3000, ROWS)).cast(field.type)
        else:
            columns[name] = pa.nulls(ROWS, field.type)
    return pa.table(columns)


def bare_rate(rows: pa.Table, folder: Path) -> float:
    """Rows a second of BEGIN, INSERT SELECT, COMMIT into one fresh file."""
    rows = rows.add_column(0, "seq", pa.array(np.arange(ROWS)))
    received = pa.array(np.full(ROWS, 10**18)).cast(pa.timestamp("ns"))
    rows = rows.add_column(1, "received_at", received)
    with duckdb.connect(str(folder / "bare.duckdb")) as connection:
        connection.execute("SET checkpoint_threshold = '1TB'")
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute(schema_script("segment", "bare"))
        started = time.perf_counter()
        for _ in range(COMMITS):
            connection.register("batch", rows)
            connection.execute("BEGIN")
            for insert in inserts("bare", "spans", "batch"):
                connection.execute(insert).fetchall()
            connection.execute("COMMIT")
            connection.unregister("batch")
        return ROWS * COMMITS / (time.perf_counter() - started)


def writer_rate(rows: pa.Table, folder: Path) -> float:
    """Rows a second from the first submit to the last acknowledgement."""
    config = Store(min_free_bytes=0, segment_bytes=2**32)
    database = Database.open(folder / "data", config, Telemetry(), SystemClock())
    database.start()
    request = np.arange(ROWS) * REQUESTS // ROWS
    results = [ExportResult(ROWS // REQUESTS)] * REQUESTS
    started = time.perf_counter()
    futures = [
        database.writer.submit(
            WriteBatch(
                signal="traces",
                received_at_ns=time.time_ns(),
                results=list(results),
                digests=[b"%d-%d" % (i, k) for k in range(REQUESTS)],
                spans=rows,
                span_request=request,
            )
        )
        for i in range(COMMITS)
    ]
    for future in futures:
        future.result()
    rate = ROWS * COMMITS / (time.perf_counter() - started)
    database.close()
    return rate


def run(rounds: int = 3) -> dict[str, float]:
    """The best of some alternating rounds, rows a second, and their ratio."""
    rows = final_rows()
    bare, writer = 0.0, 0.0
    for _ in range(rounds):
        folder = Path(tempfile.mkdtemp(prefix="retraind-bench-"))
        try:
            bare = max(bare, bare_rate(rows, folder))
            writer = max(writer, writer_rate(rows, folder))
        finally:
            shutil.rmtree(folder)
    return {
        "bytes_per_row": round(rows.nbytes / ROWS), "bare_rows_per_second": round(bare),
        "writer_rows_per_second": round(writer), "ratio": round(writer / bare, 3),
    }  # fmt: skip


if __name__ == "__main__":
    print(run())
