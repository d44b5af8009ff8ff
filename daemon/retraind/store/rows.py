"""Reads of stored rows for the evaluation: by seq, or by event time."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from retraind.store.engine import quoted
from retraind.store.queries import named_queries
from retraind.store.reader import Reader

PANE_COLUMNS = (
    "seq", "trace_id", "span_id", "parent_span_id", "start_time", "service_name", "environment",
    "operation", "request_model", "response_model", "session_id", "run_id", "variant",
)  # fmt: skip


class StoredRows:
    """All methods raise StoreUnavailable or StoreFatal."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def newest_seq(self, after: int) -> int:
        """The highest committed seq of any row, `after` when there is none above it."""
        rows = self._reader.fetch("newest_seq", after_seq=after)
        return max(after, int(rows["seq"][0].as_py()))

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
        columns: Mapping[str, tuple[str, str]],
    ) -> pa.Table:
        """Spans of [first_ns, last_ns) up to a seq, in traces that the source takes part in.

        Only traces that go on or are judged from `pane_ns` on: the spans before it are context.
        `columns`: alias to (kind, key), besides PANE_COLUMNS; see `expression`.
        """
        extra = "".join(
            f', {expression(kind, key)} AS "{_escaped(alias)}"'
            for alias, (kind, key) in columns.items()
            if alias not in PANE_COLUMNS
        )
        return self._reader.fetch_sql(
            named_queries()["pane_spans"].replace("{extra}", extra),
            first_ns=first_ns, last_ns=last_ns,
            service_name=service_name, environment=environment, through=through,
            pane_start=pane_ns,
        )  # fmt: skip

    def pane_evaluations(self, first_ns: int, last_ns: int, through: int) -> pa.Table:
        """Evaluations of [first_ns, last_ns) by their own time, up to a seq."""
        return self._reader.fetch(
            "pane_evaluations", first_ns=first_ns, last_ns=last_ns, through=through
        )


def expression(kind: str, key: str) -> str:
    """SQL of a source: a column, one key of attributes or resource, a length, a first element.

    Keys come from the operator's configuration and are quoted as literals, never as SQL.
    """
    if kind == "column":
        return f'"{_escaped(key)}"'
    if kind in ("attribute", "resource"):
        column = "attributes" if kind == "attribute" else "resource"
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        return f"json_extract_string({column}, {quoted(pointer)})"
    if kind == "length":
        filled = ", ".join(f'"{_escaped(column)}"' for column in key.split(","))
        return f"length(coalesce({filled}))"
    if kind == "first":
        return f'"{_escaped(key)}"[1]'
    raise ValueError(f"unknown kind of source {kind!r}")


def _escaped(name: str) -> str:
    return name.replace('"', '""')
