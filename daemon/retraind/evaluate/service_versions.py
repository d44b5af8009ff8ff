"""Deploys: a service.version that its service did not have before, and the holds that follow."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import structlog

from retraind.config.settings import Monitor
from retraind.evaluate.holds import place
from retraind.evaluate.memory import Memory, Source
from retraind.evaluate.tables import rows_table, timestamp
from retraind.policy.holds import Hold, hold_id, is_deploy
from retraind.store.state import Transaction

log = structlog.get_logger(__name__)

KEPT = 50
"""Versions of one source that are remembered; an older one that comes back is a deploy again."""


def record(
    tx: Transaction, memory: Memory, versions: pa.Table, monitors: Sequence[Monitor]
) -> list[Hold]:
    """Take up the versions in newly stored rows (StoredRows.new_versions); returns new holds."""
    changed: set[Source] = set()
    holds: list[Hold] = []
    for row in versions.to_pylist():
        source = Source(row["service_name"], row["environment"])
        if source not in memory.sources:
            continue
        version, first_ns = row["version"], row["first_ns"]
        known = memory.deploys.setdefault(source, {})
        if known.get(version, first_ns + 1) <= first_ns:
            continue
        if version not in known and is_deploy(first_ns, known.values()):
            holds += _holds(source, version, first_ns, monitors)
        known[version] = first_ns
        changed.add(source)
    for source in sorted(changed):
        _write(tx, memory, source)
    memory.due |= changed  # so that it is shown now, and not when the next pane closes
    return place(tx, memory, holds)


def newest(versions: dict[str, int], count: int) -> list[tuple[str, int]]:
    """(version, first seen) of the newest versions of a source."""
    return sorted(versions.items(), key=lambda item: (-item[1], item[0]))[:count]


def _write(tx: Transaction, memory: Memory, source: Source) -> None:
    memory.deploys[source] = kept = dict(newest(memory.deploys[source], KEPT))
    tx.run("delete_deploys", **source._asdict())
    rows = [
        {**source._asdict(), "version": version, "first_seen": timestamp(first_ns)}
        for version, first_ns in kept.items()
    ]
    tx.append("deploys", rows_table(rows))


def _holds(source: Source, version: str, first_ns: int, monitors: Sequence[Monitor]) -> list[Hold]:
    seen = timestamp(first_ns).isoformat(timespec="seconds")
    cause = f"{source.service_name or 'a service'} {version} was first seen at {seen}Z"
    return [
        Hold(
            hold_id("deploy", monitor.name, *source, version), "deploy", monitor.name,
            *source, None, cause, first_ns, first_ns + int(monitor.policy.hold_for * 1e9),
        )
        for monitor in monitors
        if monitor.policy.hold_for
        and monitor.match.service_name in (None, source.service_name)
        and monitor.match.environment in (None, source.environment)
    ]  # fmt: skip
