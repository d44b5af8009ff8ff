"""Decode + normalise against the official parser and a Python walk, in CPU time on one core.

The walk below is how one would write it by hand: it produces the same columns of the same payload
with no regard for corners (nested values, coercion, duplicate keys, invalid text), so the ratio is
a lower bound. Run: `python -m tests.bench.decode`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from retraind.decode import decode_traces
from retraind.normalise import normalise_traces
from retraind.normalise.conventions import COLUMNS
from retraind.normalise.schema import EVALUATIONS, SPANS

from .payload import requests

REQUESTS, SPANS_PER_REQUEST, GROUP, ROUNDS = 16, 512, 8, 5
KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]
STATUS = ["unset", "ok", "error"]
KEY_COLUMNS = {
    source.key: column.name
    for column in reversed(COLUMNS)
    for source in reversed(column.sources)
    if source.path.plain and source.when is None and not source.operation
}


def plain(value: Any) -> Any:
    """An AnyValue as a Python value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
    return getattr(value, kind) if kind else None


def walk(payloads: list[bytes]) -> tuple[pa.Table, pa.Table]:
    """Spans and evaluations of the requests, span by span and attribute by attribute."""
    columns: dict[str, list[Any]] = {name: [] for name in SPANS.names}
    results: dict[str, list[Any]] = {name: [] for name in EVALUATIONS.names}
    for raw in payloads:
        for group in ExportTraceServiceRequest.FromString(raw).resource_spans:
            resource = {pair.key: plain(pair.value) for pair in group.resource.attributes}
            shared = {
                "resource": json.dumps(resource, separators=(",", ":")),
                "service_name": resource.get("service.name"),
                "service_version": resource.get("service.version"),
                "release": resource.get("service.version"),
                "environment": resource.get("deployment.environment.name"),
            }
            for scope in group.scope_spans:
                named = {"scope_name": scope.scope.name, "scope_version": scope.scope.version}
                for span in scope.spans:
                    row = shared | named | walk_span(span)
                    for name, values in columns.items():
                        values.append(row.get(name))
                    walk_evaluations(span, row, results)
    return pa.table(columns, schema=SPANS), pa.table(results, schema=EVALUATIONS)


def walk_span(span: Any) -> dict[str, Any]:
    """One span as a row."""
    row: dict[str, Any] = {
        "trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None, "name": span.name,
        "kind": KINDS[span.kind], "status": STATUS[span.status.code],
        "status_message": span.status.message or None,
        "start_time": span.start_time_unix_nano or None,
        "duration_ns": span.end_time_unix_nano - span.start_time_unix_nano,
        "trace_state": span.trace_state or None, "flags": span.flags,
        "dropped_attributes_count": span.dropped_attributes_count,
    }  # fmt: skip
    rest, sources = {}, {}
    for pair in span.attributes:
        column = KEY_COLUMNS.get(pair.key)
        if column is None or column in row:
            rest[pair.key] = plain(pair.value)
        else:
            row[column], sources[column] = plain(pair.value), pair.key
    row["convention"] = "otel_genai"
    for name, role in (("input", "user"), ("output", "assistant")):
        row[f"{name}_text"] = text_of(row.get(f"{name}_messages"), role)
    row["attributes"] = json.dumps(rest, separators=(",", ":")) if rest else None
    row["norm_source"] = json.dumps(sources, separators=(",", ":")) if sources else None
    if span.events:
        row["events"] = json.dumps([walk_event(event) for event in span.events])
    if span.links:
        row["links"] = json.dumps([{"trace_id": link.trace_id.hex()} for link in span.links])
    return row


def text_of(messages: str | None, role: str) -> str | None:
    """The text of the first message of a role."""
    for message in json.loads(messages or "[]"):
        if message["role"] == role:
            return "\n".join(part["content"] for part in message["parts"] if part["type"] == "text")
    return None


def walk_event(event: Any) -> dict[str, Any]:
    """One event as JSON."""
    return {
        "time": event.time_unix_nano,
        "name": event.name,
        "attributes": {pair.key: plain(pair.value) for pair in event.attributes},
        "dropped_attributes_count": event.dropped_attributes_count,
    }


def walk_evaluations(span: Any, row: dict[str, Any], results: dict[str, list[Any]]) -> None:
    """The evaluation results of one span."""
    for event in span.events:
        if event.name != "gen_ai.evaluation.result":
            continue
        found = {pair.key: plain(pair.value) for pair in event.attributes}
        label = found.get("gen_ai.evaluation.score.label")
        result = {
            "time": event.time_unix_nano, "trace_id": row["trace_id"], "span_id": row["span_id"],
            "response_id": row.get("response_id"), "name": found["gen_ai.evaluation.name"],
            "score": found.get("gen_ai.evaluation.score.value"), "label": label,
            "passed": {"pass": True, "fail": False}.get(label or ""), "kind": "automated",
            "source": "event:otel_genai",
        }  # fmt: skip
        for name, values in results.items():
            values.append(result.get(name))


def columnar(payloads: list[bytes]) -> tuple[pa.Table, pa.Table]:
    """The daemon's way."""
    result = normalise_traces(decode_traces(payloads), attribute_limit=1024)
    return result.spans, result.evaluations


def rate(work: Callable[[list[bytes]], Any], payloads: list[bytes], rounds: int) -> float:
    """Spans per CPU second, the best of a few rounds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for first in range(0, len(payloads), GROUP):
            work(payloads[first : first + GROUP])
        best = min(best, time.process_time() - started)
    return len(payloads) * SPANS_PER_REQUEST / best


def run(rounds: int = ROUNDS) -> dict[str, float]:
    """Both rates (spans per CPU second), their ratio and the payload's size."""
    payloads = requests(REQUESTS, SPANS_PER_REQUEST, seed=3)
    ours, theirs = columnar(payloads[:1]), walk(payloads[:1])
    # Spelled differently: form of times, order of keys, a hash that the walk leaves out.
    skipped = {"events", "norm_source", "fingerprint"}
    for mine, other in zip(ours, theirs, strict=True):
        for name in set(mine.column_names) - skipped:
            if not mine.column(name).combine_chunks().equals(other.column(name).combine_chunks()):
                raise AssertionError(f"the two ways disagree on {name}")
    fast, slow = rate(columnar, payloads, rounds), rate(walk, payloads, rounds)
    size = sum(map(len, payloads)) / len(payloads) / SPANS_PER_REQUEST
    return {
        "bytes_per_span": size,
        "columnar_spans_per_cpu_second": fast,
        "walk_spans_per_cpu_second": slow,
        "ratio": fast / slow,
    }


if __name__ == "__main__":
    for name, number in run().items():
        print(f"{name:32} {number:12,.1f}")
