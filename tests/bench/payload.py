"""Realistic LLM requests: 1.8 KB a span, 18 attributes and one evaluation event."""

from __future__ import annotations

import random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

START_NS = 1_790_000_000_000_000_000
_SENTENCE = (
    "please find the order that I placed last week and tell me when it will arrive at our office "
    "because the customer asks for a refund under the policy of the product catalogue we index "
    "documents as vectors retrieve passages rank them and answer with citations from the manual"
)
WORDS = _SENTENCE.split()
COHORTS = ("emea", "amer", "apac")
MODELS = (("gpt-4o", "gpt-4o-2024-08-06"), ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"))
RESOURCE = {
    "service.name": "support-bot",
    "service.version": "1.4.2",
    "deployment.environment.name": "prod",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.version": "1.38.0",
}


def requests(
    count: int,
    spans_per_request: int = 512,
    seed: int = 1,
    *,
    start_ns: int = START_NS,
    step_ns: int = 1_000_000,
) -> list[bytes]:
    """Encoded ExportTraceServiceRequests; no two spans are alike.

    Span i of the whole series starts at start_ns + i * step_ns. A seed always gives the same bytes.
    """
    source = random.Random(seed)
    return [
        request(source, spans_per_request, start_ns + n * spans_per_request * step_ns, step_ns)
        for n in range(count)
    ]


def request(source: random.Random, spans: int, start_ns: int, step_ns: int) -> bytes:
    """One request of one resource and one scope."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    for key, value in RESOURCE.items():
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.openai_v2", "2.4b0"
    for index in range(spans):
        fill(scope.spans.add(), source, start_ns + index * step_ns)
    encoded: bytes = message.SerializeToString()
    return encoded


def fill(span: Span, source: random.Random, start_ns: int) -> None:
    """One chat completion, with its evaluation as an event."""
    model, answered_by = source.choice(MODELS)
    duration = source.randrange(200_000_000, 4_000_000_000)
    span.trace_id, span.span_id = source.randbytes(16), source.randbytes(8)
    span.parent_span_id = source.randbytes(8)
    span.name, span.kind = f"chat {model}", Span.SPAN_KIND_CLIENT
    span.start_time_unix_nano, span.end_time_unix_nano = start_ns, start_ns + duration
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": answered_by,
        "gen_ai.response.id": f"chatcmpl-{source.randbytes(12).hex()}",
        "gen_ai.conversation.id": source.randbytes(8).hex(),
        "gen_ai.input.messages": message_json(source, "user"),
        "gen_ai.output.messages": message_json(source, "assistant"),
        "server.address": "api.openai.com",
        "user.tier": source.choice(("free", "team", "enterprise")),
        "app.cohort": source.choice(COHORTS),
    }
    integers = {
        "gen_ai.usage.input_tokens": source.randrange(20, 2000),
        "gen_ai.usage.output_tokens": source.randrange(10, 800),
        "gen_ai.request.max_tokens": 1024,
        "server.port": 443,
    }
    for key, text in texts.items():
        span.attributes.add(key=key).value.string_value = text
    for key, number in integers.items():
        span.attributes.add(key=key).value.int_value = number
    for key, share in (("gen_ai.request.temperature", 0.7), ("gen_ai.request.top_p", 0.9)):
        span.attributes.add(key=key).value.double_value = share
    reasons = span.attributes.add(key="gen_ai.response.finish_reasons").value.array_value
    reasons.values.add().string_value = "stop"
    evaluate(span, source, start_ns + duration)


def evaluate(span: Span, source: random.Random, at_ns: int) -> None:
    """The event of one groundedness evaluation."""
    score = source.betavariate(8, 2)
    event = span.events.add(name="gen_ai.evaluation.result", time_unix_nano=at_ns)
    name = event.attributes.add(key="gen_ai.evaluation.name")
    name.value.string_value = "groundedness"
    event.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = score
    label = event.attributes.add(key="gen_ai.evaluation.score.label")
    label.value.string_value = "pass" if score >= 0.7 else "fail"


def message_json(source: random.Random, role: str) -> str:
    """A list with one message of about 400 bytes."""
    text = " ".join(source.choices(WORDS, k=72))
    return f'[{{"role":"{role}","parts":[{{"type":"text","content":"{text}"}}]}}]'
