"""Each model call of a recorded trace counts once, through a real daemon.

What must be counted are the endpoint's calls and its fixed numbers (README.md), by hand: not what
any row of the recording says.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from builders import attribute
from corpus.expected import Fixture, fixtures
from harness import Daemon

FIXTURES = {fixture.name: fixture for fixture in fixtures() if fixture.traces}
CHAT, TOOL_CALL, RESULT, EMBEDDING, UNKNOWN = (21, 9), (33, 7), (45, 8), (6, 0), (None, 0)
CLAUDE, CLAUDE_TOOL_CALL = (17 + 4 + 2, 8), (33 + 4 + 2, 7)
LOOP = [TOOL_CALL, RESULT]

CALLS = {
    # LangChain: agent > chain > model
    "openinference-instrumentation-langchain@0.1.80/tool": LOOP,
    "openinference-instrumentation-langchain@0.1.80/retrieval": [CHAT],
    "traceai-langchain@0.2.0/tool": LOOP,
    "langsmith@0.15.0/tool": LOOP,
    "langsmith@0.15.0/chat": [CHAT],  # the sequence around it repeats its tokens
    # LlamaIndex: predict > chat; embeddings in pairs, without usage
    "openinference-instrumentation-llama-index@4.6.1/retrieval": [UNKNOWN, UNKNOWN, CHAT],
    # AI SDK: the outer span has the sum of its steps (or of the last one)
    "vercel-ai@4.3.19/tool": LOOP,
    "vercel-ai@5.0.277/tool": LOOP,
    "vercel-ai@6.0.326/tool": LOOP,
    "vercel-ai@7.0.173/tool": LOOP,
    "vercel-ai@7.0.173/legacy": LOOP,
    "vercel-ai@6.0.326/stream": [CHAT],
    "vercel-ai@6.0.326/embeddings": [EMBEDDING, EMBEDDING],
    "vercel-ai@7.0.173/embeddings": [EMBEDDING, EMBEDDING],  # each of two equal nested spans
    # ADK: invoke_agent > call_llm > generate_content; from 2 on it adds reasoning to the output
    "google-adk@1.39.1/tool": LOOP,
    "google-adk@2.13.0/tool": [(33, 7 + 3), (45, 8 + 3)],
    "built/google_adk/answer": [CHAT],  # 1.0: call_llm with nothing below it
    # Strands: the agent's span has the sum of its life
    "strands-agents@1.62.0/tool": LOOP,
    # LiteLLM: raw_gen_ai_request below litellm_request
    "litellm@1.106.2/chat": [CHAT],
    "litellm@1.106.2/tool": LOOP,
    "litellm@1.106.2/anthropic": [CLAUDE],
    "litellm-v2@1.106.2/anthropic": [CLAUDE],
    # Logfire: a streamed call is a span without usage and a second one with it
    "logfire@5.2.0/stream": [CHAT],
    "logfire@5.2.0/stream1": [CHAT],
    "logfire@5.2.0/tool": LOOP,
    # Pydantic AI: the agent's span has the sum, in gen_ai.usage or in gen_ai.aggregated_usage
    "pydantic-ai@1.107.10/tool": LOOP,
    "pydantic-ai@2.68.0/tool": LOOP,
    "pydantic-evals@2.62.0/eval_offline": [CHAT, CHAT],  # two cases, answered with one id
    "haystack-ai@3.4.0/tool": LOOP,
    "langfuse@5.0.4/tool": LOOP,
    "mlflow@3.17.2/tool": LOOP,
    "openlit@1.45.0/tool": LOOP,
    # Anthropic counts cached tokens apart; these add them
    "openinference-instrumentation-anthropic@3.1.0/tool": [CLAUDE_TOOL_CALL, CLAUDE],
    "openllmetry@0.47.5/anthropic": [CLAUDE],
    "opentelemetry-instrumentation-anthropic@0.62.4/chat": [CLAUDE],
    # and this one does not
    "built/claude_code/turn": [CLAUDE, (21 + 4, 9)],
}
NESTED = [
    "openinference-instrumentation-langchain@0.1.80/tool",
    "openinference-instrumentation-llama-index@4.6.1/retrieval",
    "vercel-ai@7.0.173/tool",
    "vercel-ai@7.0.173/embeddings",
    "google-adk@1.39.1/tool",
    "strands-agents@1.62.0/tool",
]


@pytest.fixture(scope="module")
def sent_to(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("usage") / "data") as daemon:
        for name in CALLS:
            daemon.export(FIXTURES[name].traces)
        yield daemon


def counted(daemon: Daemon, traces: set[str]) -> Counter[tuple[int | None, int]]:
    """(input, output) of each call in these traces, with how often it counts."""
    found = daemon.sql(
        "select trace_id, input_total_tokens i, coalesce(output_tokens, 0) o from usage "
        "order by trace_id, span_id limit 10000",
    )
    return Counter((row["i"], row["o"]) for row in found if row["trace_id"] in traces)


def traces_of(fixture: Fixture) -> set[str]:
    return {found.span.trace_id.hex() for found in fixture.found()}


@pytest.mark.parametrize("name", CALLS)
def test_a_recorded_trace_counts_the_calls_that_were_made(sent_to: Daemon, name: str) -> None:
    assert counted(sent_to, traces_of(FIXTURES[name])) == Counter(CALLS[name])


class Pieces:
    """A recorded request in pieces of one span each, in a trace of its own."""

    def __init__(self, name: str, salt: str) -> None:
        whole = ExportTraceServiceRequest.FromString(FIXTURES[name].traces)
        rng = random.Random(f"{name} {salt}")
        ids: dict[bytes, bytes] = {}
        self.requests = []
        for group in whole.resource_spans:
            for scoped in group.scope_spans:
                for span in scoped.spans:
                    piece = ExportTraceServiceRequest()
                    resource = piece.resource_spans.add(resource=group.resource)
                    one = resource.scope_spans.add(scope=scoped.scope).spans.add()
                    one.CopyFrom(span)
                    one.trace_id = ids.setdefault(span.trace_id, rng.randbytes(16))
                    self.requests.append(piece)
        self.requests.sort(key=lambda piece: span_of(piece).start_time_unix_nano)
        self.traces = {trace.hex() for trace in ids.values()}


def span_of(request: ExportTraceServiceRequest) -> Span:
    return request.resource_spans[0].scope_spans[0].spans[0]


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("reverse", [False, True], ids=["parents first", "children first"])
def test_children_may_come_late_and_in_other_requests(
    sent_to: Daemon, name: str, reverse: bool
) -> None:
    pieces = Pieces(name, f"in pieces {reverse}")
    for piece in reversed(pieces.requests) if reverse else pieces.requests:
        sent_to.export(piece)
    assert counted(sent_to, pieces.traces) == Counter(CALLS[name])


def test_a_wrapper_counts_until_its_call_is_there(sent_to: Daemon) -> None:
    pieces = Pieces("langsmith@0.15.0/chat", "wrapper")
    call = pieces.requests[-1]
    assert span_of(call).name == "ChatOpenAI"
    outer = ExportTraceServiceRequest.FromString(call.SerializeToString())
    span_of(outer).span_id = b"outerone"
    span_of(call).parent_span_id = b"outerone"
    sent_to.export(outer)
    assert counted(sent_to, pieces.traces) == Counter([CHAT])
    sent_to.export(call)
    assert counted(sent_to, pieces.traces) == Counter([CHAT])
    (row,) = of_traces(sent_to, pieces, "span_id")
    assert row["span_id"] == span_of(call).span_id.hex()


def of_traces(daemon: Daemon, pieces: Pieces, columns: str) -> list[dict[str, Any]]:
    traces = ", ".join(f"'{trace}'" for trace in pieces.traces)
    return daemon.sql(f"select {columns} from usage where trace_id in ({traces}) order by 1")


def announced(piece: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """As PendingSpanProcessor of logfire 5.2.0 (_internal/tracer.py) announces a span."""
    pending = ExportTraceServiceRequest.FromString(piece.SerializeToString())
    span = span_of(pending)
    span.parent_span_id, span.span_id = span.span_id, b"pending" + span.span_id[:1]
    span.end_time_unix_nano = span.start_time_unix_nano
    kept = [a for a in span.attributes if not a.key.startswith(("gen_ai.usage.", "response_data"))]
    kept = [a for a in kept if a.key != "logfire.span_type"]
    del span.attributes[:]
    span.attributes.extend(kept)
    span.attributes.append(attribute("logfire.span_type", "pending_span"))
    span.attributes.append(attribute("logfire.pending_parent_id", "0" * 16))
    return pending


@pytest.mark.parametrize("scenario", ["chat1", "tool"])
def test_an_announced_span_gives_way_to_the_span(sent_to: Daemon, scenario: str) -> None:
    pieces = Pieces(f"logfire@5.2.0/{scenario}", "announced")
    for piece in pieces.requests:
        sent_to.export(announced(piece))
    calls = [CHAT] if scenario == "chat1" else LOOP
    for piece in pieces.requests:
        sent_to.export(piece)
    assert counted(sent_to, pieces.traces) == Counter(calls)


GATEWAY, CLIENT = "litellm-v2@1.106.2/chat", "opentelemetry-instrumentation-openai-v2@2.4b0/chat"


def side_by_side(salt: str, *, same_id: bool, overlap: bool = True) -> tuple[Pieces, bytes]:
    """What a gateway and a client library report of one call, as siblings in one trace."""
    client, gateway = Pieces(CLIENT, salt), Pieces(GATEWAY, salt)
    outer, inner = span_of(client.requests[0]), span_of(gateway.requests[0])
    inner.trace_id = outer.trace_id
    start = outer.start_time_unix_nano + 1000 if overlap else outer.end_time_unix_nano + 1000
    inner.start_time_unix_nano = start
    inner.end_time_unix_nano = start + 1000
    if not same_id:
        for pair in inner.attributes:
            if pair.key == "gen_ai.response.id":
                pair.value.string_value = "chatcmpl-of-the-gateway"
    client.requests += gateway.requests
    return client, inner.span_id


@pytest.mark.parametrize("same_id", [True, False])
def test_a_gateway_and_a_client_report_one_call(sent_to: Daemon, same_id: bool) -> None:
    pieces, gateway = side_by_side(f"both {same_id}", same_id=same_id)
    for piece in pieces.requests:
        sent_to.export(piece)
    (row,) = of_traces(sent_to, pieces, "span_id, cost, input_total_tokens i, output_tokens o")
    assert (row["i"], row["o"]) == CHAT
    assert row["span_id"] == gateway.hex(), "the report that knows the cost stays"
    assert row["cost"] == pytest.approx(8.175e-06)


def test_one_after_the_other_are_two_calls(sent_to: Daemon) -> None:
    pieces, _ = side_by_side("apart", same_id=True, overlap=False)
    for piece in pieces.requests:
        sent_to.export(piece)
    assert counted(sent_to, pieces.traces) == Counter([CHAT, CHAT])


def test_equal_calls_of_one_library_at_once_are_two(sent_to: Daemon) -> None:
    """Batches of embeddings are often of one size."""
    pieces = Pieces("opentelemetry-instrumentation-openai-v2@2.4b0/embeddings", "at once")
    other = ExportTraceServiceRequest.FromString(pieces.requests[0].SerializeToString())
    span_of(other).span_id = b"anothone"
    span_of(other).start_time_unix_nano += 1000
    span_of(other).end_time_unix_nano -= 1000
    for piece in (*pieces.requests, other):
        sent_to.export(piece)
    assert counted(sent_to, pieces.traces) == Counter([EMBEDDING, EMBEDDING])


def test_a_retry_and_the_failed_attempt_are_two_rows(sent_to: Daemon) -> None:
    pieces = Pieces("opentelemetry-instrumentation-openai-v2@2.4b0/chat", "retry")
    failed = ExportTraceServiceRequest.FromString(pieces.requests[0].SerializeToString())
    span = span_of(failed)
    span.span_id = b"failed.."
    span.end_time_unix_nano = span.start_time_unix_nano - 1000
    span.start_time_unix_nano -= 5000
    kept = [a for a in span.attributes if not a.key.startswith(("gen_ai.usage.", "gen_ai.respon"))]
    del span.attributes[:]
    span.attributes.extend(kept)
    span.status.code = Status.STATUS_CODE_ERROR
    for piece in (failed, *pieces.requests):
        sent_to.export(piece)
    found = of_traces(sent_to, pieces, "failed, input_total_tokens i, output_tokens o")
    assert found == [
        {"failed": False, "i": 21, "o": 9},
        {"failed": True, "i": None, "o": None},
    ]
