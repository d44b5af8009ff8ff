"""Named queries over stored rows, on just the segments whose range overlaps."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from retraind.store.engine import fetch, store_errors
from retraind.store.queries import named_queries
from retraind.store.segments import Segments
from retraind.store.views import STORED, union

_TIME = {
    "spans": "start_time", "evaluations": "time", "logs": "time", "span_details": "time",
    "quarantine": "received_at",
}  # fmt: skip


class Reader:
    """Reads stored rows as they were committed: a span that was sent twice comes twice."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    def fetch(
        self, name: str, *, first_ns: int | None = None, last_ns: int | None = None,
        after_seq: int | None = None, **parameters: Any,
    ) -> pa.Table:  # fmt: skip
        """Run a named query of store/queries.

        {spans}, {evaluations}, {logs} and {quarantine} stand for their rows with an event time in
        [first_ns, last_ns), both or neither given, and a seq above `after_seq`. Raises StoreError.
        """
        return self.fetch_sql(
            named_queries()[name], first_ns=first_ns, last_ns=last_ns, after_seq=after_seq,
            **parameters,
        )  # fmt: skip

    def fetch_sql(
        self, statement: str, *, first_ns: int | None = None, last_ns: int | None = None,
        after_seq: int | None = None, **parameters: Any,
    ) -> pa.Table:  # fmt: skip
        """As `fetch`, with the statement itself: for columns that the configuration names."""
        with self._segments.reading(), store_errors():
            chosen = self._segments.for_range(first_ns, last_ns, after_seq)
            catalogs = [segment.catalog for segment in chosen]
            for relation in STORED:
                placeholder = "{" + relation + "}"
                if placeholder in statement:
                    where = _where(relation, first_ns, last_ns, after_seq)
                    rows = f"({union(relation, catalogs, where)})"
                    statement = statement.replace(placeholder, rows)
            return fetch(self._segments.engine.cursor(), statement, parameters)


def _where(relation: str, first_ns: int | None, last_ns: int | None, after_seq: int | None) -> str:
    conditions = []
    if first_ns is not None and last_ns is not None:
        time = _TIME[relation]
        conditions.append(f"{time} >= make_timestamp_ns({int(first_ns)}::BIGINT)")
        conditions.append(f"{time} < make_timestamp_ns({int(last_ns)}::BIGINT)")
    if after_seq is not None:
        conditions.append(f"seq > {int(after_seq)}")
    return " WHERE " + " AND ".join(conditions) if conditions else ""
