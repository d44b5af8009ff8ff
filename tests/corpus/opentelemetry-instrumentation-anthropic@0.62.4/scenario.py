"""OpenLLMetry's instrumentation of the Anthropic SDK, without its SDK.

Prompts and completions are captured unless TRACELOOP_TRACE_CONTENT=false is set. Set
OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318).
"""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
AnthropicInstrumentor().instrument()

# --- snippet ends here ---
# scenarios: chat stream tool thinking error events

import contextlib  # noqa: E402
import sys  # noqa: E402

from anthropic import Anthropic, NotFoundError  # noqa: E402
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # noqa: E402
from opentelemetry.sdk._logs import LoggerProvider  # noqa: E402
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: E402

client = Anthropic()
QUESTION = "What is the capital of France?"
GET_WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def chat() -> None:
    client.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=64,
        temperature=0.2,
        system="You are a geography teacher.",
        messages=[{"role": "user", "content": QUESTION}],
    )


def stream() -> None:
    with client.messages.stream(
        model="claude-sonnet-4-5",
        max_tokens=64,
        messages=[{"role": "user", "content": QUESTION}],
    ) as events:
        for _ in events:
            pass


def tool() -> None:
    messages: list[object] = [{"role": "user", "content": "How warm is it in Paris?"}]
    answer = client.messages.create(
        model="claude-sonnet-4-5", max_tokens=64, messages=messages, tools=[GET_WEATHER]
    )
    call = answer.content[0]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees in Paris"}
    messages += [
        {"role": "assistant", "content": [call.model_dump(exclude_none=True)]},
        {"role": "user", "content": [result]},
    ]
    client.messages.create(
        model="claude-sonnet-4-5", max_tokens=64, messages=messages, tools=[GET_WEATHER]
    )


def thinking() -> None:
    client.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=2048,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": QUESTION}],
    )


def error() -> None:
    with contextlib.suppress(NotFoundError):
        client.messages.create(
            model="broken-model",
            max_tokens=64,
            messages=[{"role": "user", "content": QUESTION}],
        )


def events() -> None:
    """Messages are sent as log records, not as attributes, where use_attributes is False."""
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    instrumentor = AnthropicInstrumentor()
    instrumentor.uninstrument()
    instrumentor.__init__(use_attributes=False)
    instrumentor.instrument(logger_provider=logs)
    chat()
    logs.shutdown()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
