"""All rows of the benchmark, one after the other: `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from . import decode, ingest
from .machine import describe
from .row import Row


def normalisation(*, quick: bool) -> Row:
    """Row 2, on one core."""
    found = decode.run(rounds=1 if quick else decode.ROUNDS)
    row = Row("2. Decode and normalise against the official parser and a Python walk, one core")
    row.figures = {
        "bytes per span on the wire": found["bytes_per_span"],
        "spans per CPU second": found["columnar_spans_per_cpu_second"],
        "official parser and walk, spans per CPU second": found["walk_spans_per_cpu_second"],
        "ratio": found["ratio"],
    }
    row.goals = {"ratio >= 3": found["ratio"] >= 3}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", default="1,2", help="which rows, by number: 1,2")
    parser.add_argument("--quick", action="store_true", help="a smoke run; its figures say nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    rows: dict[str, Callable[[], Row]] = {
        "1": lambda: ingest.run(ingest.QUICK if options.quick else ingest.Extent()),
        "2": lambda: normalisation(quick=options.quick),
    }
    hardware = {"date": dt.datetime.now(dt.UTC).date().isoformat(), **describe()}
    print("\n".join(f"{name:12} {value}" for name, value in hardware.items()), flush=True)
    results = []
    for number in options.rows.split(","):
        row = rows[number]()
        print(f"\n{row.text()}", flush=True)
        results.append(asdict(row))
    if options.json:
        options.json.write_text(json.dumps({"machine": hardware, "rows": results}, indent=2))


if __name__ == "__main__":
    main()
