"""Anthropic's SDK, traced by OpenInference. Content is captured unless OPENINFERENCE_HIDE_* is set.

Set OTEL_EXPORTER_OTLP_ENDPOINT to retraind (http://localhost:4318) before these lines run.
"""

from anthropic import Anthropic
from openinference.instrumentation.anthropic import AnthropicInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
AnthropicInstrumentor().instrument(tracer_provider=provider)

# --- the snippet ends here; below are the recorded scenarios ---
# scenarios: chat stream tool thinking error context

import sys  # noqa: E402

from anthropic import APIStatusError  # noqa: E402
from openinference.instrumentation import using_attributes  # noqa: E402

client = Anthropic()
SYSTEM = "You are a geography teacher."
QUESTION = {"role": "user", "content": "What is the capital of France?"}
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def chat() -> None:
    client.messages.create(
        model="claude-sonnet-4-5",
        system=SYSTEM,
        messages=[QUESTION],
        max_tokens=64,
        metadata={"user_id": "user-1"},
        stop_sequences=["END"],
    )


def stream() -> None:
    answer = client.messages.create(
        model="claude-sonnet-4-5",
        system=SYSTEM,
        messages=[QUESTION],
        max_tokens=64,
        stream=True,
    )
    for _ in answer:
        pass


def tool() -> None:
    messages = [{"role": "user", "content": "How warm is it in Paris?"}]
    first = client.messages.create(
        model="claude-sonnet-4-5", messages=messages, tools=[WEATHER], max_tokens=64
    )
    use = first.content[0]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "21 degrees"}
    messages += [
        {"role": "assistant", "content": [use.model_dump()]},
        {"role": "user", "content": [result]},
    ]
    client.messages.create(
        model="claude-sonnet-4-5", messages=messages, tools=[WEATHER], max_tokens=64
    )


def thinking() -> None:
    client.messages.create(
        model="claude-sonnet-4-5",
        messages=[QUESTION],
        max_tokens=2048,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )


def error() -> None:
    try:
        client.messages.create(model="broken-model", messages=[QUESTION], max_tokens=64)
    except APIStatusError as failure:
        print("as expected:", failure.status_code)


def context() -> None:
    with using_attributes(
        session_id="session-1",
        user_id="user-1",
        metadata={"plan": "pro"},
        tags=["beta", "eu"],
    ):
        client.messages.create(model="claude-sonnet-4-5", messages=[QUESTION], max_tokens=64)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
