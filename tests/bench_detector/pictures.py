"""Pictures of docs/drift.md: `python -m tests.bench_detector.pictures FILE...`, files of --json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .svg import Axis, chart

FOLDER = Path("docs/pictures")
AT_REST = "flagged_at_rest"
LEFT_OUT = ("and in a band", "Evidently PSI", "PSI > .25", "KS, chi2 .05")
"""Lines that would lie on others."""
N_TICKS = (50, 100, 500, 1000, 5000)
SHIFTS = (
    "mean +0.5 sd", "mean +0.2 sd", "spread x1.25", "5 % of mass at +3 sd",
    "10 points from one category to another", "new category in 5 %",
)  # fmt: skip


def false_alarms(sections: list[dict[str, Any]]) -> str:
    """Unchanged windows flagged, by n, with a reference of ten windows."""
    tables = [section["data"][AT_REST] for section in sections if AT_REST in section["data"]]
    found = tables[1]  # the references of 10,000 sessions come first, then those of ten windows
    names = [name for name in found if name not in LEFT_OUT]
    lines = {name: [(float(n), 100 * share) for n, share in found[name].items()] for name in names}
    return chart(
        "Windows flagged although nothing changed, reference of ten windows",
        Axis("sessions (rows) in the window", N_TICKS, log=True),
        Axis("% of windows", (0, 20, 40, 60, 80, 100)), lines,
    )  # fmt: skip


def shifts_found(sections: list[dict[str, Any]]) -> str:
    """Windows that find a shift, by n, with a reference of ten windows."""
    data = next(section["data"] for section in sections if SHIFTS[0] in section["data"])
    lines = {
        name.replace(" from one category to another", " between categories"): [
            (float(n), 100 * cell["here"]) for n, cell in data[name]["10n"].items()
        ]
        for name in SHIFTS
    }
    return chart(
        "Windows in which a shift is found (p < .001), reference of ten windows",
        Axis("sessions in the window", (100, 200, 500, 1000), log=True),
        Axis("% of windows", (0, 20, 40, 60, 80, 100)), lines,
    )  # fmt: skip


def delays(sections: list[dict[str, Any]]) -> str:
    """Median calls until 5 to 10 % is seen, against false alarms."""
    data = next(
        section["data"] for section in sections if "z-test p < .05, each window" in section["data"]
    )
    lines = {
        name: [(max(0.01, found["false_per_1000"]), found["10 %"]["median"])]
        for name, found in data.items()
        if found.get("10 %", {}).get("median")
    }
    return chart(
        "A fail rate from 5 to 10 %: how soon it is seen, and at what price",
        Axis("false alarms per 1000 windows of 100 calls (0 is drawn at 0.01)",
             (0.01, 0.1, 1, 10, 100), log=True),
        Axis("median calls until seen", (0, 1000, 2000, 3000, 4000, 5000)), lines, joined=False,
    )  # fmt: skip


def main() -> None:
    sections = [
        section
        for name in sys.argv[1:]
        for section in json.loads(Path(name).read_text())["sections"]
    ]
    FOLDER.mkdir(exist_ok=True)
    for name, picture in (
        ("false-alarms.svg", false_alarms), ("shifts-found.svg", shifts_found),
        ("fail-rate.svg", delays),
    ):  # fmt: skip
        (FOLDER / name).write_text(picture(sections))


if __name__ == "__main__":
    main()
