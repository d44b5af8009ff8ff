"""Reads of stored rows for the evaluation: by seq, or by event time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from retraind.store.queries import named_queries
from retraind.store.reader import Reader
from retraind.store.sources import expression, identifier

PANE_COLUMNS = (
    "seq", "trace_id", "span_id", "parent_span_id", "start_time", "service_name", "environment",
    "operation", "request_model", "response_model", "session_id", "run_id", "variant", "part",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column that monitors read; see store/sources.py. `of_context`: of earlier spans, too."""

    kind: str
    key: str
    of_context: bool


class StoredRows:
    """All methods raise StoreUnavailable or StoreFatal; `newest_seq` is the writer's."""

    def __init__(self, reader: Reader, newest_seq: Callable[[], int]) -> None:
        self._reader = reader
        self.newest_seq = newest_seq

    def new_rows(self, after: int, through: int) -> pa.Table:
        """service_name, environment, event_ns, received_ns of spans in (after, through], by seq."""
        return self._reader.fetch("new_rows", after_seq=after, through=through)

    def shared_traces(
        self, after: int, through: int, first_ns: int, last_ns: int
    ) -> list[tuple[str, str, int]]:
        """(service_name, environment, hour): who shares traces with rows in (after, through].

        The hour is that of such a row; only spans of [first_ns, last_ns) are looked at.
        """
        rows = self._reader.fetch(
            "shared_traces", first_ns=first_ns, last_ns=last_ns, after=after, through=through
        )
        columns = (rows[name].to_pylist() for name in ("service_name", "environment", "hour_ns"))
        return list(zip(*columns, strict=True))

    def rows_per_hour(
        self, service_name: str, environment: str, first_ns: int, last_ns: int
    ) -> list[tuple[int, int]]:
        """(hour, spans) of one source, hours without spans left out."""
        rows = self._reader.fetch(
            "rows_per_hour", first_ns=first_ns, last_ns=last_ns,
            service_name=service_name, environment=environment,
        )  # fmt: skip
        return list(zip(rows["hour_ns"].to_pylist(), rows["n"].to_pylist(), strict=True))

    def pane_spans(
        self,
        service_name: str,
        environment: str,
        first_ns: int,
        pane_ns: int,
        last_ns: int,
        through: int,
        columns: Mapping[str, Column],
    ) -> pa.Table:
        """Spans of [first_ns, last_ns) up to a seq, in traces that the source takes part in.

        Only traces that go on or are judged from `pane_ns` on: the spans before it are context, and
        have only the columns marked so. `columns`: alias to column, besides PANE_COLUMNS.
        """
        wanted = {alias: column for alias, column in columns.items() if alias not in PANE_COLUMNS}
        context = {alias: column for alias, column in wanted.items() if column.of_context}
        statement = named_queries()["pane_spans"]
        statement = statement.replace("{extra}", _selected(wanted))
        return self._reader.fetch_sql(
            statement.replace("{context}", _selected(context)),
            first_ns=first_ns, last_ns=last_ns,
            service_name=service_name, environment=environment, through=through,
            pane_start=pane_ns,
        )  # fmt: skip

    def pane_evaluations(self, first_ns: int, last_ns: int, through: int) -> pa.Table:
        """Evaluations of [first_ns, last_ns) by their own time, up to a seq."""
        return self._reader.fetch(
            "pane_evaluations", first_ns=first_ns, last_ns=last_ns, through=through
        )


def _selected(columns: Mapping[str, Column]) -> str:
    return "".join(
        f", {expression(column.kind, column.key)} AS {identifier(alias)}"
        for alias, column in columns.items()
    )
