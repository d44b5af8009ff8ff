"""OpenAI's SDK, traced by OpenInference. Content is captured unless OPENINFERENCE_HIDE_* is set.

Set OTEL_EXPORTER_OTLP_ENDPOINT to retraind (http://localhost:4318) before these lines run.
"""

from openai import OpenAI
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
OpenAIInstrumentor().instrument(tracer_provider=provider)

# --- the snippet ends here; below are the recorded scenarios ---
# scenarios: chat stream tool responses completion embeddings retrieval error context evaluation

import sys  # noqa: E402

from openai import APIStatusError  # noqa: E402
from openinference.instrumentation import (  # noqa: E402
    OITracer,
    TraceConfig,
    get_evaluation_attributes,
    get_reranker_attributes,
    get_retriever_attributes,
    using_attributes,
)

tracer = OITracer(provider.get_tracer("corpus"), config=TraceConfig())
client = OpenAI()
QUESTION = {"role": "user", "content": "What is the capital of France?"}
MESSAGES = [{"role": "system", "content": "You are a geography teacher."}, QUESTION]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
DOCUMENTS = [
    {"document.id": "doc-paris", "document.content": "Paris is the capital of France."},
    {"document.id": "doc-rome", "document.content": "Rome is the capital of Italy."},
]


def chat() -> None:
    client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, temperature=0.2, top_p=0.9, max_tokens=64
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
    """The model asks for a tool, the program runs it, the model answers: all inside an agent."""
    messages = [{"role": "user", "content": "How warm is it in Paris?"}]
    with tracer.start_as_current_span("weather_agent", openinference_span_kind="agent") as agent:
        agent.set_input(messages[0]["content"])
        first = client.chat.completions.create(
            model="gpt-4o-mini", messages=messages, tools=[WEATHER]
        )
        call = first.choices[0].message.tool_calls[0]
        with tracer.start_as_current_span("get_weather", openinference_span_kind="tool") as span:
            span.set_input({"city": "Paris"})
            span.set_tool(
                name="get_weather",
                description="Weather of a city.",
                parameters=WEATHER["function"]["parameters"],
            )
            span.set_attribute("tool.id", call.id)
            span.set_output("21 degrees")
        messages += [
            {"role": "assistant", "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
        ]
        last = client.chat.completions.create(
            model="gpt-4o-mini", messages=messages, tools=[WEATHER]
        )
        agent.set_output(last.choices[0].message.content)


def responses() -> None:
    client.responses.create(
        model="gpt-4o-mini",
        instructions="You are a geography teacher.",
        input="What is the capital of France?",
        temperature=0.2,
        max_output_tokens=64,
    )


def completion() -> None:
    client.completions.create(model="gpt-4o-mini", prompt="The capital of France is", max_tokens=64)


def embeddings() -> None:
    client.embeddings.create(
        model="text-embedding-3-small", input="What is the capital of France?", dimensions=8
    )


def retrieval() -> None:
    """A search and a reranker of one's own, described with the SDK's helpers."""
    query = "capital of France"
    scored = [
        DOCUMENTS[0] | {"document.score": 0.9, "document.metadata": {"page": 1}},
        DOCUMENTS[1] | {"document.score": 0.4, "document.metadata": {"page": 2}},
    ]
    with tracer.start_as_current_span("search", openinference_span_kind="retriever") as span:
        span.set_input(query)
        span.set_attributes(get_retriever_attributes(documents=as_documents(scored)))
    with tracer.start_as_current_span("rerank", openinference_span_kind="reranker") as span:
        span.set_attributes(
            get_reranker_attributes(
                query=query,
                model_name="rerank-1",
                top_k=1,
                input_documents=as_documents(DOCUMENTS),
                output_documents=as_documents(scored[:1]),
            )
        )


def as_documents(attributes: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key.removeprefix("document."): v for key, v in one.items()} for one in attributes]


def error() -> None:
    try:
        client.chat.completions.create(model="broken-model", messages=MESSAGES)
    except APIStatusError as failure:
        print("as expected:", failure.status_code)


def context() -> None:
    with using_attributes(
        session_id="session-1",
        user_id="user-1",
        metadata={"plan": "pro", "tenant_id": "acme"},
        tags=["beta", "eu"],
        prompt_template="What is the capital of {country}?",
        prompt_template_version="v3",
        prompt_template_variables={"country": "France"},
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=[QUESTION])


def evaluation() -> None:
    """A judge's verdicts on the span it judged."""
    with tracer.start_as_current_span("answer", openinference_span_kind="chain") as span:
        client.chat.completions.create(model="gpt-4o-mini", messages=[QUESTION])
        span.set_attributes(
            get_evaluation_attributes(
                evaluations=[
                    {
                        "name": "correctness",
                        "score": 1.0,
                        "label": "pass",
                        "explanation": "Paris is right.",
                        "annotator_kind": "LLM",
                        "identifier": "judge-v2",
                    },
                    {"name": "brevity", "score": 0.25, "label": "fail", "annotator_kind": "CODE"},
                ]
            )
        )


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
