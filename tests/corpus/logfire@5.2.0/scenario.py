"""Logfire's SDK and its OpenAI integration. Content is captured, less what looks like a secret.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318): Logfire sends
there too, and nowhere else with send_to_logfire=False. Logfire takes a session id for a secret and
blanks it: use gen_ai.conversation.id, or keep session.id with a callback in ScrubbingOptions.
"""

import logfire

logfire.configure(
    send_to_logfire=False, console=False, service_version="1.4.0", environment="staging"
)
openai_spans = logfire.instrument_openai()

# --- snippet ends here ---
# scenarios: chat stream tool responses embeddings error feedback chat1 tool1 stream1 resp1 emb1

import contextlib  # noqa: E402
import sys  # noqa: E402

import openai  # noqa: E402
from logfire.experimental.annotations import get_traceparent, record_feedback  # noqa: E402

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


def ask(client: openai.OpenAI, **options: object) -> object:
    return client.chat.completions.create(
        model="gpt-4o-mini", messages=QUESTION, temperature=0.2, top_p=0.9, max_tokens=64, **options
    )


def chat() -> None:
    """A user's own span with session, user and tags around the call."""
    tagged = logfire.with_tags("geography", "beta")
    about = {
        "session.id": "session-1",
        "gen_ai.conversation.id": "conversation-1",
        "user.id": "user-1",
    }
    with tagged.span("answer {topic}", topic="capitals", **about):
        ask(openai.OpenAI())


def stream() -> None:
    for _ in ask(openai.OpenAI(), stream=True, stream_options={"include_usage": True}):
        pass


def tool() -> None:
    client = openai.OpenAI()
    messages = [{"role": "user", "content": "How warm is it in Paris?"}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])
    call = answer.choices[0].message.tool_calls[0]
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "21 degrees in Paris"})
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])


def responses() -> None:
    openai.OpenAI().responses.create(
        model="gpt-4o-mini",
        instructions="You are a geography teacher.",
        input="What is the capital of France?",
    )


def embeddings() -> None:
    openai.OpenAI().embeddings.create(model="text-embedding-3-small", input="capital of France")


def error() -> None:
    with contextlib.suppress(openai.OpenAIError):
        openai.OpenAI(max_retries=0).chat.completions.create(
            model="broken-model", messages=QUESTION
        )


def chat1() -> None:
    """The older form of the integration: the request and the response as JSON."""
    with openai_spans:
        pass
    logfire.instrument_openai(version=1)
    ask(openai.OpenAI())


def tool1() -> None:
    with openai_spans:
        pass
    logfire.instrument_openai(version=1)
    messages = [{"role": "user", "content": "How warm is it in Paris?"}]
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])


def stream1() -> None:
    with openai_spans:
        pass
    logfire.instrument_openai(version=1)
    for _ in ask(openai.OpenAI(), stream=True, stream_options={"include_usage": True}):
        pass


def resp1() -> None:
    with openai_spans:
        pass
    logfire.instrument_openai(version=1)
    responses()


def emb1() -> None:
    with openai_spans:
        pass
    logfire.instrument_openai(version=1)
    embeddings()


def feedback() -> None:
    with logfire.span("answer") as span:
        ask(openai.OpenAI())
        traceparent = get_traceparent(span)
    record_feedback(traceparent, "helpful", True, comment="Short and right.")
    record_feedback(traceparent, "rating", 4)
    record_feedback(traceparent, "tone", "friendly", extra={"user.id": "user-1"})


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    logfire.shutdown()
