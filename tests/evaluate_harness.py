"""The evaluation on a real store: requests go in as bytes, ticks are run by hand."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from builders import HOUR_NS, a_request, a_span
from retraind.clock import ManualClock
from retraind.config.settings import Config
from retraind.decode import decode_traces
from retraind.errors import StoreUnavailable
from retraind.evaluate.evaluator import Evaluator, Job, T
from retraind.metrics.snapshot import Snapshot
from retraind.model import ExportResult, WriteBatch
from retraind.normalise import normalise_traces
from retraind.store.rows import StoredRows
from retraind.store.state import State, Transaction
from retraind.telemetry import Telemetry
from store_harness import commit, open_database

NOW_NS = 495_000 * HOUR_NS
START_NS = NOW_NS - 100 * HOUR_NS
FEATURE = {"name": "intent", "from": 'attributes["app.intent"]', "type": "category"}
MONITOR: dict[str, Any] = {
    "name": "m",
    "features": ["input_tokens", FEATURE],
    "evals": {"grounded": {"threshold": 0.5}},
    "window": {"min_sessions": 40, "min_sessions_at_max_length": 10},
    "reference": {"min_age": "4h", "min_sessions": 100, "ratio": 1},
}
TABLES = (
    "progress", "watermarks", "series", "panes", "references", "reference_counts", "windows",
    "alarms", "policies", "episodes", "triggers", "outbox", "reference_log", "versions", "mutes",
    "holds", "deploys",
)  # fmt: skip


def a_config(*monitors: dict[str, Any], **more: Any) -> Config:
    return Config.model_validate({"monitors": list(monitors) or [MONITOR], **more})


class FaultyState(State):
    """Another object's state file, which fails when it is told to: before or after a commit."""

    def __init__(self, state: State) -> None:
        super().__init__(state._engine, state._path)
        self.transactions = 0
        self.fail_before: set[int] = set()
        self.fail_after: set[int] = set()
        self.fail_if: Callable[[Transaction], bool] = lambda _: False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self.transactions += 1
        number = self.transactions
        with super().transaction() as tx:
            yield tx
            if number in self.fail_before or self.fail_if(tx):
                raise StoreUnavailable("injected before the commit")
        if number in self.fail_after:
            raise StoreUnavailable("injected after the commit")


class World:
    """A store and its evaluation, without threads of evaluation."""

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        self.clock = ManualClock(NOW_NS)
        self.config = config or a_config()
        self.database = open_database(folder, clock=self.clock)
        self.state = FaultyState(self.database.state)
        self.telemetry = Telemetry()
        self.snapshots: list[Snapshot] = []
        self.woken = 0
        self.fatal: list[Exception] = []
        self.restart()

    def restart(self) -> None:
        """A new evaluation that knows nothing but the files."""
        self.evaluator = Evaluator(
            rows=StoredRows(self.database.reader, lambda: self.database.writer.newest_seq),
            state=self.state,
            config=self.config,
            telemetry=self.telemetry,
            clock=self.clock,
            on_snapshot=self.snapshots.append,
            on_triggers=self._wake,
            on_fatal=self.fatal.append,
        )

    def _wake(self) -> None:
        self.woken += 1

    def send(self, *requests: ExportTraceServiceRequest) -> None:
        """Decode, normalise and commit as the intake does."""
        payloads = [request.SerializeToString() for request in requests]
        rows = normalise_traces(decode_traces(payloads), attribute_limit=128)
        assert rows.rejected.num_rows == 0
        accepted = [int((rows.span_request == i).sum()) for i in range(len(payloads))]
        result = commit(
            self.database,
            WriteBatch(
                signal="traces",
                received_at_ns=self.clock.now_ns(),
                digests=[hashlib.blake2b(body, digest_size=16).digest() for body in payloads],
                results=[ExportResult(n) for n in accepted],
                spans=rows.spans,
                span_request=rows.span_request,
                evaluations=rows.evaluations,
                evaluation_request=rows.evaluation_request,
            ),
        )
        assert all(isinstance(each, ExportResult) for each in result)

    def tick(self) -> None:
        self.evaluator.tick()

    def do(self, job: Job[T]) -> T:
        """What another thread asks of the evaluation between two ticks."""
        future = self.evaluator.submit(job)
        self.evaluator._do_jobs()
        return future.result(timeout=0)

    def tick_until_done(self) -> int:
        """Tick again after each failure, as the thread does; returns the number of failures."""
        for failures in range(100):
            try:
                self.evaluator.tick()
            except StoreUnavailable:
                continue
            return failures
        raise AssertionError("it never recovered")

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        cursor = self.database.engine.cursor("state")
        found: list[dict[str, Any]] = (
            cursor.sql(sql, params=parameters or None).to_arrow_table().to_pylist()
        )
        return found

    def dump(self, tables: Sequence[str] = TABLES, without: Sequence[str] = ()) -> dict[str, Any]:
        """Every row of the tables as text, in an order of its own."""
        return {
            table: sorted(
                repr([(k, v) for k, v in row.items() if k not in without])
                for row in self.rows(f'select * from "{table}"')
            )
            for table in tables
        }

    def value(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"retraind_{name}", labels) or 0.0

    def close(self) -> None:
        self.database.close()


def an_hour(
    hour: int,
    sessions: int = 50,
    *,
    salt: str = "",
    shifted: bool = False,
    failing: float | None = None,
    version: str = "v1",
    service: str = "rag-api",
    service_version: str | None = None,
    start_ns: int = START_NS,
) -> ExportTraceServiceRequest:
    """Calls of one hour, one session each. `failing`: share of them whose evaluation failed."""
    rng = random.Random(f"{hour} {salt} {service} {version}")
    spans = []
    for i in range(sessions):
        evaluations = []
        if failing is not None:
            score = 0.0 if i < failing * sessions else 1.0
            evaluations = [("grounded", score, "")]
        spans.append(
            a_span(
                rng,
                start_ns=start_ns + hour * HOUR_NS + rng.randrange(HOUR_NS // 2),
                attributes={
                    "app.intent": rng.choice(["refund"] * 8 + ["order"] if shifted else
                                             ["order", "order", "ask", "refund"]),
                    "gen_ai.usage.input_tokens": rng.randrange(900, 1000) if shifted
                    else rng.randrange(100, 1000),
                    "gen_ai.response.model": version,
                },
                evaluations=evaluations,
            )
        )  # fmt: skip
    spans.sort(key=lambda span: span.start_time_unix_nano)
    return a_request(spans, service=service, service_version=service_version)
