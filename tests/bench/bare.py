"""The yardstick: the same final columns inserted into a fresh DuckDB file in a bare loop.

`python -m tests.bench.bare --commits 24` prints JSON. It runs in a process of its own, so that
neither its memory nor its threads touch what it is compared with.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from retraind.decode import decode_traces
from retraind.normalise import normalise_traces
from retraind.store.commit import inserts
from retraind.store.queries import schema_script

from .payload import requests

SPANS_PER_REQUEST = 512
REQUESTS = 20
SPANS = REQUESTS * SPANS_PER_REQUEST
"""Spans a commit, 10,240, each with the row of its evaluation."""


@dataclass(frozen=True, slots=True)
class Bare:
    """Spans a second: with their evaluations, by threads of the engine, and without them."""

    spans_per_second: float
    one_thread: float
    two_threads: float
    spans_alone_per_second: float
    commits: int
    bytes_per_span: float


def final_tables() -> tuple[pa.Table, pa.Table]:
    """Every column of `spans` and `evaluations` for 10,240 decoded spans, as written."""
    decoded = normalise_traces(
        decode_traces(requests(REQUESTS, SPANS_PER_REQUEST)), attribute_limit=1024
    )
    return _stored(decoded.spans), _stored(decoded.evaluations)


def _stored(rows: pa.Table) -> pa.Table:
    received = pa.array(np.full(rows.num_rows, time.time_ns())).cast(pa.timestamp("ns"))
    rows = rows.append_column("seq", pa.array(np.arange(rows.num_rows)))
    return rows.append_column("received_at", received)


def insert_rate(tables: dict[str, pa.Table], commits: int, threads: int) -> float:
    """Spans a second of BEGIN, the INSERTs of each table, COMMIT into one fresh file."""
    folder = Path(tempfile.mkdtemp(prefix="retraind-bench-"))
    try:
        with duckdb.connect(str(folder / "bare.duckdb")) as connection:
            connection.execute("SET checkpoint_threshold = '1TB'")
            connection.execute("PRAGMA disable_checkpoint_on_shutdown")
            connection.execute(f"SET threads = {threads}")
            connection.execute(schema_script("segment", "bare"))
            started = time.perf_counter()
            for _ in range(commits):
                for name, rows in tables.items():
                    connection.register(f"{name}_rows", rows)
                connection.execute("BEGIN")
                for name in tables:
                    for insert in inserts("bare", name, f"{name}_rows"):
                        connection.execute(insert).fetchall()
                connection.execute("COMMIT")
                for name in tables:
                    connection.unregister(f"{name}_rows")
            return SPANS * commits / (time.perf_counter() - started)
    finally:
        shutil.rmtree(folder)


def run(commits: int) -> Bare:
    spans, evaluations = final_tables()
    both = {"spans": spans, "evaluations": evaluations}
    one, two = (insert_rate(both, commits, threads) for threads in (1, 2))
    return Bare(
        spans_per_second=max(one, two),
        one_thread=one,
        two_threads=two,
        spans_alone_per_second=insert_rate({"spans": spans}, commits, 1 if one > two else 2),
        commits=commits,
        bytes_per_span=spans.nbytes / SPANS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=24)
    print(json.dumps(asdict(run(parser.parse_args().commits))))


if __name__ == "__main__":
    main()
