"""OpenLIT. Messages are captured unless capture_message_content=False is given.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first call.
"""

import openlit

openlit.init(environment="production")

# --- snippet ends here ---
# scenarios: chat stream tool embeddings error context evaluation guard

import contextlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

from openai import BadRequestError, OpenAI  # noqa: E402
from openlit._config import OpenlitConfig  # noqa: E402
from opentelemetry import _logs, trace  # noqa: E402

# OpenLIT downloads its price list when it starts; the recording must not depend on it.
OpenlitConfig.pricing_info.update(
    {
        "chat": {"gpt-4o-mini": {"promptPrice": 0.00015, "completionPrice": 0.0006}},
        "embeddings": {"text-embedding-3-small": 0.00002},
    }
)
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


def ask(question: str = QUESTION, **parameters: object) -> object:
    return client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "You are a geography teacher."},
            {"role": "user", "content": question},
        ],
        **parameters,
    )


def chat() -> None:
    ask(temperature=0.2, top_p=0.9, max_tokens=64, seed=7, user="user-1")


def stream() -> None:
    for _ in ask(stream=True, stream_options={"include_usage": True}):
        pass


def tool() -> None:
    messages: list[object] = [{"role": "user", "content": "How warm is it in Paris?"}]
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER]
    )
    message = answer.choices[0].message
    call = message.tool_calls[0]
    city = json.loads(call.function.arguments)["city"]
    messages += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": f"21 degrees in {city}"},
    ]
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER])


def embeddings() -> None:
    client.embeddings.create(
        model="text-embedding-3-small", input="capital of France", encoding_format="float"
    )


def error() -> None:
    with contextlib.suppress(BadRequestError):
        client.chat.completions.create(
            model="broken-model", messages=[{"role": "user", "content": QUESTION}]
        )


def context() -> None:
    attributes = {
        "user.id": "user-1",
        "session.id": "session-1",
        "gen_ai.conversation.id": "conversation-1",
        "plan": "pro",
    }
    with openlit.using_attributes(attributes), openlit.agent_version_context("v3"):
        ask()


def evaluation() -> None:
    with openlit.start_trace("answer question") as traced:
        answer = ask()
        traced.set_result(answer.choices[0].message.content)
        openlit.log_score(
            "relevance", 0.85, comment="Names the capital", idempotency_key="relevance-1"
        )
        openlit.log_score("user_feedback", True, comment="Helpful")
        openlit.log_score("tone", "polite", metadata={"reviewer": "human"})


def guard() -> None:
    checks = [openlit.PII(action="redact"), openlit.Custom(action="warn", pattern="Paris")]
    with openlit.start_trace("guarded question"):
        openlit.Pipeline(guards=checks).evaluate(
            "Mail jane@example.com in Paris", phase="preflight"
        )
        ask()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    trace.get_tracer_provider().shutdown()
    _logs.get_logger_provider().shutdown()
