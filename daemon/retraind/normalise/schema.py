"""Arrow schemas of the tables in store/schema/segment.sql, without `seq` and `received_at`."""

from __future__ import annotations

import pyarrow as pa

_TIME = pa.timestamp("ns")
_TEXTS = pa.list_(pa.string())
_INTEGERS = (
    "duration_ns", "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "max_tokens", "embedding_dimensions",
)  # fmt: skip
_NUMBERS = (
    "cost", "cost_input", "cost_output", "temperature", "top_p", "time_to_first_token_seconds",
    "guardrail_score",
)  # fmt: skip
_SPAN_TYPES = {
    "start_time": _TIME,
    **dict.fromkeys(_INTEGERS, pa.int64()),
    **dict.fromkeys(_NUMBERS, pa.float64()),
    **dict.fromkeys(("finish_reasons", "called_tools", "document_ids", "tags"), _TEXTS),
    **dict.fromkeys(("streaming", "content_incomplete"), pa.bool_()),
    "document_scores": pa.list_(pa.float64()),
    "embedding": pa.list_(pa.float32()),
    **dict.fromkeys(("input_token_hashes", "output_token_hashes"), pa.list_(pa.uint64())),
    "flags": pa.uint32(),
    "dropped_attributes_count": pa.uint32(),
}

SPANS = pa.schema(
    [
        (name, _SPAN_TYPES.get(name, pa.string()))
        for name in (
            "trace_id", "span_id", "parent_span_id", "name", "kind", "start_time", "duration_ns",
            "status", "status_message", "service_name", "service_version", "environment",
            "scope_name", "scope_version", "session_id", "user_id", "tenant_id", "operation",
            "provider", "request_model", "response_model", "model_version", "response_id",
            "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens",
            "cache_write_tokens", "reasoning_tokens", "cost", "cost_input", "cost_output",
            "temperature", "top_p", "max_tokens", "request_parameters", "streaming",
            "finish_reasons", "time_to_first_token_seconds", "input_messages", "output_messages",
            "system_instructions", "input_text", "output_text", "tool_definitions",
            "called_tools", "tool_name", "tool_call_id", "documents", "document_ids",
            "document_scores", "input_documents", "embedding", "embedding_dimensions",
            "agent_name", "agent_id", "agent_version", "workflow_name", "prompt_template_id",
            "prompt_template_version", "prompt_template_text", "prompt_variables", "error_type",
            "error_message", "guardrail_name", "guardrail_result", "guardrail_score", "run_id",
            "variant", "release", "experiment_id", "experiment_name", "tags", "metadata",
            "convention", "fingerprint", "content_incomplete", "input_token_hashes",
            "output_token_hashes", "attributes", "resource",
            "events", "links", "trace_state", "flags", "dropped_attributes_count", "norm_source",
        )
    ]
)  # fmt: skip

EVALUATIONS = pa.schema(
    [
        ("time", _TIME),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("response_id", pa.string()),
        ("session_id", pa.string()),
        ("name", pa.string()),
        ("score", pa.float64()),
        ("label", pa.string()),
        ("passed", pa.bool_()),
        ("explanation", pa.string()),
        ("correction", pa.string()),
        ("evaluator", pa.string()),
        ("evaluator_version", pa.string()),
        ("error_type", pa.string()),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("idempotency_key", pa.string()),
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

SPAN_DETAILS = pa.schema(
    [
        ("time", _TIME),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("event_name", pa.string()),
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("finish_reasons", _TEXTS),
        ("input_messages", pa.string()),
        ("output_messages", pa.string()),
        ("system_instructions", pa.string()),
        ("input_text", pa.string()),
        ("output_text", pa.string()),
        ("tool_definitions", pa.string()),
        ("called_tools", _TEXTS),
        ("content_incomplete", pa.bool_()),
        ("norm_source", pa.string()),
    ]
)

REJECTED = pa.schema([("reason", pa.string()), ("detail", pa.string()), ("item", pa.string())])
