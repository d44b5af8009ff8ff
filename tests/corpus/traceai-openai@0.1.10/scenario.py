# ruff: noqa: E402
# scenarios: chat stream tool embeddings error context otel_genai openinference openllmetry
"""The OpenAI SDK, traced by traceAI (Future AGI).

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first call. Without span_exporter, register() sends to the vendor's own address.
Content is sent unless FI_HIDE_INPUTS and its like are set.
"""

from fi_instrumentation import register
from fi_instrumentation.fi_types import ProjectType
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from traceai_openai import OpenAIInstrumentor

provider = register(
    project_name="support-bot",
    project_type=ProjectType.OBSERVE,
    span_exporter=OTLPSpanExporter(),
)
OpenAIInstrumentor().instrument(tracer_provider=provider)

# --- snippet ends here ---

import sys
from typing import Any

from fi_instrumentation import SemanticConvention, using_attributes
from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider

SYSTEM = {"role": "system", "content": "You are a geography teacher."}
QUESTION = {"role": "user", "content": "What is the capital of France?"}
TOOL = {
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


def ask(*messages: Any, model: str = "gpt-4o-mini", **options: Any) -> Any:
    return OpenAI(max_retries=0).chat.completions.create(model=model, messages=messages, **options)


def chat() -> None:
    ask(SYSTEM, QUESTION, temperature=0.2, top_p=0.9, max_tokens=64)


def stream() -> None:
    for _ in ask(SYSTEM, QUESTION, stream=True, stream_options={"include_usage": True}):
        pass


def tool() -> None:
    question = {"role": "user", "content": "How warm is it in Paris?"}
    call = ask(question, tools=[TOOL]).choices[0].message
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "21 degrees"}
    ask(question, call.model_dump(exclude_none=True), result, tools=[TOOL])


def embeddings() -> None:
    OpenAI().embeddings.create(model="text-embedding-3-small", input="Paris in spring")


def error() -> None:
    try:
        ask(SYSTEM, QUESTION, model="broken-model")
    except Exception as failure:
        print("as expected:", type(failure).__name__)


def registered_anew(**options: Any) -> TracerProvider:
    """Traces by a provider of its own from here on."""
    other = register(project_name="support-bot", span_exporter=OTLPSpanExporter(), **options)
    OpenAIInstrumentor().uninstrument()
    OpenAIInstrumentor().instrument(tracer_provider=other)
    return other


def context() -> None:
    """What the application says of the call, in a run that is an experiment with a version."""
    experiment = registered_anew(
        project_type=ProjectType.EXPERIMENT, project_version_name="2026-11"
    )
    with using_attributes(
        session_id="session-1",
        user_id="user-1",
        metadata={"plan": "pro", "tenant_id": "acme"},
        tags=["beta", "eu"],
        prompt_template="What is the capital of {country}?",
        prompt_template_label="production",
        prompt_template_version="v3",
        prompt_template_variables={"country": "France"},
    ):
        ask(QUESTION)
    experiment.shutdown()


def chat_as(convention: SemanticConvention) -> None:
    """The same call by a provider that was registered for another convention."""
    other = registered_anew(project_type=ProjectType.OBSERVE, semantic_convention=convention)
    ask(SYSTEM, QUESTION)
    other.shutdown()


def otel_genai() -> None:
    chat_as(SemanticConvention.OTEL_GENAI)


def openinference() -> None:
    chat_as(SemanticConvention.OPENINFERENCE)


def openllmetry() -> None:
    chat_as(SemanticConvention.OPENLLMETRY)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
