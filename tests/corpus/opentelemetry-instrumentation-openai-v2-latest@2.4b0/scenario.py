"""OpenAI's SDK, traced by OpenTelemetry's own instrumentation in its newest form.

Content goes to the span and to a log event; "span_only" and "event_only" are the other choices.

Set OTEL_EXPORTER_OTLP_ENDPOINT to retraind (http://localhost:4318) before these lines run.
"""

import os

from openai import OpenAI
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import set_tracer_provider

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
# Prompts and answers are left out unless this is set.
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_and_event"

traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
set_tracer_provider(traces)
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
set_logger_provider(logs)
OpenAIInstrumentor().instrument()

# --- the snippet ends here; below are the recorded scenarios ---
# scenarios: chat stream tool embeddings error

import sys  # noqa: E402

from openai import APIStatusError  # noqa: E402

client = OpenAI()
MESSAGES = [
    {"role": "system", "content": "You are a geography teacher."},
    {"role": "user", "content": "What is the capital of France?"},
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def chat() -> None:
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=MESSAGES,
        temperature=0.2,
        top_p=0.9,
        max_tokens=64,
        seed=7,
        user="user-1",
    )


def stream() -> None:
    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    )
    for _ in answer:
        pass


def tool() -> None:
    messages = [{"role": "user", "content": "How warm is it in Paris?"}]
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])
    call = first.choices[0].message.tool_calls[0]
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
    ]
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])


def embeddings() -> None:
    client.embeddings.create(
        model="text-embedding-3-small", input="What is the capital of France?", dimensions=8
    )


def error() -> None:
    try:
        client.chat.completions.create(model="broken-model", messages=MESSAGES)
    except APIStatusError as failure:
        print("as expected:", failure.status_code)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    traces.shutdown()
    logs.shutdown()
