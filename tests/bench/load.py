"""OTLP/gRPC load from a process of its own: so many connections, at a pace or as fast as answered.

`python -m tests.bench.load --target 127.0.0.1:4317 --seconds 20 --clients 8 [--rate SPANS]` prints
JSON. At a pace the load is open: latency counts from the moment a request was due, so that a stall
is not hidden by the requests that it held back. Refused requests are sent again after the server's
retry hint, as an exporter would; their latency runs until they are acknowledged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2

from .payload import requests
from .variation import Variation

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRYABLE = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
_OPTIONS = [
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.use_local_subchannel_pool", 1),  # else channels to one target share a connection
]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send. `rate` in spans/s, None for as fast as it is answered; times in seconds."""

    target: str
    seconds: float
    clients: int = 8
    rate: float | None = None
    warmup: float = 2.0
    seed: int = 1
    requests: int | None = None  # stop after so many, if before the time is up
    event_start_ns: int | None = None  # newest event time of the first request, None for now
    event_speed: float = 1.0  # seconds of event time a second of wall time


@dataclass(slots=True)
class Tally:
    """What one client saw after the warm-up. Latencies in seconds."""

    latencies: list[float] = field(default_factory=list)
    spans: int = 0
    spans_in_all: int = 0
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Result:
    """`spans_per_second` counts acknowledged spans after the warm-up; `errors` by status code."""

    spans_per_second: float
    spans: int
    spans_in_all: int
    seconds: float
    requests: int
    latency_p50_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    errors: dict[str, int]
    bytes_per_span: float
    client_cpu_seconds: float


class _Schedule:
    """Hands out request numbers and when each is due; None when it is over."""

    def __init__(self, plan: Plan, spans_per_request: int) -> None:
        self.measure_from = time.monotonic() + plan.warmup
        self.end = self.measure_from + plan.seconds
        self._begin = time.monotonic()
        self._event_start_ns = plan.event_start_ns or time.time_ns()
        self._event_speed = plan.event_speed
        self._interval = spans_per_request / plan.rate if plan.rate else None
        self._limit = plan.requests
        self._numbers = itertools.count()  # next() of it is atomic

    def take(self) -> tuple[int, float] | None:
        number = next(self._numbers)
        due = time.monotonic()
        if self._interval is not None:
            due = self._begin + number * self._interval
        if due >= self.end or (self._limit is not None and number >= self._limit):
            return None
        return number, due

    def event_ns(self) -> int:
        """The newest event time of a request made now."""
        elapsed = time.monotonic() - self._begin
        return self._event_start_ns + int(elapsed * self._event_speed * 1e9)


def run(plan: Plan, templates: list[bytes]) -> Result:
    """Send variations of the templates and measure. Every template has the same number of spans."""
    variations = [Variation(template) for template in templates]
    cpu = _cpu_seconds()
    schedule = _Schedule(plan, variations[0].spans)
    tallies = [Tally() for _ in range(plan.clients)]
    threads = [
        threading.Thread(target=_client, args=(plan, index, variations, schedule, tally))
        for index, tally in enumerate(tallies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = min(time.monotonic(), schedule.end) - schedule.measure_from
    latencies = np.array([x for tally in tallies for x in tally.latencies] or [np.nan]) * 1e3
    spans = sum(tally.spans for tally in tallies)
    return Result(
        spans_per_second=spans / seconds,
        spans=spans,
        spans_in_all=sum(tally.spans_in_all for tally in tallies),
        seconds=seconds,
        requests=sum(len(tally.latencies) for tally in tallies),
        latency_p50_ms=float(np.percentile(latencies, 50)),
        latency_p99_ms=float(np.percentile(latencies, 99)),
        latency_max_ms=float(latencies.max()),
        errors=dict(sum((tally.errors for tally in tallies), Counter())),
        bytes_per_span=sum(map(len, templates)) / sum(v.spans for v in variations),
        client_cpu_seconds=_cpu_seconds() - cpu,
    )


def _client(
    plan: Plan, index: int, variations: list[Variation], schedule: _Schedule, tally: Tally
) -> None:
    rng = np.random.default_rng([plan.seed, index])
    with grpc.insecure_channel(plan.target, options=_OPTIONS) as channel:
        export = channel.unary_unary(EXPORT)
        while (taken := schedule.take()) is not None:
            number, due = taken
            variation = variations[number % len(variations)]
            body = variation.body(rng, schedule.event_ns())
            if plan.rate is None:
                due = time.monotonic()
            time.sleep(max(0.0, due - time.monotonic()))
            if not _send(export, body, schedule.end, tally):
                continue
            answered = time.monotonic()
            tally.spans_in_all += variation.spans
            if schedule.measure_from <= answered < schedule.end:
                tally.latencies.append(answered - due)
                tally.spans += variation.spans


def _send(export: grpc.UnaryUnaryMultiCallable, body: bytes, end: float, tally: Tally) -> bool:
    """True when acknowledged, False when refused for good or until the end."""
    while True:
        try:
            export(body, timeout=60)
        except grpc.RpcError as error:
            tally.errors[error.code().name] += 1
            delay = _retry_delay(error)
            if delay is None or time.monotonic() + delay > end:
                return False
            time.sleep(delay)
        else:
            return True


def _retry_delay(error: grpc.RpcError) -> float | None:
    """Seconds to wait before trying again, None when the error is final (OTLP/gRPC, failures)."""
    if error.code() not in RETRYABLE:
        return None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    return info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return 1.0 if error.code() is grpc.StatusCode.UNAVAILABLE else None


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="127.0.0.1:4317", help="host:port of OTLP/gRPC")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, help="spans/s; without it, as fast as answered")
    parser.add_argument("--warmup", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, help="stop after so many requests")
    parser.add_argument("--event-start-ns", type=int, help="event time to begin at; default: now")
    parser.add_argument("--event-speed", type=float, default=1.0, help="event time over wall time")
    plan = Plan(**vars(parser.parse_args()))
    print(json.dumps(asdict(run(plan, requests(16, 512)))))


if __name__ == "__main__":
    main()
