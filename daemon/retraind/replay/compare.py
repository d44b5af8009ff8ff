"""What a replay decided beside what the daemon decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from retraind.model import SeriesKey
from retraind.replay import history
from retraind.replay.history import Fired
from retraind.replay.run import Run
from retraind.store.state import State

Side = Literal["both", "only recorded", "only replayed"]


class Row(NamedTuple):
    """A trigger of one side or of both; `fired` is the replay's where it has one."""

    side: Side
    fired: Fired


class OtherWindow(NamedTuple):
    """A window of both sides that holds other rows now, and whose verdict is another, too."""

    series: SeriesKey
    feature: str
    version: str
    start_ns: int
    end_ns: int
    recorded: str
    replayed: str
    sessions_recorded: int
    sessions_replayed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`alike`, `later` and `otherwise` count the results of windows that both sides tested:

    all of them; those that were decided before rows arrived that belong to them; and those of them
    that these rows decide otherwise, which `windows` lists. `verdicts` counts results with another
    verdict although they hold the same rows: that is what the settings do.
    """

    rows: Sequence[Row]
    alike: int
    later: int
    verdicts: int
    windows: Sequence[OtherWindow]

    @property
    def differs(self) -> bool:
        """Whether one side fired where the other did not."""
        return any(row.side != "both" for row in self.rows)


def compare(recorded: State, replayed: State, run: Run, first_ns: int, last_ns: int) -> Comparison:
    """Compare the triggers and windows that ended in [first_ns, last_ns), as far as it was run.

    A window that ends where the replay ends is part of it.
    """
    last_ns = min(last_ns, run.end_ns + 1)
    first_ns = max(first_ns, run.begin_ns)
    until_ns = history.END_OF_TIME_NS if run.until_ns is None else run.until_ns
    before = history.fired(recorded, first_ns, last_ns, until_ns)
    after = history.fired(replayed, first_ns, last_ns)
    rows = list(_rows(before, after))
    windows = _Windows(recorded, replayed, first_ns, last_ns, run.through_seq)
    return Comparison(rows, windows.alike, windows.later, windows.verdicts, windows.others)


def _rows(before: Iterable[Fired], after: Iterable[Fired]) -> Iterable[Row]:
    recorded = {each.id: each for each in before}
    replayed = {each.id: each for each in after}
    for fired in sorted({**recorded, **replayed}.values()):
        if fired.id not in recorded:
            yield Row("only replayed", fired)
        else:
            yield Row("both" if fired.id in replayed else "only recorded", fired)


class _Windows:
    """Counts and lists the windows of both sides that are not alike."""

    def __init__(
        self, recorded: State, replayed: State, first_ns: int, last_ns: int, through: int
    ) -> None:
        self.alike = self.later = self.verdicts = 0
        self.others: list[OtherWindow] = []
        before = recorded.read("recorded_windows", first=first_ns, last=last_ns).to_pylist()
        after = {
            tuple(row[name] for name in _KEY): row
            for row in replayed.read("recorded_windows", first=first_ns, last=last_ns).to_pylist()
        }
        keys = {
            row["id"]: SeriesKey(*(row[name] for name in SeriesKey.__slots__))
            for row in recorded.read("read_series").to_pylist()
        }
        for row in before:
            other = after.get(tuple(row[name] for name in _KEY))
            if other is None or row["through_seq"] > through:
                continue
            self.alike += 1
            changed = row["verdict"] != other["verdict"]
            if any(row[name] != other[name] for name in _ROWS):
                self.later += 1
                if changed:
                    self.others.append(_other(keys[row["series_id"]], row, other))
            else:
                self.verdicts += changed


_KEY = ("series_id", "feature", "version", "kind", "reference_kind", "start_ns", "end_ns")
_ROWS = ("sessions", "n", "failures")


def _other(key: SeriesKey, before: Mapping[str, Any], after: Mapping[str, Any]) -> OtherWindow:
    return OtherWindow(
        key, before["feature"], before["version"], before["start_ns"], before["end_ns"],
        before["verdict"], after["verdict"], before["sessions"], after["sessions"],
    )  # fmt: skip
