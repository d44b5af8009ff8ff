"""Pydantic AI, traced by itself. Content is captured unless include_content=False is given to
InstrumentationSettings.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first agent run.
"""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic_ai import Agent
from pydantic_ai.embeddings import Embedder

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
Agent.instrument_all()
Embedder.instrument_all()

# --- snippet ends here ---
# scenarios: chat stream tool tool_v2 tool_v6 structured embeddings error

import asyncio  # noqa: E402
import contextlib  # noqa: E402
import sys  # noqa: E402

from pydantic import BaseModel  # noqa: E402
from pydantic_ai import InstrumentationSettings, ToolOutput  # noqa: E402
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402

QUESTION = "What is the capital of France?"


class Weather(BaseModel):
    """Weather of a city."""

    city: str


def chat() -> None:
    agent = Agent(
        OpenAIChatModel("gpt-4o-mini"),
        name="geography_teacher",
        instructions="You are a geography teacher.",
        metadata={"tenant_id": "acme", "user_id": "user-1"},
    )
    agent.run_sync(
        QUESTION,
        model_settings={"temperature": 0.2, "top_p": 0.9, "max_tokens": 64, "seed": 7},
        conversation_id="conversation-1",
    )


def stream() -> None:
    async def run() -> None:
        agent = Agent(
            OpenAIChatModel("gpt-4o-mini"),
            name="geography_teacher",
            system_prompt="You are a geography teacher.",
        )
        async with agent.run_stream(QUESTION, conversation_id="conversation-2") as result:
            async for _ in result.stream_text():
                pass

    asyncio.run(run())


def weather_agent(version: int) -> None:
    """The older formats are asked for by number; 5 is sent unless told otherwise."""
    settings = InstrumentationSettings(version=version)
    agent = Agent(
        OpenAIChatModel("gpt-4o-mini"),
        name="weather_agent",
        instructions="You answer questions about the weather.",
    )
    agent.instrument = settings

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Weather of a city."""
        return f"21 degrees in {city}"

    agent.run_sync("How warm is it in Paris?", conversation_id=f"conversation-v{version}")


def tool() -> None:
    weather_agent(5)


def tool_v2() -> None:
    weather_agent(2)


def tool_v6() -> None:
    weather_agent(6)


def structured() -> None:
    agent = Agent(
        OpenAIChatModel("gpt-4o-mini"),
        name="city_finder",
        output_type=ToolOutput(Weather, name="get_weather"),
    )
    agent.run_sync("How warm is it in Paris?", conversation_id="conversation-4")


def embeddings() -> None:
    Embedder(OpenAIEmbeddingModel("text-embedding-3-small")).embed_query_sync("capital of France")


def error() -> None:
    agent = Agent(OpenAIChatModel("broken-model"), name="geography_teacher")
    with contextlib.suppress(Exception):
        agent.run_sync(QUESTION, conversation_id="conversation-5")


SCENARIOS = {
    f.__name__: f for f in (chat, stream, tool, tool_v2, tool_v6, structured, embeddings, error)
}

if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
