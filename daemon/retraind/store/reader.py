"""Named queries over stored rows, on just the segments whose range overlaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from retraind.store.engine import fetch, store_errors
from retraind.store.queries import named_queries
from retraind.store.segments import Segments
from retraind.store.views import STORED, union, with_details

_TIME = {
    "spans": "start_time", "evaluations": "coalesce(time, received_at)", "logs": "time",
    "span_details": "time", "quarantine": "received_at",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """Rows with an event time in [first_ns, last_ns), both or neither given, and a seq above."""

    first_ns: int | None = None
    last_ns: int | None = None
    after_seq: int | None = None


class Reader:
    """Reads stored rows as they were committed: a span that was sent twice comes twice."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    def fetch(
        self, name: str, *, first_ns: int | None = None, last_ns: int | None = None,
        after_seq: int | None = None, ranges: Mapping[str, Range] | None = None, **parameters: Any,
    ) -> pa.Table:  # fmt: skip
        """Run a named query of store/queries.

        {spans}, {evaluations}, {logs}, {span_details} and {quarantine} stand for their rows with an
        event time in [first_ns, last_ns), both or neither given, and a seq above `after_seq`, or in
        the relation's own one of `ranges`. Raises StoreError.
        """
        return self.fetch_sql(
            named_queries()[name], first_ns=first_ns, last_ns=last_ns, after_seq=after_seq,
            ranges=ranges, **parameters,
        )  # fmt: skip

    def fetch_sql(
        self, statement: str, *, first_ns: int | None = None, last_ns: int | None = None,
        after_seq: int | None = None, ranges: Mapping[str, Range] | None = None, **parameters: Any,
    ) -> pa.Table:  # fmt: skip
        """As `fetch`, with the statement itself: for columns that the configuration names.

        {told_spans} stands for spans with what log records say of them: records in the range of
        span_details, up to the seq of the parameter `through`.
        """
        common = Range(first_ns, last_ns, after_seq)
        with self._segments.reading(), store_errors():
            statement = self._with_told_spans(statement, ranges or {}, common, parameters)
            for relation in STORED:
                placeholder = "{" + relation + "}"
                if placeholder in statement:
                    chosen = (ranges or {}).get(relation, common)
                    rows = f"({self._rows(relation, chosen)})"
                    statement = statement.replace(placeholder, rows)
            return fetch(self._segments.engine.cursor(), statement, parameters)

    def _rows(self, relation: str, chosen: Range) -> str:
        found = self._segments.for_range(chosen.first_ns, chosen.last_ns, chosen.after_seq)
        return union(relation, [segment.catalog for segment in found], _where(relation, chosen))

    def _with_told_spans(
        self, statement: str, ranges: Mapping[str, Range], common: Range, parameters: Any
    ) -> str:
        if "{told_spans}" not in statement:
            return statement
        own = ranges.get("span_details", common)
        found = self._segments.for_range(own.first_ns, own.last_ns, own.after_seq)
        where = _where("span_details", own, through=int(parameters["through"]))
        detailed = self._segments.detailed(found)
        told = with_details("{spans}", union("span_details", detailed, where))
        return statement.replace("{told_spans}", told if detailed else "{spans}")


def _where(relation: str, chosen: Range, through: int | None = None) -> str:
    conditions = []
    if chosen.first_ns is not None and chosen.last_ns is not None:
        time = _TIME[relation]
        conditions.append(f"{time} >= make_timestamp_ns({int(chosen.first_ns)}::BIGINT)")
        conditions.append(f"{time} < make_timestamp_ns({int(chosen.last_ns)}::BIGINT)")
    if chosen.after_seq is not None:
        conditions.append(f"seq > {int(chosen.after_seq)}")
    if through is not None:
        conditions.append(f"seq <= {through}")
    return " WHERE " + " AND ".join(conditions) if conditions else ""
