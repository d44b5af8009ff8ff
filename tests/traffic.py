"""Hours of one-call conversations whose numbers of sessions, tokens and failures are known."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from builders import HOUR_NS, a_request, a_span
from harness import Daemon, eventually

NOW_NS = time.time_ns() // HOUR_NS * HOUR_NS
SESSIONS = 60


def an_hour(
    start_ns: int,
    seed: int,
    *,
    service: str = "shop",
    environment: str = "prod",
    model: str = "gpt-4o",
    fail_rate: float | None = 0.05,
    tokens: float = 1.0,
    sessions: int = SESSIONS,
    attributes: dict[str, object] | None = None,
) -> ExportTraceServiceRequest:
    """`sessions` calls spread over an hour; answers of about 200 tokens times `tokens`.

    `fail_rate` None: no evaluations. What is drawn depends on the seed and the names, never on the
    time, so that a test sees the same numbers at every hour of the day.
    """
    rng = random.Random(f"{seed} {service} {environment} {model}")
    spans = []
    for session in range(sessions):
        failed = rng.random() < (fail_rate or 0)
        result = ("groundedness", 0.2 if failed else 0.9, "fail" if failed else "pass")
        call: dict[str, object] = {
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            "gen_ai.usage.output_tokens": max(1, round(rng.gauss(200, 40) * tokens)),
        }
        spans.append(
            a_span(
                rng,
                start_ns=start_ns + session * HOUR_NS // sessions,
                attributes=call | (attributes or {}),
                evaluations=[] if fail_rate is None else [result],
            )
        )
    return a_request(spans, service=service, environment=environment)


def in_order(*requests: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """One request of the spans of several, by time: one after the other they would come late."""
    merged = ExportTraceServiceRequest()
    for request in requests:
        merged.MergeFrom(request)
    (first, *others) = merged.resource_spans
    for other in others:
        first.scope_spans[0].spans.extend(other.scope_spans[0].spans)
    del merged.resource_spans[1:]
    first.scope_spans[0].spans.sort(key=lambda span: span.start_time_unix_nano)
    return merged


def wait_closed(daemon: Daemon, through_ns: int, services: Iterable[str] = ("shop",)) -> None:
    """Wait until all rows are absorbed and every service's hours before `through_ns` are closed."""
    names = ", ".join(f"'{name}'" for name in services)
    query = (
        "select (select through_seq from progress) >= (select max(seq) from stored_spans) as done, "
        "(select min(epoch_ns(closed_through)) from watermarks "
        f"where service_name in ({names})) as closed"
    )
    eventually(lambda: _closed(daemon, query, through_ns), 30)
    # The windows of a tick come after its panes: one more completed tick, and they are there.
    ticked = daemon.metrics()["retraind_last_tick_timestamp_seconds"]
    eventually(lambda: daemon.metrics()["retraind_last_tick_timestamp_seconds"] > ticked, 60)


def _closed(daemon: Daemon, query: str, through_ns: int) -> bool:
    (row,) = daemon.sql(query)
    return bool(row["done"]) and int(row["closed"] or 0) >= through_ns
