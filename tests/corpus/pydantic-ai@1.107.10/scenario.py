"""Pydantic AI 1 with the oldest formats it can send, traced by itself.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first agent run.
"""

from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic_ai import Agent, InstrumentationSettings

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
_logs.set_logger_provider(logs)
Agent.instrument_all(InstrumentationSettings(version=1))

# --- snippet ends here ---
# scenarios: tool tool_logs tool_v3

import sys  # noqa: E402

from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402


def weather_agent(settings: InstrumentationSettings) -> None:
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

    agent.run_sync("How warm is it in Paris?")


def tool() -> None:
    """Format 1: the messages are events, gathered as JSON in attributes."""
    weather_agent(InstrumentationSettings(version=1))


def tool_logs() -> None:
    """Format 1 with its events sent as log records."""
    weather_agent(InstrumentationSettings(version=1, event_mode="logs"))


def tool_v3() -> None:
    """Format 3, the one between the events of 1 and the parts of 4."""
    weather_agent(InstrumentationSettings(version=3))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
    logs.shutdown()
