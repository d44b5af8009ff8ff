"""LiteLLM with its OpenTelemetry callback.

Messages are captured unless litellm.turn_off_message_logging is set.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and
OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf; LiteLLM prints its spans to the console otherwise.
"""

import os

# The price list that comes with the package; LiteLLM downloads a newer one otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

litellm.callbacks = ["otel"]

# --- snippet ends here ---
# scenarios: chat stream tool embeddings error metadata anthropic latest events

import contextlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

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


def ask(**parameters: object) -> object:
    return litellm.completion(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "You are a geography teacher."},
            {"role": "user", "content": QUESTION},
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
    answer = litellm.completion(model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER])
    message = answer.choices[0].message
    call = message.tool_calls[0]
    city = json.loads(call.function.arguments)["city"]
    messages += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": f"21 degrees in {city}"},
    ]
    litellm.completion(model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER])


def embeddings() -> None:
    litellm.embedding(model="text-embedding-3-small", input=["capital of France"])


def error() -> None:
    with contextlib.suppress(litellm.exceptions.NotFoundError):
        litellm.completion(
            model="openai/broken-model",
            messages=[{"role": "user", "content": QUESTION}],
            num_retries=0,
        )


def metadata() -> None:
    ask(
        metadata={
            "session_id": "session-1",
            "trace_user_id": "user-1",
            "tags": ["geography", "demo"],
            "tenant_id": "acme",
            "user_api_key_end_user_id": "user-1",
            "user_api_key_team_id": "team-1",
            "requester_metadata": {"session_id": "session-1", "tags": ["geography"], "plan": "pro"},
        }
    )


def anthropic() -> None:
    litellm.completion(
        model="anthropic/claude-sonnet-4-5",
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=64,
    )


def latest() -> None:
    """The current OpenTelemetry conventions, asked for by the variable they name."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["LITELLM_OTEL_INTEGRATION_ENABLE_EVENTS"] = "true"
    ask(temperature=0.2, user="user-1")


def events() -> None:
    os.environ["LITELLM_OTEL_INTEGRATION_ENABLE_EVENTS"] = "true"
    ask()


if __name__ == "__main__":
    # The callbacks run in threads that end, and the exporters flush, when the program ends.
    globals()[sys.argv[1]]()
