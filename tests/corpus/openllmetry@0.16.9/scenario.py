"""OpenLLMetry before 0.17: every key begins with llm. (llm.prompts.0.role).

Prompts and completions are captured unless TRACELOOP_TRACE_CONTENT=false is set.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318).
"""

import os

# Keeps the SDK from reporting its own use.
os.environ["TRACELOOP_TELEMETRY"] = "false"

from traceloop.sdk import Traceloop

Traceloop.init(
    app_name="corpus",
    api_endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"],
)

# --- snippet ends here ---
# scenarios: chat stream tool embeddings context registry

import json  # noqa: E402
import sys  # noqa: E402

from openai import OpenAI  # noqa: E402
from opentelemetry import trace  # noqa: E402
from traceloop.sdk.decorators import agent, task, tool, workflow  # noqa: E402
from traceloop.sdk.prompts.client import PromptRegistryClient  # noqa: E402

client = OpenAI()
QUESTION = "What is the capital of France?"
GET_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def ask(question: str = QUESTION, **parameters: object) -> str:
    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "You are a geography teacher."},
            {"role": "user", "content": question},
        ],
        **parameters,
    )
    return answer.choices[0].message.content


def chat() -> None:
    ask(temperature=0.2, top_p=0.9, max_tokens=64, seed=7, user="user-1")


def stream() -> None:
    for _ in client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
    ):
        pass


@tool(name="get_weather")
def get_weather(city: str) -> str:
    return f"21 degrees in {city}"


@agent(name="weather_agent")
def answer_with_tool(question: str) -> str:
    messages: list[object] = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER]
    )
    message = answer.choices[0].message
    call = message.tool_calls[0]
    messages += [
        message.model_dump(exclude_none=True),
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": get_weather(**json.loads(call.function.arguments)),
        },
    ]
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER]
    )
    return answer.choices[0].message.content


# The function is named like the scenario; the decorator of that name is used above only.
def tool() -> None:
    answer_with_tool("How warm is it in Paris?")


def embeddings() -> None:
    client.embeddings.create(
        model="text-embedding-3-small", input="capital of France", encoding_format="float"
    )


# A failed call never ends its span in this version: there is no scenario of an error.


@task(name="draft")
def draft(question: str) -> str:
    return ask(question)


@workflow(name="geography_lesson")
def lesson(question: str) -> str:
    return draft(question)


def context() -> None:
    Traceloop.set_association_properties(
        {
            "user_id": "user-1",
            "session_id": "session-1",
            "customer_id": "acme",
            "tags": "geography",
            "plan": "pro",
        }
    )
    lesson(QUESTION)


def registry() -> None:
    """A prompt of Traceloop's registry, put there by hand as the service would send it."""
    now = "2026-01-01T00:00:00Z"
    message = {"index": 0, "role": "user", "template": "What is the capital of {{country}}?"}
    settings = {
        "mode": "chat",
        "model": "gpt-4o-mini",
        "temperature": 0.5,
        "top_p": 1.0,
        "stop": [],
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }
    version = {
        "id": "version-1",
        "hash": "5f3b8a",
        "version": 4,
        "name": "formal",
        "created_at": now,
        "provider": "openai",
        "templating_engine": "jinja2",
        "messages": [message],
        "llm_config": settings,
    }
    target = {"id": "target-1", "updated_at": now, "prompt_id": "prompt-1", "version": "version-1"}
    registered = {
        "id": "prompt-1",
        "key": "capital",
        "versions": [version],
        "target": target,
        "created_at": now,
        "updated_at": now,
    }
    registry = PromptRegistryClient()
    registry._registry.load({"prompts": [registered]})
    rendered = registry.render_prompt(key="capital", variables={"country": "France"})
    client.chat.completions.create(**rendered)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    trace.get_tracer_provider().shutdown()
