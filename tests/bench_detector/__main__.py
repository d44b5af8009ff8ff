"""All parts of the benchmark of the detector: `python -m tests.bench_detector --help`."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.bench.machine import describe

from .gates import ERROR_BUDGET, Gate, failed, share_of
from .install import REQUIREMENTS, version_of
from .parts import FULL, QUICK, digest_of
from .section import Section, Size

SHOWN_CELLS = 5


def main() -> None:
    options = _options()
    if options.digest:
        print(digest_of(options.seed, options.digest))
        return
    size: Size = "quick" if options.quick else "full"
    parts = QUICK if options.quick else FULL
    chosen = options.parts.split(",") if options.parts else list(parts)
    about = _about(options.seed, size)
    print("\n".join(f"{name:12} {value}" for name, value in about.items()), flush=True)
    sections: list[Section] = []
    for name in chosen:
        started, found = time.process_time(), parts[name](options.seed, size)
        print(*(f"\n{section.text()}" for section in found), sep="\n")
        print(f"  [{name}: {time.process_time() - started:.0f} s of CPU]", flush=True)
        sections += found
    gates = [gate for section in sections for gate in section.gates]
    broken = failed(gates)
    print(f"\n{_verdict(gates, broken)}")
    if options.json:
        found_all = {"about": about, "sections": [asdict(section) for section in sections]}
        options.json.write_text(json.dumps(found_all, indent=1) + "\n")
    sys.exit(1 if broken else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench_detector", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="of all generated data")
    parser.add_argument("--quick", action="store_true", help="fewer windows, no third-party tools")
    parser.add_argument("--parts", help=f"some of {','.join(FULL)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--digest", choices=("quick", "test"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _about(seed: int, size: Size) -> dict[str, str]:
    about = {"date": dt.datetime.now(dt.UTC).date().isoformat(), **describe()}
    about |= {"seed": str(seed), "form": size}
    if size == "full":
        about["beside"] = ", ".join(version_of(tool) for tool in REQUIREMENTS)
    return about


def _verdict(gates: list[Gate], broken: list[Gate]) -> str:
    """Every gate but those of single cells, and the least probable of these."""
    lines = [
        f"{len(gates)} gates. Each fails when a detector that only just kept the promise would do",
        f"so badly with a probability below {share_of(gates):.1e}, so that a detector which keeps",
        f"all promises fails in less than {100 * ERROR_BUDGET:g} % of seeds.",
    ]
    cells = sorted((gate for gate in gates if gate.is_cell), key=lambda gate: gate.p_value)
    shown = [gate for gate in gates if not gate.is_cell or gate in [*cells[:SHOWN_CELLS], *broken]]
    for gate in shown:
        mark = "FAILED" if gate in broken else "kept"
        lines.append(f"  {mark:6}  {gate.name}: {gate.promise}; found {gate.found}")
    lines.append(
        f"{len(broken)} of {len(gates)} gates failed ({len(gates) - len(shown)} not shown)"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
