"""All parts of the benchmark. A new row of the detector is a module with `run`, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from . import (
    cost,
    fail_rate,
    labelled,
    null,
    pages,
    power,
    real,
    replay,
    run_length,
    season,
    side_by_side,
    third_party,
)
from .section import Digest, Section, Size

Part = Callable[[int, Size], list[Section]]
"""(seed, size) -> tables and gates."""


def _one(run: Callable[[int, Size], Section]) -> Part:
    return lambda seed, size: [run(seed, size)]


PURE: dict[str, Part] = {
    "null": _one(null.run),
    "unit": _one(null.run_spans),
    "pages": _one(pages.run),
    "season": _one(season.run),
    "power": _one(power.run),
    "fail_rate": _one(fail_rate.run),
    "run_length": _one(run_length.run),
    "side_by_side": side_by_side.run,
}
"""They need nothing but the daemon, and the same seed gives the same digests."""

QUICK: dict[str, Part] = {**PURE, "cost": _one(cost.run), "replay": _one(replay.run)}

FULL: dict[str, Part] = {
    **QUICK,
    "fail_rate": lambda seed, size: [fail_rate.run(seed, size, third_party.alarms)],
    "side_by_side": lambda seed, size: side_by_side.run(seed, size, third_party.flags),
    "real": lambda seed, size: [real.run(seed, size, third_party.flags)],
    "labelled": _one(labelled.run),
}
"""With the third-party tools, which are installed on first use."""


def digest_of(seed: int, size: Size) -> str:
    """One hash of all results of the pure parts."""
    digest = Digest()
    for part in PURE.values():
        digest.add([section.digest for section in part(seed, size)])
    return digest.text()
