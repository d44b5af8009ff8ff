"""The load generator against a small server that counts, and refuses when told to."""

from __future__ import annotations

import threading
import time
from concurrent import futures

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.load import EXPORT, Plan, run

SPANS = 4


class Server(grpc.GenericRpcHandler):
    """Keeps every body it takes. `refusals`: what to answer first, a code and a hint or None."""

    def __init__(self, refusals=()):
        self.taken, self.refused = [], []
        self.stall = 0.0
        self._refusals = list(refusals)
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((self,))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def service(self, details):
        assert details.method == EXPORT
        return grpc.unary_unary_rpc_method_handler(self._export)

    def _export(self, body, context):
        with self._lock:
            refusal = self._refusals.pop(0) if self._refusals else None
            (self.taken if refusal is None else self.refused).append(body)
        if refusal is not None:
            code, hint = refusal
            if hint:
                context.set_trailing_metadata([("grpc-status-details-bin", retry_info(hint))])
            context.abort(code, "no")
        time.sleep(self.stall)
        return b""

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *exc):
        self._server.stop(None).wait()


def retry_info(seconds):
    duration = duration_pb2.Duration(nanos=int(seconds * 1e9))
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=duration))
    return status_pb2.Status(code=8, details=[detail]).SerializeToString()


def template():
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for i in range(SPANS):
        spans.add(
            trace_id=b"t" * 16, span_id=bytes([i]) * 8, start_time_unix_nano=1, end_time_unix_nano=2
        )
    return request.SerializeToString()


def load(server, **plan):
    defaults = {"seconds": 30.0, "clients": 3, "warmup": 0.0}
    return run(Plan(server.target, **(defaults | plan)), [template()])


def test_what_is_acknowledged_is_counted_and_no_body_comes_twice():
    with Server() as server:
        result = load(server, requests=50)

    assert result.requests == len(server.taken) == len(set(server.taken)) == 50
    assert result.spans == result.spans_in_all == 50 * SPANS
    assert result.errors == {}


def test_a_refused_request_is_sent_again_with_the_same_bytes():
    exhausted = (grpc.StatusCode.RESOURCE_EXHAUSTED, 0.01)
    with Server([exhausted, exhausted]) as server:
        result = load(server, requests=10, clients=1)

    assert result.errors == {"RESOURCE_EXHAUSTED": 2}
    assert len(server.taken) == result.requests == 10
    assert server.refused == [server.taken[0]] * 2


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT]
)
def test_a_final_refusal_is_not_repeated(code):
    """RESOURCE_EXHAUSTED is final without RetryInfo (OTLP specification, failures)."""
    with Server([(code, None)]) as server:
        result = load(server, requests=10, clients=1)

    assert result.errors == {code.name: 1}
    assert result.requests == len(server.taken) == 9


def test_at_a_pace_requests_are_not_sent_before_they_are_due():
    with Server() as server:
        began = time.monotonic()
        result = load(server, requests=11, rate=SPANS / 0.05)

    assert result.requests == 11
    assert time.monotonic() - began >= 10 * 0.05


def test_at_a_pace_a_stall_counts_for_the_requests_it_held_back():
    """A request is due every 10 ms and each takes 50 ms: the tenth waits for nine others."""
    with Server() as server:
        server.stall = 0.05
        result = load(server, requests=10, rate=SPANS / 0.01, clients=1)

    assert result.latency_max_ms >= 10 * 50 - 9 * 10
