"""Keeps the state file bounded: a year of panes and results, and sources heard of within a year."""

from __future__ import annotations

import structlog

from retraind.evaluate.memory import Memory, Source
from retraind.model import HOUR_NS
from retraind.store.state import State

log = structlog.get_logger(__name__)

KEPT_NS = 366 * 24 * HOUR_NS


def tidy(state: State, memory: Memory, now_ns: int) -> bool:
    """Delete what is too old, a transaction a source. True when `memory` has to be read again.

    Panes and results go when they are a year older (event time) than the source's last closed pane;
    of fail rates the sums stay, as counters must not fall. A source that has sent nothing for a
    year of wall time goes with all it has but its episodes and triggers. Raises StoreError.
    """
    forgotten = False
    for source, known in sorted(memory.sources.items()):
        if now_ns - known.clock.last_arrival_ns > KEPT_NS:
            _forget(state, source)
            forgotten = True
            continue
        before = (known.closed_ns - KEPT_NS) // HOUR_NS * HOUR_NS
        if any(s.source == source and s.first_ns < before for s in memory.series.values()):
            names = {"service_name": source.service_name, "environment": source.environment}
            with state.transaction() as tx:
                tx.run("sum_old_rates", before=before, **names)
                tx.run("delete_old_panes", before=before, **names)
                tx.run("delete_old_windows", before=before, **names)
    return forgotten


def _forget(state: State, source: Source) -> None:
    names = {"service_name": source.service_name, "environment": source.environment}
    with state.transaction() as tx:
        for name in (
            "forget_panes", "forget_windows", "forget_alarms", "forget_reference_counts",
            "forget_references", "forget_reference_log", "forget_versions", "forget_series",
            "forget_policies", "forget_holds", "delete_deploys", "delete_watermark",
        ):  # fmt: skip
            tx.run(name, **names)
    log.info("source forgotten", service=source.service_name, environment=source.environment)
