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


def test_what_the_sdk_dropped_is_marked() -> None:
    assert row(attributes=LLM, dropped_attributes_count=3)["content_incomplete"] is True


def test_a_whole_list_of_another_convention_beats_one_with_holes() -> None:
    holed = {key: value for key, value in WHOLE.items() if ".0." not in key}
    other = {
        "input.value": '{"messages":[{"role":"user","content":"one"}]}',
        "input.mime_type": "application/json",
    }
    assert row(attributes=LLM | holed | other)["input_text"] == "one"
