"""decode + normalise give what a plain walk over the official messages gives."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otlp_oracle
from otlp_strategies import trace_requests
from retraind.decode import decode_traces
from retraind.normalise import normalise_traces

LIMIT = 7
# Read from JSON value by value, or made of other columns: the corpus and test_content.py show them.
CONTENT = {
    "input_messages", "output_messages", "system_instructions", "called_tools", "documents",
    "document_ids", "document_scores", "input_documents", "fingerprint", "content_incomplete",
    "metadata", "tool_definitions", "input_token_hashes", "output_token_hashes",
}  # fmt: skip
JSON_COLUMNS = ("resource", "events", "links", "norm_source")
checks = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


def typed(value: Any) -> str:
    """A form that keeps int, float, bool, -0.0 and NaN apart, but not the order of keys.

    Large numbers as text may be spelled with an exponent or without.
    """
    if isinstance(value, str) and re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", value):
        with contextlib.suppress(ValueError):
            return f"number {float(value)!r}"
    if isinstance(value, dict):
        return repr(sorted((key, typed(item)) for key, item in value.items()))
    return repr([typed(item) for item in value]) if isinstance(value, list) else repr(value)


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    for name in ("start_time", "time"):
        if name in table.column_names:
            index = table.column_names.index(name)
            table = table.set_column(index, name, table.column(name).cast(pa.int64()))
    return table.to_pylist()


def recovered(row: dict[str, Any]) -> dict[str, Any]:
    """Every attribute that was received, from the row alone."""
    attributes = json.loads(row["attributes"] or "{}")
    for column, key in json.loads(row["norm_source"] or "{}").items():
        if key not in attributes and not re.search(r"[#:{]", key):
            attributes[key] = json_form(row[column])
    return attributes


def json_form(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return {"doubleValue": name}
    return value


@checks
@given(st.lists(trace_requests(), max_size=3))
def test_spans_equal_a_walk_over_official_messages(requests: list[Any]) -> None:
    payloads = [request.SerializeToString() for request in requests]
    want = otlp_oracle.expected(payloads, LIMIT)
    got = normalise_traces(decode_traces(payloads), attribute_limit=LIMIT)

    assert got.span_request.tolist() == [number for _, number in want["spans"]]
    for row, (expected, _) in zip(plain_rows(got.spans), want["spans"], strict=True):
        everything = expected.pop("all_attributes")
        assert sorted((k, typed(v)) for k, v in recovered(row).items()) == sorted(
            (k, typed(v)) for k, v in everything.items()
        )
        del row["attributes"]
        for name in JSON_COLUMNS:
            row[name] = None if row[name] is None else json.loads(row[name])
        for source in (row, expected):
            named = {k: v for k, v in (source["norm_source"] or {}).items() if k not in CONTENT}
            source["norm_source"] = named or None
        assert {k: typed(v) for k, v in row.items() if k not in CONTENT} == {
            k: typed(v) for k, v in expected.items() if k not in CONTENT
        }

    reasons = got.rejected.column("reason").to_pylist()
    assert list(zip(reasons, got.rejected_request.tolist(), strict=True)) == want["rejected"]
    assert got.repaired_strings == 0
