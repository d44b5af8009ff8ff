"""Langfuse's SDK with its OpenAI wrapper. Content is captured.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318). Here the spans
go to retraind instead of Langfuse, and the keys may be any text. To send to both, leave
span_exporter out and add a second processor:
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
Scores never leave by OTLP: post them to retraind's feedback API.
"""

from langfuse import Langfuse
from langfuse.openai import openai
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

langfuse = Langfuse(
    public_key="pk-lf-any",
    secret_key="sk-lf-any",
    span_exporter=OTLPSpanExporter(),
    environment="staging",
    release="1.4.0",
)

# --- snippet ends here ---

# scenarios: chat stream tool responses embeddings retrieval prompt experiment error

import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

from langfuse import observe, propagate_attributes  # noqa: E402
from langfuse.api import Prompt_Text  # noqa: E402
from langfuse.model import TextPromptClient  # noqa: E402

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


@observe()
def chat() -> str:
    """A span of one's own with everything that can be said about a trace."""
    with propagate_attributes(
        user_id="user-1",
        session_id="session-1",
        tags=["geography", "beta"],
        metadata={"plan": "pro", "tenant_id": "acme"},
        version="b",
        trace_name="capitals",
    ):
        return ask(name="ask-model", metadata={"step": "1"}).choices[0].message.content


def stream() -> None:
    for _ in ask(stream=True, stream_options={"include_usage": True}):
        pass


@observe(as_type="tool")
def get_weather(city: str) -> dict[str, object]:
    return {"city": city, "degrees": 21}


@observe(name="weather-agent", as_type="agent")
def answer(question: str) -> str:
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


@observe(as_type="retriever")
def search(query: str) -> list[dict[str, object]]:  # noqa: ARG001
    return [
        {
            "id": "doc-1",
            "page_content": "Paris is the capital of France.",
            "metadata": {"score": 0.875},
        },
        {
            "id": "doc-2",
            "page_content": "Rome is the capital of Italy.",
            "metadata": {"score": 0.5},
        },
    ]


@observe(as_type="chain")
def look_up(query: str) -> str:
    search(query)
    with langfuse.start_as_current_observation(
        name="no-secrets", as_type="guardrail", input=query
    ) as guardrail:
        guardrail.update(output={"passed": True})
    return ask().choices[0].message.content


def retrieval() -> None:
    look_up("capital of France")


def prompt() -> None:
    """A call linked to a prompt, and one whose usage and cost are given by hand."""
    capital = TextPromptClient(
        Prompt_Text(
            name="capital",
            version=3,
            prompt="What is the capital of {{country}}?",
            config={},
            labels=["production"],
            tags=[],
            type="text",
        )
    )
    question = capital.compile(country="France")
    openai.OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": question}],
        langfuse_prompt=capital,
    )
    with langfuse.start_as_current_observation(
        name="own-model",
        as_type="generation",
        model="capitals-1",
        input=question,
        prompt=capital,
        model_parameters={"temperature": 0.2, "max_tokens": 64},
    ) as generation:
        generation.update(
            output="Paris is the capital of France.",
            usage_details={"input": 21, "output": 9, "total": 30},
            cost_details={"input": 0.5, "output": 0.25, "total": 0.75},
        )


def experiment() -> None:
    """The runner asks Langfuse for the project's address; it goes on when there is none."""
    client = Langfuse(
        public_key="pk-lf-offline",
        secret_key="sk-lf-any",
        span_exporter=OTLPSpanExporter(),
        base_url=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"],
    )
    client.run_experiment(
        name="capitals",
        run_name="capitals-1",
        data=[{"input": "What is the capital of France?", "expected_output": "Paris"}],
        task=lambda **_: ask(langfuse_public_key="pk-lf-offline").choices[0].message.content,
    )
    client.flush()


def error() -> None:
    with contextlib.suppress(openai.OpenAIError):
        openai.OpenAI(max_retries=0).chat.completions.create(
            model="broken-model", messages=QUESTION
        )


{
    f.__name__: f
    for f in (chat, stream, tool, responses, embeddings, retrieval, prompt, experiment, error)
}[sys.argv[1]]()
langfuse.flush()
