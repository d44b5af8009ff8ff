"""Content that a sender's limits cut is marked, not taken for the whole."""

from __future__ import annotations

from typing import Any

import pytest

from otlp_samples import encode, request_of, span
from retraind.decode import decode_traces
from retraind.normalise import normalise_traces

LLM = {"openinference.span.kind": "LLM"}
WHOLE = {
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "one",
    "llm.input_messages.1.message.role": "assistant",
    "llm.input_messages.1.message.content": "two",
}


def row(**fields: Any) -> dict[str, Any]:
    payload = encode(request_of(span(**fields)))
    (found,) = normalise_traces(decode_traces([payload]), attribute_limit=100).spans.to_pylist()
    return found


@pytest.mark.parametrize(
    ("attributes", "incomplete"),
    [
        (WHOLE, None),
        ({key.replace(".0.", ".2."): value for key, value in WHOLE.items()}, True),
        ({"gen_ai.input.messages": '[{"role":"user","parts":[{"type":"te'}, True),
        ({"gen_ai.input.messages": "[not JSON at all]"}, None),
        ({"gen_ai.input.messages": '[{"role":"user","parts":[]}]'}, None),
    ],
    ids=["whole", "a hole", "cut JSON", "no JSON", "empty"],
)
def test_holes_and_cut_json_are_marked(attributes: dict[str, Any], incomplete: bool | None) -> None:
    assert row(attributes=LLM | attributes)["content_incomplete"] is incomplete


TOOL = {"gen_ai.operation.name": "execute_tool"}
JSON = {"input.mime_type": "application/json"}


@pytest.mark.parametrize(
    ("attributes", "incomplete"),
    [
        (TOOL | {"gen_ai.tool.call.arguments": '{"city": "Par'}, True),
        (TOOL | {"gen_ai.tool.call.arguments": '{"city": {"name": "Paris"}'}, True),
        (TOOL | {"gen_ai.tool.call.arguments": '{"city": "Paris"}'}, None),
        (TOOL | {"gen_ai.tool.call.arguments": "{'city': 'Paris'}"}, None),
        (TOOL | {"gen_ai.tool.call.arguments": {"city": '{"Par'}}, None),
        (TOOL | {"gen_ai.tool.call.result": '[{"degrees": 2'}, True),
        ({"llm.invocation_parameters": '{"temperature": 0.'}, True),
        (JSON | {"openinference.span.kind": "CHAIN", "input.value": '{"question": "Wh'}, True),
        ({"openinference.span.kind": "CHAIN", "input.value": '{"question": "Wh'}, None),
        ({"gen_ai.operation.name": "agent", "output.value": "[1] a source"}, None),
    ],
)
def test_cut_json_that_a_column_shows_as_text_is_marked(
    attributes: dict[str, Any], incomplete: bool | None
) -> None:
    assert row(attributes=attributes)["content_incomplete"] is incomplete


def calls(*indices: int) -> dict[str, Any]:
    return WHOLE | {
        f"llm.input_messages.1.message.tool_calls.{i}.tool_call.function.name": "weather"
        for i in indices
    }


@pytest.mark.parametrize(
    ("indices", "incomplete"), [((0, 1, 2), None), ((0, 2), True), ((1, 2), True), ((), None)]
)
def test_a_hole_in_a_list_inside_of_a_list_is_marked(
    indices: tuple[int, ...], incomplete: bool | None
) -> None:
    assert row(attributes=LLM | calls(*indices))["content_incomplete"] is incomplete
    # Where keys disagree about what a place holds, lists are put together in another way.
    odd = LLM | calls(*indices) | {"llm.input_messages.1.message.content.kind": "text"}
    assert row(attributes=odd)["content_incomplete"] is incomplete


def test_a_hole_is_the_span_s_own() -> None:
    payload = encode(request_of(*(span(attributes=LLM | calls(*i)) for i in ((0, 1), (1,), (0,)))))
    rows = normalise_traces(decode_traces([payload]), attribute_limit=100).spans
    assert rows.column("content_incomplete").to_pylist() == [None, True, None]


@pytest.mark.parametrize("count", ["dropped_attributes_count", "dropped_events_count"])
def test_what_the_sdk_dropped_is_marked(count: str) -> None:
    assert row(attributes=LLM, **{count: 3})["content_incomplete"] is True


@pytest.mark.parametrize(
    ("event", "incomplete"),
    [
        ("gen_ai.user.message", True),
        ("gen_ai.client.inference.operation.details", True),
        ("exception", None),
        ("anything", None),
    ],
)
def test_what_the_sdk_dropped_of_an_event_with_content_is_marked(
    event: str, incomplete: bool | None
) -> None:
    sent = span(attributes=LLM, events={"anything": {"a": 1}, event: {"content": "hi"}})
    sent.events[-1].dropped_attributes_count = 1
    payload = encode(request_of(span(attributes=LLM), sent))
    rows = normalise_traces(decode_traces([payload]), attribute_limit=100).spans
    assert rows.column("content_incomplete").to_pylist() == [None, incomplete]


def test_cut_json_of_an_event_is_marked() -> None:
    cut = {"gen_ai.content.prompt": {"gen_ai.prompt": '[{"role": "user", "conte'}}
    assert row(attributes=LLM, events=cut)["content_incomplete"] is True


def test_a_whole_list_of_another_convention_beats_one_with_holes() -> None:
    holed = {key: value for key, value in WHOLE.items() if ".0." not in key}
    other = {
        "input.value": '{"messages":[{"role":"user","content":"one"}]}',
        "input.mime_type": "application/json",
    }
    assert row(attributes=LLM | holed | other)["input_text"] == "one"
