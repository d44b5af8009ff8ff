"""Reads of stored rows for the evaluation: by seq, or by event time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from retraind.model import HOUR_NS
from retraind.store.queries import named_queries
from retraind.store.reader import Range, Reader
from retraind.store.sources import expression, identifier

_END_OF_TIME = 2**62
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

    def new_versions(self, after: int, through: int) -> pa.Table:
        """service_name, environment, version, first_ns of spans in (after, through], oldest first.

        Event times that lie in the future count as little as they do for clocks.
        """
        return self._reader.fetch("new_versions", after_seq=after, through=through)

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
            ranges={
                "span_details": Range(first_ns - HOUR_NS, last_ns + HOUR_NS),
                "evaluations": Range(pane_ns, last_ns),
            },
            service_name=service_name, environment=environment, through=through,
            pane_start=pane_ns,
        )  # fmt: skip

    def window_spans(
        self,
        service_name: str,
        environment: str,
        first_ns: int,
        last_ns: int,
        through: int,
        columns: Mapping[str, Column],
        *,
        one_in: int = 1,
    ) -> pa.Table:
        """Spans of [first_ns, last_ns) up to a seq, in traces that the source takes part in.

        With PANE_COLUMNS and `columns`. Of one in so many sessions, chosen by the hash of their id.
        """
        wanted = {alias: column for alias, column in columns.items() if alias not in PANE_COLUMNS}
        return self._reader.fetch_sql(
            named_queries()["window_spans"].replace("{extra}", _selected(wanted)),
            first_ns=first_ns, last_ns=last_ns,
            ranges={"span_details": Range(first_ns - HOUR_NS, last_ns + HOUR_NS)},
            service_name=service_name, environment=environment, through=through,
            below=f"{2**32 // one_in:09x}",
        )  # fmt: skip

    def judged_spans(
        self,
        service_name: str,
        environment: str,
        last_ns: int,
        through: int,
        traces: Sequence[str],
        columns: Mapping[str, Column],
    ) -> pa.Table:
        """All spans before `last_ns` of those of these traces that the source takes part in.

        As context: with PANE_COLUMNS and the columns marked so.
        """
        context = {
            alias: column
            for alias, column in columns.items()
            if column.of_context and alias not in PANE_COLUMNS
        }
        statement = named_queries()["judged_spans"].replace("{context}", _selected(context))
        return self._reader.fetch_sql(
            statement, first_ns=0, last_ns=last_ns, through=through, traces=list(traces),
            service_name=service_name, environment=environment,
            ranges={"span_details": Range(0, last_ns + HOUR_NS)},
        )  # fmt: skip

    def spans_of_traces(
        self, first_ns: int, last_ns: int, through: int, traces: Sequence[str]
    ) -> pa.Table:
        """(trace_id, span_id) of the spans in [first_ns, last_ns) of these traces."""
        return self._reader.fetch(
            "spans_of_traces", first_ns=first_ns, last_ns=last_ns, through=through,
            traces=list(traces),
        )  # fmt: skip

    def pane_evaluations(self, first_ns: int, last_ns: int, through: int) -> pa.Table:
        """Evaluations up to a seq: automated ones of [first_ns, last_ns) by their own time, and all
        that people have said since."""
        parts = [
            self._reader.fetch(
                "pane_evaluations", first_ns=first_ns, last_ns=last_ns, through=through
            ),
            self._reader.fetch(
                "pane_feedback", first_ns=first_ns, last_ns=_END_OF_TIME, through=through
            ),
        ]
        return pa.concat_tables(parts)

    def spans_of_responses(self, responses: Sequence[str], through: int) -> pa.Table:
        """(response_id, trace_id, span_id) of the spans that gave these responses."""
        return self._reader.fetch("spans_of_responses", responses=list(responses), through=through)

    def first_spans(self, traces: Sequence[str], through: int) -> pa.Table:
        """(trace_id, span_id): the span of each trace that began first."""
        return self._reader.fetch("first_spans", traces=list(traces), through=through)

    def traces_of_sessions(
        self, sessions: Sequence[str], times: Sequence[int], through: int
    ) -> pa.Table:
        """(session_id, at, trace_id): the newest trace of each session at its time in ns."""
        return self._reader.fetch(
            "traces_of_sessions", sessions=list(sessions), times=list(times), through=through
        )

    def late_hours(
        self, after: int, through: int, first_ns: int, closed_ns: int, *, spans: bool
    ) -> list[tuple[str, str, int]]:
        """(service_name, environment, hour): panes that rows in (after, through] change afterwards.

        Because they tell of spans or judge calls, or because results waited for them, for which
        `spans` says whether there are any of closed hours. Only hours in [first_ns, closed_ns).
        """
        fresh, recent = Range(after_seq=after), Range(first_ns, closed_ns)
        (counts,) = self._reader.fetch(
            "fresh_judgements", after_seq=after, through=through, closed=closed_ns
        ).to_pylist()
        found: list[tuple[str, str, int]] = []

        def look(name: str, **options: Any) -> None:
            rows = self._reader.fetch(name, through=through, **options)
            columns = (rows[n].to_pylist() for n in ("service_name", "environment", "hour_ns"))
            found.extend(zip(*columns, strict=True))

        if counts["details"]:
            look("hours_of_details", ranges={"spans": recent, "span_details": fresh})
        if counts["feedback"]:
            look("hours_of_feedback", ranges={"spans": recent, "evaluations": fresh})
        if counts["late"]:
            look(
                "hours_of_late_evaluations", ranges={"evaluations": fresh}, closed=closed_ns
            )  # a judged span may be as old as the store
        if spans:
            look("hours_that_waited", ranges={"spans": fresh, "evaluations": recent})
        return [each for each in found if first_ns <= each[2] < closed_ns]


def _selected(columns: Mapping[str, Column]) -> str:
    return "".join(
        f", {expression(column.kind, column.key)} AS {identifier(alias)}"
        for alias, column in columns.items()
    )
