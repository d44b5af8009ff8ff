"""Google's Agent Development Kit, traced by itself.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first agent run. Spans and log records are sent. Prompts and answers are in the
records where OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true is set; without it ADK 1 has
them, with cached tokens, only on the call_llm span around the counted call, and ADK 2 nowhere.
"""

from google.adk.telemetry.setup import maybe_set_otel_providers

maybe_set_otel_providers()

# --- snippet ends here ---
# scenarios: chat stream tool tool_logs tool_latest error

import asyncio  # noqa: E402
import contextlib  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # No price list from the network.

from google.adk.agents import LlmAgent  # noqa: E402
from google.adk.agents.run_config import RunConfig, StreamingMode  # noqa: E402
from google.adk.models.lite_llm import LiteLlm  # noqa: E402
from google.adk.runners import InMemoryRunner  # noqa: E402
from google.genai import types  # noqa: E402
from opentelemetry import _logs, trace  # noqa: E402

QUESTION = "What is the capital of France?"
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


async def ask(agent: LlmAgent, question: str, mode: StreamingMode = StreamingMode.NONE) -> None:
    runner = InMemoryRunner(agent=agent, app_name="corpus")
    await runner.session_service.create_session(
        app_name="corpus", user_id="user-1", session_id="session-1"
    )
    message = types.Content(role="user", parts=[types.Part(text=question)])
    options = RunConfig(streaming_mode=mode)
    async for _ in runner.run_async(
        user_id="user-1", session_id="session-1", new_message=message, run_config=options
    ):
        pass
    await runner.close()


def teacher(model: str) -> LlmAgent:
    return LlmAgent(
        name="geography_teacher",
        model=LiteLlm(model=f"openai/{model}"),
        instruction="You are a geography teacher.",
        generate_content_config=types.GenerateContentConfig(
            temperature=0.2, top_p=0.9, max_output_tokens=64
        ),
    )


def weather_agent() -> None:
    agent = LlmAgent(
        name="weather_agent",
        model=LiteLlm(model="openai/gpt-4o-mini"),
        instruction="You answer questions about the weather.",
        tools=[get_weather],
    )
    asyncio.run(ask(agent, "How warm is it in Paris?"))


def chat() -> None:
    asyncio.run(ask(teacher("gpt-4o-mini"), QUESTION))


def stream() -> None:
    asyncio.run(ask(teacher("gpt-4o-mini"), QUESTION, StreamingMode.SSE))


def tool() -> None:
    weather_agent()


def tool_logs() -> None:
    """The message events as log records, with their content."""
    os.environ[CAPTURE] = "true"
    weather_agent()


def tool_latest() -> None:
    """The newer names, with content in attributes and in the details event."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ[CAPTURE] = "SPAN_AND_EVENT"
    weather_agent()


def error() -> None:
    with contextlib.suppress(Exception):
        asyncio.run(ask(teacher("broken-model"), QUESTION))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    trace.get_tracer_provider().shutdown()
    _logs.get_logger_provider().shutdown()
