"""The receivers against the OpenTelemetry SDK's own exporters."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from receiver_harness import Receiver


def export_one(exporter: object) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))  # type: ignore[arg-type]
    with provider.get_tracer("test").start_as_current_span("chat") as span:
        span.set_attribute("gen_ai.request.model", "m" * 2000)
    provider.shutdown()


@pytest.mark.parametrize("gzip", [False, True])
def test_grpc_exporter_delivers_a_span(gzip: bool) -> None:
    """T1: none and gzip over gRPC; the intake sees the same bytes either way."""
    compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
    with Receiver() as receiver:
        export_one(GrpcExporter(f"http://{receiver.grpc_target}", compression=compression))
        (span,) = receiver.intake.spans()
        assert span.name == "chat"
        assert span.attributes[0].value.string_value == "m" * 2000
        assert receiver.intake.calls[0].transport == "grpc"
        assert (
            receiver.counter(
                "receiver_requests_total", transport="grpc", signal="traces", outcome="ok"
            )
            == 1
        )


@pytest.mark.parametrize("gzip", [False, True])
def test_http_exporter_delivers_a_span(gzip: bool) -> None:
    """T1: none and gzip over HTTP."""
    compression = HttpCompression.Gzip if gzip else HttpCompression.NoCompression
    with Receiver() as receiver:
        export_one(HttpExporter(f"{receiver.http_url}/v1/traces", compression=compression))
        (span,) = receiver.intake.spans()
        assert span.name == "chat"
        assert receiver.intake.calls[0].transport == "http"


def test_exporters_with_tokens(tmp_path: Path) -> None:
    """A right token is taken, a wrong one refused, on both transports."""
    tokens = tmp_path / "tokens"
    tokens.write_text("# ours\nbot: s3cret-token\n")
    with Receiver(tokens=tokens) as receiver:
        good = {"authorization": "Bearer s3cret-token"}
        export_one(GrpcExporter(f"http://{receiver.grpc_target}", headers=good))
        export_one(HttpExporter(f"{receiver.http_url}/v1/traces", headers=good))
        assert len(receiver.intake.spans()) == 2
        bad = HttpExporter(f"{receiver.http_url}/v1/traces", headers={"authorization": "Bearer x"})
        assert bad.export([]) is SpanExportResult.FAILURE
        assert receiver.counter("receiver_auth_failures_total", transport="http") == 1
