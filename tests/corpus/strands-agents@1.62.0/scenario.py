"""Strands Agents, traced by itself. Content is captured: as span events of each message.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first agent run.
"""

from strands.telemetry import StrandsTelemetry

telemetry = StrandsTelemetry()
telemetry.setup_otlp_exporter()

# --- snippet ends here ---
# scenarios: chat tool error tool_latest tool_attributes

import contextlib  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

from strands import Agent  # noqa: E402
from strands import tool as as_tool  # noqa: E402
from strands.models.openai import OpenAIModel  # noqa: E402

ABOUT = {"session.id": "session-1", "user.id": "user-1", "tags": ["geography", "beta"]}


@as_tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


def model(name: str) -> OpenAIModel:
    return OpenAIModel(model_id=name, params={"temperature": 0.2, "max_tokens": 64})


def weather_agent() -> None:
    agent = Agent(
        model("gpt-4o-mini"),
        name="weather_agent",
        system_prompt="You answer questions about the weather.",
        tools=[get_weather],
        callback_handler=None,
        trace_attributes={"session.id": "session-2"},
    )
    agent("How warm is it in Paris?")


def chat() -> None:
    agent = Agent(
        model("gpt-4o-mini"),
        name="geography_teacher",
        system_prompt="You are a geography teacher.",
        callback_handler=None,
        trace_attributes=ABOUT,
    )
    agent("What is the capital of France?")


def tool() -> None:
    weather_agent()


def tool_latest() -> None:
    """The newer names; messages in one span event."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = (
        "gen_ai_latest_experimental,gen_ai_tool_definitions"
    )
    weather_agent()


def tool_attributes() -> None:
    """The newer names; messages in attributes."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = (
        "gen_ai_latest_experimental,gen_ai_tool_definitions,gen_ai_span_attributes_only"
    )
    weather_agent()


def error() -> None:
    with contextlib.suppress(Exception):
        Agent(model("broken-model"), name="geography_teacher", callback_handler=None)(
            "What is the capital of France?"
        )


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    telemetry.tracer_provider.shutdown()
