"""Arrow schemas of the tables in store/schema/segment.sql, without `seq` and `received_at`."""

from __future__ import annotations

import pyarrow as pa

_TIME = pa.timestamp("ns")
_TEXTS = pa.list_(pa.string())
_SPAN_TYPES = {
    "start_time": _TIME,
    "duration_ns": pa.int64(),
    "cost": pa.float64(),
    "temperature": pa.float64(),
    "top_p": pa.float64(),
    "time_to_first_token_seconds": pa.float64(),
    "finish_reasons": _TEXTS,
    "tags": _TEXTS,
    "flags": pa.uint32(),
    "dropped_attributes_count": pa.uint32(),
    **{
        name: pa.int64()
        for name in (
            "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens",
            "cache_write_tokens", "reasoning_tokens", "max_tokens",
        )
    },
}  # fmt: skip

SPANS = pa.schema(
    [
        (name, _SPAN_TYPES.get(name, pa.string()))
        for name in (
            "trace_id", "span_id", "parent_span_id", "name", "kind", "start_time", "duration_ns",
            "status", "status_message", "service_name", "service_version", "environment",
            "scope_name", "scope_version", "session_id", "user_id", "operation", "provider",
            "request_model", "response_model", "response_id", "input_tokens", "output_tokens",
            "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost",
            "temperature", "top_p", "max_tokens", "finish_reasons", "time_to_first_token_seconds",
            "input_messages", "output_messages", "system_instructions", "input_text",
            "output_text", "tool_name", "tool_call_id", "agent_name", "prompt_template_id",
            "prompt_template_version", "error_type", "run_id", "variant", "release", "tags",
            "attributes", "resource", "events", "links", "trace_state", "flags",
            "dropped_attributes_count", "norm_source",
        )
    ]
)  # fmt: skip

EVALUATIONS = pa.schema(
    [
        ("time", _TIME),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("response_id", pa.string()),
        ("name", pa.string()),
        ("score", pa.float64()),
        ("label", pa.string()),
        ("passed", pa.bool_()),
        ("explanation", pa.string()),
        ("evaluator", pa.string()),
        ("evaluator_version", pa.string()),
        ("error_type", pa.string()),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("dataset", pa.string()),
        ("item_id", pa.string()),
        ("run_id", pa.string()),
        ("variant", pa.string()),
    ]
)

LOGS = pa.schema(
    [
        ("time", _TIME),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("event_name", pa.string()),
        ("severity_number", pa.int32()),
        ("body", pa.string()),
        ("attributes", pa.string()),
        ("service_name", pa.string()),
        ("environment", pa.string()),
        ("resource", pa.string()),
        ("scope_name", pa.string()),
        ("scope_version", pa.string()),
    ]
)

REJECTED = pa.schema([("reason", pa.string()), ("detail", pa.string()), ("item", pa.string())])
