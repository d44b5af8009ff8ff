"""New versions of a model: noticed when their first session comes, compared for a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from retraind.evaluate.findings import FeatureKey, SeriesWindow
from retraind.evaluate.memory import Memory
from retraind.evaluate.tables import rows_table, timestamp
from retraind.model import HOUR_NS, Counts
from retraind.store.state import Transaction
from retraind.window.counts import is_high_cardinality
from retraind.window.panes import VERSIONS
from retraind.window.plan import split_version

COMPARED_NS = 24 * HOUR_NS
KEY = FeatureKey(VERSIONS, "", "category")


class Deploy(NamedTuple):
    """A new version, when it and the one before it came first."""

    version: str
    first_ns: int
    previous_ns: int


def note_versions(
    tx: Transaction, memory: Memory, windows: Sequence[SeriesWindow], limit: int
) -> None:
    """Remember versions that the windows are the first to have; a series has at most `limit`."""
    unknown = [window for window in windows if _unknown(memory, window, limit)]
    if not unknown:
        return
    found = tx.read(
        "first_versions",
        series=[window.series_id for window in unknown],
        first=min(window.start_ns for window in unknown),
        last=unknown[0].end_ns,
    )
    rows = []
    for row in found.to_pylist():
        known = memory.versions.setdefault(row["series_id"], {})
        if row["version"] not in known and len(known) < limit:
            known[row["version"]] = row["first_ns"]
            rows.append(row)
    if rows:
        tx.append(
            "versions",
            rows_table(
                [
                    {
                        "series_id": row["series_id"],
                        "version": row["version"],
                        "first_time": timestamp(row["first_ns"]),
                    }
                    for row in rows
                ]
            ),
        )


def _unknown(memory: Memory, window: SeriesWindow, limit: int) -> bool:
    counts = window.counts.get(KEY)
    if counts is None or is_high_cardinality(counts, limit):
        return False
    known = memory.versions.get(window.series_id, {})
    return len(known) < limit and any(version not in known for version in counts.values)


def deploy_of(versions: Mapping[str, int], start_ns: int, end_ns: int) -> Deploy | None:
    """The newest version, if not the first, when the window has some of its first 24 hours."""
    newest = sorted((first_ns, version) for version, first_ns in versions.items())
    if len(newest) < 2 or newest[-1][0] == newest[0][0]:
        return None
    first_ns, version = newest[-1]
    if end_ns <= first_ns or start_ns >= first_ns + COMPARED_NS:
        return None
    previous_ns = max(at for at, _ in newest if at < first_ns)
    return Deploy(version, first_ns, previous_ns)


def compared(
    keys: Iterable[FeatureKey], counts: Mapping[FeatureKey, Counts], deploy: Deploy
) -> frozenset[FeatureKey]:
    """The version's own scores, and what is not split by version once most sessions have it."""
    most = _share(counts.get(KEY), deploy.version) >= 0.5
    return frozenset(
        key
        for key in keys
        if (split_version(key.version)[0] == deploy.version if key.kind == "score" else most)
    )


def _share(counts: Counts | None, version: str) -> float:
    if counts is None or counts.n == 0:
        return 0.0
    return float(counts.counts[counts.values == version].sum()) / counts.n
