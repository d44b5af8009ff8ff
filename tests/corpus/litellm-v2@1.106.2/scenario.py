"""LiteLLM with the second generation of its OpenTelemetry callback, for asynchronous calls.

Messages are captured only because OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is set.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and
OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf; LiteLLM prints its spans to the console otherwise.
"""

import os

# The price list that comes with the package; LiteLLM downloads a newer one otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_OTEL_V2"] = "true"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"

import litellm

litellm.callbacks = ["otel"]

# --- snippet ends here ---
# scenarios: chat stream tool embeddings error metadata anthropic

import asyncio  # noqa: E402
import contextlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER  # noqa: E402

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


async def ask(**parameters: object) -> object:
    return await litellm.acompletion(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "You are a geography teacher."},
            {"role": "user", "content": QUESTION},
        ],
        **parameters,
    )


async def chat() -> None:
    await ask(temperature=0.2, top_p=0.9, max_tokens=64, seed=7, user="user-1")


async def stream() -> None:
    async for _ in await ask(stream=True, stream_options={"include_usage": True}):
        pass


async def tool() -> None:
    messages: list[object] = [{"role": "user", "content": "How warm is it in Paris?"}]
    answer = await litellm.acompletion(model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER])
    message = answer.choices[0].message
    call = message.tool_calls[0]
    city = json.loads(call.function.arguments)["city"]
    messages += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": f"21 degrees in {city}"},
    ]
    await litellm.acompletion(model="gpt-4o-mini", messages=messages, tools=[GET_WEATHER])


async def embeddings() -> None:
    await litellm.aembedding(model="text-embedding-3-small", input=["capital of France"])


async def error() -> None:
    with contextlib.suppress(litellm.exceptions.NotFoundError):
        await litellm.acompletion(
            model="openai/broken-model",
            messages=[{"role": "user", "content": QUESTION}],
            num_retries=0,
        )


async def metadata() -> None:
    await ask(
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


async def anthropic() -> None:
    await litellm.acompletion(
        model="anthropic/claude-sonnet-4-5",
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=64,
    )


async def main(scenario: str) -> None:
    await globals()[scenario]()
    # This generation serves asynchronous calls only: a task queues the callback, another runs it.
    await asyncio.sleep(1)
    await GLOBAL_LOGGING_WORKER.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
