"""kill -9 at random moments under load: what was acknowledged is there, exactly once."""

from __future__ import annotations

import random
import threading
import time
from itertools import zip_longest
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from builders import HOUR_NS, a_request, a_span
from harness import EXPORT, Daemon, eventually

ROUNDS = 30
SENDERS = 3
SPANS = 20
NOW_NS = time.time_ns() // HOUR_NS * HOUR_NS
ENOUGH_PANES = 10

PANES = """
select series.service_name, series.model, panes.pane_start, panes.feature, panes.version,
       panes.kind, panes.sessions, panes.missing, panes.buckets, panes.categories, panes.counts,
       panes.total, panes.total_squares, panes.results, panes.failures
from panes join series on panes.series_id = series.id
order by all
"""


class Sender(threading.Thread):
    """Sends requests one after the other; a request without an answer is sent again, same bytes."""

    def __init__(self, number: int) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.sent: list[bytes] = []
        self.acknowledged = 0  # the first so many of `sent`
        self.port = 0
        self.stopping = False

    def request(self, index: int) -> bytes:
        """Request `index`: twenty chats; event time moves on by six minutes a request."""
        rng = random.Random(f"{self.number}/{index}")
        start = NOW_NS - 200 * HOUR_NS + index * HOUR_NS // 10
        spans = [
            a_span(
                rng,
                start_ns=start + i * 1_000_000_000,
                evaluations=[
                    ("groundedness", rng.random(), "pass" if rng.random() < 0.9 else "fail")
                ],
            )
            for i in range(SPANS)
        ]
        return a_request(spans).SerializeToString()

    def run(self) -> None:
        while not self.stopping:
            if self.acknowledged == len(self.sent):
                self.sent.append(self.request(len(self.sent)))
            try:
                with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
                    export = channel.unary_unary(EXPORT)
                    while not self.stopping:
                        export(self.sent[self.acknowledged], timeout=5)
                        self.acknowledged += 1
                        self.sent.append(self.request(len(self.sent)))
            except grpc.RpcError:
                time.sleep(0.1)  # it is down: leave it the processor to come back


def span_keys(requests: list[bytes]) -> set[str]:
    keys = set()
    for body in requests:
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                keys |= {s.trace_id.hex() + s.span_id.hex() for s in scope_spans.spans}
    return keys


def marker() -> bytes:
    """A span at the present, so that the watermark passes everything before it."""
    return a_request([a_span(1, start_ns=NOW_NS)]).SerializeToString()


@pytest.mark.faults
@pytest.mark.timeout(480)
def test_kill_nine_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Thirty SIGKILLs; the panes equal those of a daemon that was never disturbed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    daemon = Daemon(tmp_path / "killed")
    senders = [Sender(number) for number in range(SENDERS)]
    for sender in senders:
        sender.port = daemon.grpc_port
        sender.start()
    for _ in range(ROUNDS):
        daemon.start()
        time.sleep(moments.uniform(0.0, 0.7))
        daemon.kill()
    daemon.start()
    progress = [sender.acknowledged for sender in senders]
    eventually(lambda: all(s.acknowledged > p for s, p in zip(senders, progress, strict=True)))
    for sender in senders:
        sender.stopping = True
    for sender in senders:
        sender.join()
    stored = daemon.sql(
        "select count(*) n, count(distinct trace_id || span_id) d from stored_spans"
    )
    keys = {row["k"] for row in all_rows(daemon, "select trace_id || span_id k from stored_spans")}
    acknowledged = span_keys([body for s in senders for body in s.sent[: s.acknowledged]])
    sent = span_keys([body for s in senders for body in s.sent])
    assert acknowledged <= keys, "an acknowledged span is missing"
    assert keys <= sent, "a span is there that was never sent"
    assert stored[0]["n"] == stored[0]["d"], "a span is stored twice"
    panes = closed_panes(daemon)
    daemon.stop()

    undisturbed = Daemon(tmp_path / "undisturbed")
    undisturbed.start()
    # In order of event time, as the senders did: sender by sender would come days late.
    by_time = [body for turn in zip_longest(*(s.sent for s in senders)) for body in turn if body]
    in_store = [body for body in by_time if span_keys([body]) <= keys]
    with undisturbed.channel() as channel:
        export = channel.unary_unary(EXPORT)
        for body in in_store:
            export(body, timeout=20)
    assert closed_panes(undisturbed) == panes
    assert len(panes) > ENOUGH_PANES
    undisturbed.stop()


def all_rows(daemon: Daemon, query: str) -> list[dict[str, object]]:
    """Every row of a query, page by page: one answer is limited."""
    rows: list[dict[str, object]] = []
    while page := daemon.sql(f"{query} order by 1 limit 10000 offset {len(rows)}"):
        rows += page
    return rows


def closed_panes(daemon: Daemon) -> list[dict[str, object]]:
    daemon.export(marker())
    last_hour = "select max(closed_through) t from watermarks"
    eventually(lambda: (daemon.sql(last_hour)[0]["t"] or "") >= "2000" and settled(daemon), 60)
    return all_rows(daemon, PANES.replace("order by all", ""))


def settled(daemon: Daemon) -> bool:
    """True once every row has been looked at and the marker has closed the hours before it."""
    row = daemon.sql(
        "select (select through_seq from progress) >= (select max(seq) from stored_spans) done,"
        " (select max(epoch_ns(closed_through)) from watermarks) c"
    )[0]
    return bool(row["done"]) and int(str(row["c"] or 0)) >= NOW_NS - HOUR_NS
