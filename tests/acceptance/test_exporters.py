"""The real OpenTelemetry SDK and its exporters in a process of their own, to rows in `spans`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from harness import Daemon

APPLICATION = textwrap.dedent(
    """
    import os, sys
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("support.bot", "1.4")
    operation = {"gen_ai.operation.name": "invoke_agent"}
    with tracer.start_as_current_span("answer", attributes=operation):
        with tracer.start_as_current_span("chat gpt-4o", kind=trace.SpanKind.CLIENT) as span:
            span.set_attributes({
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.usage.input_tokens": 321,
                "gen_ai.usage.output_tokens": 45,
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.conversation.id": "talk-7",
                "user.tier": "gold",
                "app.ratio": 0.5,
                "app.cached": True,
                "gen_ai.evaluation.name": "toxicity",
                "gen_ai.evaluation.score.value": 0.02,
                "gen_ai.evaluation.score.label": "pass",
            })
            span.add_event("gen_ai.evaluation.result", {
                "gen_ai.evaluation.name": "groundedness",
                "gen_ai.evaluation.score.value": 0.25,
                "gen_ai.evaluation.score.label": "fail",
                "gen_ai.evaluation.explanation": "not in the sources",
            })
            span.set_status(trace.Status(trace.StatusCode.ERROR, "flagged"))
            print(format(span.get_span_context().trace_id, "032x"))
    assert provider.force_flush()
    provider.shutdown()
    """
)


def run_application(daemon: Daemon, protocol: str, **environment: str) -> str:
    """Run it with nothing but environment variables pointed at the daemon; its trace id."""
    port = daemon.grpc_port if protocol == "grpc" else daemon.http_port
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "support-bot",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging,service.version=2.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION],
        env=os.environ | variables | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_application_pointed_by_environment_variables(
    daemon: Daemon, protocol: str, compression: str | None
) -> None:
    transport = "grpc" if protocol == "grpc" else "http"
    counter = f'retraind_receiver_accepted_spans_total{{transport="{transport}"}}'
    before = daemon.metrics()[counter]
    extra_variables = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression} if compression else {}
    trace = run_application(daemon, protocol, **extra_variables)

    spans = daemon.sql(f"from spans where trace_id = '{trace}' order by name")
    assert [span["name"] for span in spans] == ["answer", "chat gpt-4o"]
    assert daemon.metrics()[counter] == before + 2
    agent, chat = spans
    assert (agent["operation"], agent["parent_span_id"]) == ("agent", None)
    assert chat["parent_span_id"] == agent["span_id"]
    assert chat["kind"] == "client"
    assert (chat["status"], chat["status_message"]) == ("error", "flagged")
    assert (chat["operation"], chat["provider"]) == ("chat", "openai")
    assert (chat["request_model"], chat["response_model"]) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (chat["input_tokens"], chat["output_tokens"]) == (321, 45)
    assert chat["finish_reasons"] == ["stop"]
    assert chat["session_id"] == "talk-7"
    assert (chat["service_name"], chat["service_version"]) == ("support-bot", "2.1")
    assert chat["environment"] == "staging"
    assert (chat["scope_name"], chat["scope_version"]) == ("support.bot", "1.4")
    assert chat["duration_ns"] > 0
    extra: dict[str, Any] = json.loads(chat["attributes"])
    assert extra["user.tier"] == "gold"
    assert extra["app.ratio"] == 0.5
    assert extra["app.cached"] is True

    evaluations = daemon.sql(f"from evaluations where trace_id = '{trace}' order by name")
    found = [(e["name"], e["score"], e["label"], e["passed"], e["kind"]) for e in evaluations]
    assert found == [
        ("groundedness", 0.25, "fail", False, "automated"),
        ("toxicity", 0.02, "pass", True, "automated"),
    ]
    assert evaluations[0]["explanation"] == "not in the sources"
    assert {e["span_id"] for e in evaluations} == {chat["span_id"]}
