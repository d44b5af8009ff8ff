"""MLflow tracing: autolog of the OpenAI client and spans of one's own. Content is captured.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and
OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf (MLflow's default is grpc). Traces then go to retraind
instead of MLflow's tracking server; MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT=true sends them to both.
Leave MLFLOW_ENABLE_OTEL_GENAI_SEMCONV off: it writes OpenTelemetry's names instead of MLflow's and
drops what those have no name for, such as cached tokens and retrieved documents.
opentelemetry-sdk 1.43 and later lose the root span of a trace with tags in MLflow 3.17.
Session and user of update_current_trace are not sent by OTLP: set them on the span as below.
"""

import mlflow

mlflow.openai.autolog()

# --- snippet ends here ---

# scenarios: chat stream tool responses embeddings retrieval prompt error tool_otel retrieval_otel

import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

import openai  # noqa: E402
from mlflow.entities import Document, SpanType  # noqa: E402

QUESTION = [
    {"role": "system", "content": "You are a geography teacher."},
    {"role": "user", "content": "What is the capital of France?"},
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def ask(**options: object) -> object:
    return openai.OpenAI().chat.completions.create(
        model="gpt-4o-mini", messages=QUESTION, temperature=0.2, top_p=0.9, max_tokens=64, **options
    )


def chat() -> None:
    ask()


def stream() -> None:
    for _ in ask(stream=True, stream_options={"include_usage": True}):
        pass


@mlflow.trace(span_type=SpanType.TOOL)
def get_weather(city: str) -> dict[str, object]:
    return {"city": city, "degrees": 21}


@mlflow.trace(name="weather-agent", span_type=SpanType.AGENT, attributes={"plan": "pro"})
def answer(question: str) -> str:
    mlflow.get_current_active_span().set_attributes(
        {"session.id": "session-1", "user.id": "user-1"}
    )
    mlflow.update_current_trace(tags={"team": "geography", "tenant_id": "acme"})
    client = openai.OpenAI()
    messages = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])
    call = answer.choices[0].message.tool_calls[0]
    weather = get_weather(**json.loads(call.function.arguments))
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(weather)})
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])
    return answer.choices[0].message.content


def tool() -> None:
    answer("How warm is it in Paris?")


def responses() -> None:
    openai.OpenAI().responses.create(
        model="gpt-4o-mini",
        instructions="You are a geography teacher.",
        input="What is the capital of France?",
        temperature=0.2,
        top_p=0.9,
        max_output_tokens=64,
    )


def embeddings() -> None:
    openai.OpenAI().embeddings.create(
        model="text-embedding-3-small", input="capital of France", encoding_format="float"
    )


@mlflow.trace(name="search", span_type=SpanType.RETRIEVER)
def search(query: str) -> list[Document]:  # noqa: ARG001
    return [
        Document(
            id="doc-1",
            page_content="Paris is the capital of France.",
            metadata={"doc_uri": "atlas/fr", "score": 0.875},
        ),
        Document(
            id="doc-2",
            page_content="Rome is the capital of Italy.",
            metadata={"doc_uri": "atlas/it", "score": 0.5},
        ),
    ]


@mlflow.trace(name="answer", span_type=SpanType.CHAIN)
def look_up(query: str) -> str:
    search(query)
    return ask().choices[0].message.content


def retrieval() -> None:
    look_up("capital of France")


def prompt() -> None:
    """A prompt of the registry, loaded within the span that uses it."""
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.genai.register_prompt(name="capital", template="What is the capital of {{country}}?")
    with mlflow.start_span(name="answer", span_type=SpanType.CHAIN) as span:
        question = mlflow.genai.load_prompt("prompts:/capital/1").format(country="France")
        span.set_inputs({"question": question})
        openai.OpenAI().chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": question}]
        )


def error() -> None:
    with contextlib.suppress(openai.OpenAIError):
        openai.OpenAI(max_retries=0).chat.completions.create(
            model="broken-model", messages=QUESTION
        )


SCENARIOS = {
    f.__name__: f for f in (chat, stream, tool, responses, embeddings, retrieval, prompt, error)
}

scenario, _, otel = sys.argv[1].partition("_")
if otel:
    os.environ["MLFLOW_ENABLE_OTEL_GENAI_SEMCONV"] = "true"
SCENARIOS[scenario]()
mlflow.flush_trace_async_logging()
