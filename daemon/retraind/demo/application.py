"""The demo's application: emits a scenario with the OpenTelemetry SDK and its OTLP/gRPC exporter.

Runs as a process of its own (`python -m retraind.demo.application`), as a user's application
would; all it shares with the daemon is the address. Prints progress on stdout, one JSON object a
line.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

from retraind.demo.scenario import (
    ENVIRONMENT,
    MODELS,
    SERVICE,
    Conversation,
    Drift,
    Progress,
    Scenario,
    Turn,
)

_QUEUE = 16_384  # spans the SDK may hold; it drops above this, so the application flushes at half
_BATCH = 512
_REPORT_EVERY = 2_000  # conversations


class SeededIds(IdGenerator):  # type: ignore[misc]
    """Trace and span ids from a seed; random 128 and 64 bit numbers, never 0."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"ids {seed}")

    def generate_trace_id(self) -> int:
        return self._rng.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        return self._rng.getrandbits(64) or 1


@contextmanager
def tracer_provider(exporter: SpanExporter, seed: int) -> Iterator[TracerProvider]:
    """A provider set up as in an application: resource, batch processor, exporter."""
    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": SERVICE,
                "service.version": "3.2.0",
                "deployment.environment.name": ENVIRONMENT,
            }
        ),
        sampler=ALWAYS_ON,
        id_generator=SeededIds(seed),
        span_limits=SpanLimits(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=_QUEUE, max_export_batch_size=_BATCH)
    )
    try:
        yield provider
    finally:
        provider.shutdown()


def emit(scenario: Scenario, provider: TracerProvider) -> Iterator[Progress]:
    """Send a whole scenario in order of event time, and tell how far it is."""
    tracer = provider.get_tracer("retraind.demo.application", "1.0")
    conversations = spans = since_flush = event_ns = 0
    for conversation in scenario.conversations():
        for turn in conversation.turns:
            _trace(tracer, conversation, turn)
        conversations += 1
        spans += conversation.spans
        since_flush += conversation.spans
        event_ns = conversation.start_ns
        if since_flush >= _QUEUE // 2:
            provider.force_flush()
            since_flush = 0
        if conversations % _REPORT_EVERY == 0:
            yield Progress(conversations, spans, event_ns)
    provider.force_flush()
    yield Progress(conversations, spans, event_ns, done=True)


def _trace(tracer: Tracer, conversation: Conversation, turn: Turn) -> None:
    """One turn as one trace: the agent, its retrieval and its model call."""
    answer_ns = turn.start_ns + 2_000_000 + turn.retrieval_ns
    end_ns = answer_ns + turn.answer_ns
    root = tracer.start_span(
        f"invoke_agent {SERVICE}",
        kind=SpanKind.SERVER,
        start_time=turn.start_ns,
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": SERVICE,
            "session.id": conversation.id,
            "app.cohort": conversation.cohort,
        },
    )
    context = set_span_in_context(root)
    if turn.documents:
        tracer.start_span(
            "retrieval help-articles",
            context=context,
            kind=SpanKind.CLIENT,
            start_time=turn.start_ns + 1_000_000,
            attributes={
                "gen_ai.operation.name": "retrieval",
                "gen_ai.data_source.id": "help-articles",
                "gen_ai.retrieval.query.text": turn.question,
                "app.documents": turn.documents,
            },
        ).end(turn.start_ns + 1_000_000 + turn.retrieval_ns)
    chat = tracer.start_span(
        f"chat {conversation.model}",
        context=context,
        kind=SpanKind.CLIENT,
        start_time=answer_ns,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": conversation.model,
            "gen_ai.response.model": MODELS[conversation.model],
            "gen_ai.conversation.id": conversation.id,
            "gen_ai.usage.input_tokens": turn.input_tokens,
            "gen_ai.usage.output_tokens": turn.output_tokens,
            "gen_ai.response.finish_reasons": (turn.finish_reason,),
            "gen_ai.input.messages": _messages("user", turn.question),
            "gen_ai.output.messages": _messages("assistant", turn.answer, turn.finish_reason),
            "app.cohort": conversation.cohort,
            "app.product": turn.product,
        },
    )
    for evaluation in turn.evaluations:
        chat.add_event(
            "gen_ai.evaluation.result",
            {
                "gen_ai.evaluation.name": evaluation.name,
                "gen_ai.evaluation.score.value": evaluation.score,
                "gen_ai.evaluation.score.label": evaluation.label,
            },
            timestamp=end_ns,
        )
    chat.end(end_ns)
    root.end(end_ns + 1_000_000)


def _messages(role: str, text: str, finish_reason: str | None = None) -> str:
    """One message in the JSON form of the GenAI conventions."""
    message: dict[str, object] = {"role": role, "parts": [{"type": "text", "content": text}]}
    if finish_reason is not None:
        message["finish_reason"] = finish_reason
    return orjson.dumps([message]).decode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True, help="host:port of OTLP/gRPC")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--drift", required=True, help="MODEL/COHORT or none")
    parser.add_argument("--end-ns", type=int, required=True, help="end of the two weeks")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

    scenario = Scenario(arguments.seed, Drift.parse(arguments.drift), arguments.end_ns)
    exporter = OTLPSpanExporter(endpoint=arguments.endpoint, insecure=True, timeout=30)
    with tracer_provider(exporter, arguments.seed) as provider:
        for progress in emit(scenario, provider):
            sys.stdout.buffer.write(orjson.dumps(progress) + b"\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
