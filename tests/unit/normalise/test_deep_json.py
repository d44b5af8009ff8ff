"""JSON in attributes that can be read, but nests deeper than JSON can be written."""

from __future__ import annotations

import json

import pytest

from builders import a_request, a_span
from retraind.decode import decode_traces
from retraind.normalise import normalise_traces

DEEP = "[" * 300 + "1" + "]" * 300
SENT = {
    "metadata": '{"a": %s}',
    "llm.invocation_parameters": '{"model": %s}',
    "gen_ai.input.messages": '[{"role": "user", "content": [{"type": "other", "x": %s}]}]',
    "gen_ai.tool.definitions": '[{"x": %s}]',
    "retrieval.documents.0.document.metadata": '{"x": %s}',
}


@pytest.mark.parametrize("key", SENT)
def test_a_span_with_deep_json_keeps_it_as_it_was_sent(key: str) -> None:
    sent = {"openinference.span.kind": "LLM", key: SENT[key] % DEEP}
    span = a_span(1, start_ns=1_780_000_000_000_000_000, attributes=sent)
    decoded = decode_traces([a_request([span]).SerializeToString()])
    (row,) = (
        normalise_traces(decoded, attribute_limit=99).spans.drop_columns("start_time").to_pylist()
    )
    assert sent[key] in (*json.loads(row["attributes"]).values(), row["request_parameters"])
