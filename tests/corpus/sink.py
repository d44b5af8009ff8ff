"""Keeps what exporters send: OTLP/HTTP (protobuf and JSON) and OTLP/gRPC, traces and logs.

Metrics are accepted and thrown away. A path may have a prefix: some libraries append theirs.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .server import Server

REQUESTS = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}
GRPC_SERVICES = {"trace.v1.TraceService": "traces", "logs.v1.LogsService": "logs"}
IDENTIFIERS = {"traceId", "spanId", "parentSpanId"}


class Sink:
    """`bodies[signal]` are the protobuf request bodies in the order of arrival."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {"traces": [], "logs": []}
        self._lock = threading.Lock()
        self._http = Server(Starlette(routes=[Route("/{path:path}", self._post, methods=["POST"])]))
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        self._grpc.add_generic_rpc_handlers([_Handlers(self)])
        self.http_endpoint = self._http.url
        self.grpc_endpoint = f"http://127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Sink:
        self._http.__enter__()
        self._grpc.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._http.__exit__(None, None, None)
        self._grpc.stop(0).wait()

    def clear(self) -> None:
        with self._lock:
            for bodies in self.bodies.values():
                bodies.clear()

    def keep(self, signal: str, body: bytes) -> None:
        """Takes one request body of `traces`, `logs` or `metrics`; DecodeError when it is none."""
        if signal in REQUESTS:
            REQUESTS[signal].FromString(body)
            with self._lock:
                self.bodies[signal].append(body)

    async def _post(self, request: Request) -> Response:
        signal = request.url.path.rstrip("/").rsplit("/", 1)[-1]
        if signal not in {*REQUESTS, "metrics"}:
            print(f"sink: nothing is served at {request.url.path}")
            return Response(status_code=404)
        body = _inflate(await request.body(), request.headers.get("content-encoding", ""))
        media_type = request.headers.get("content-type", "").partition(";")[0]
        if media_type == "application/json":
            if signal in REQUESTS:
                body = from_json(signal, body)
            self.keep(signal, body)
            return Response(b"{}", media_type=media_type)
        self.keep(signal, body)
        return Response(b"", media_type="application/x-protobuf")


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        service = details.method.removeprefix("/opentelemetry.proto.collector.").partition("/")[0]
        signal = GRPC_SERVICES.get(service, "metrics")

        def export(body: bytes, _: grpc.ServicerContext) -> bytes:
            self._sink.keep(signal, body)
            return b""

        return grpc.unary_unary_rpc_method_handler(export)


def from_json(signal: str, body: bytes) -> bytes:
    """OTLP/JSON as protobuf. OTLP writes ids in hex where protobuf's JSON mapping has base64."""
    message = REQUESTS[signal]()
    json_format.ParseDict(_with_base64_ids(json.loads(body)), message, ignore_unknown_fields=True)
    return message.SerializeToString()


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode()
        if key in IDENTIFIERS and isinstance(item, str)
        else _with_base64_ids(item)
        for key, item in value.items()
    }


def _inflate(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body
