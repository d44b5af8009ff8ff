"""All rows of the benchmark, one after the other: `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from . import decode, ingest, mapping, pace, phoenix, windows
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


def full_mapping(*, quick: bool) -> Row:
    """Row 5, on one core."""
    row = Row("5. Every convention against the spine's plain attributes, decode and normalise")
    row.figures = dict(mapping.run(quick=quick))
    for name, least in (("row 1's payload", 0.6), ("every library", 0.4)):
        ratio = row.figures.get(f"{name}, ratio to the spine")
        if ratio is None:
            row.figures[f"{name}, the spine"] = "not in this clone's history"
        else:
            row.goals[f"{name}, ratio >= {least}"] = float(ratio) >= least
    return row


def against_phoenix(row: Row) -> None:
    """Add to row 1 what arize-phoenix stores from the same requests."""
    stored, version = phoenix.run()
    ratio = float(row.figures["spans/s acknowledged"]) / stored
    row.figures |= {f"arize-phoenix {version}, spans/s stored": stored, "ratio to it": ratio}
    row.goals["ratio to arize-phoenix >= 400"] = ratio >= 400


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", default="1,2,3,4,5", help="which rows, by number")
    parser.add_argument("--quick", action="store_true", help="a smoke run; its figures say nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--minutes", type=float, default=3.0, help="length of row 3")
    parser.add_argument(
        "--max-rate", type=float, help="spans/s that row 3 halves; by default what row 1 found"
    )
    parser.add_argument(
        "--phoenix", action="store_true",
        help="install arize-phoenix into .cache/ and send it the requests of row 1 too",
    )  # fmt: skip
    options = parser.parse_args()
    results: dict[str, Row] = {}
    rows: dict[str, Callable[[], Row]] = {
        "1": lambda: ingest.run(ingest.QUICK if options.quick else ingest.Extent()),
        "2": lambda: normalisation(quick=options.quick),
        "3": lambda: pace.run(
            (options.max_rate or _rate(results)) / 2, 0.05 if options.quick else options.minutes
        ),
        "4": lambda: windows.run(windows.QUICK if options.quick else windows.Extent()),
        "5": lambda: full_mapping(quick=options.quick),
    }
    hardware = {"date": dt.datetime.now(dt.UTC).date().isoformat(), **describe()}
    print("\n".join(f"{name:12} {value}" for name, value in hardware.items()), flush=True)
    for number in options.rows.split(","):
        results[number] = rows[number]()
        if number == "1" and options.phoenix:
            against_phoenix(results[number])
        print(f"\n{results[number].text()}", flush=True)
    if options.json:
        found = {"machine": hardware, "rows": [asdict(row) for row in results.values()]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _rate(results: dict[str, Row]) -> float:
    """What row 1 found, after measuring it if it was left out."""
    row = results.get("1") or ingest.run(ingest.Extent(clients=(24,), rounds=1))
    return float(row.figures["spans/s acknowledged"])


if __name__ == "__main__":
    main()
