"""gen_ai log events are kept as sent; other records are counted."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otlp_samples import SPAN_ID, START, TRACE_ID, add_attributes, any_value, encode
from retraind.decode import decode_logs
from retraind.normalise import NormalisedLogs, normalise_logs


def request_of(*records: dict[str, Any]) -> bytes:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    add_attributes(group.resource.attributes, {"service.name": "bot"})
    scope = group.scope_logs.add()
    scope.scope.name = "judge"
    for fields in records:
        plain = {k: v for k, v in fields.items() if k not in {"attributes", "body"}}
        record = scope.log_records.add(**plain)
        add_attributes(record.attributes, fields.get("attributes", {}))
        if "body" in fields:
            record.body.CopyFrom(any_value(fields["body"]))
    return encode(request)


def normalise(*payloads: bytes) -> NormalisedLogs:
    return normalise_logs(decode_logs(payloads))


def test_a_record_is_kept_as_sent() -> None:
    result = normalise(
        request_of(
            {
                "event_name": "gen_ai.evaluation.result", "time_unix_nano": START,
                "trace_id": TRACE_ID, "span_id": SPAN_ID, "severity_number": 9,
                "attributes": {"gen_ai.evaluation.name": "e", "n": 1.0, "l": [1, "x"]},
                "body": {"a": ["b", 2, None]},
            }
        )
    )  # fmt: skip
    assert result.logs.column("time").cast(pa.int64()).to_pylist() == [START]
    (found,) = result.logs.drop_columns(["time"]).to_pylist()
    for name in ("attributes", "body", "resource"):
        found[name] = json.loads(found[name])
    assert found == {
        "trace_id": TRACE_ID.hex(), "span_id": SPAN_ID.hex(), "severity_number": 9,
        "event_name": "gen_ai.evaluation.result", "service_name": "bot", "environment": None,
        "attributes": {"gen_ai.evaluation.name": "e", "n": 1.0, "l": [1, "x"]},
        "body": {"a": ["b", 2, None]}, "resource": {"service.name": "bot"},
        "scope_name": "judge", "scope_version": None,
    }  # fmt: skip


def test_the_event_name_is_looked_for_in_three_places_and_others_are_dropped() -> None:
    first = request_of(
        {"event_name": "gen_ai.a", "attributes": {"event.name": "gen_ai.z"}},
        {"attributes": {"event.name": "gen_ai.b", "event_name": "gen_ai.z"}},
        {"attributes": {"event_name": "gen_ai.c"}, "body": 'say "hi"'},
        {"event_name": "http", "attributes": {"event.name": "gen_ai.z"}},
        {"body": "plain"},
    )
    result = normalise(first, b"", request_of({"body": "x"}, {"event_name": "gen_ai.d"}))
    assert result.logs.column("event_name").to_pylist() == [f"gen_ai.{c}" for c in "abcd"]
    assert result.log_request.tolist() == [0, 0, 0, 2]
    assert result.dropped.tolist() == [2, 0, 1]
    assert result.logs.column("body").to_pylist() == [None, None, '"say \\"hi\\""', None]


@pytest.mark.parametrize(
    ("record", "incomplete"),
    [
        ({"attributes": {"gen_ai.input.messages": '[{"role":"user","par'}}, True),
        ({"attributes": {"gen_ai.tool.call.arguments": '{"city": "Par'}}, True),
        ({"attributes": {"gen_ai.conversation.id": "c"}, "dropped_attributes_count": 1}, True),
        ({"dropped_attributes_count": 1}, True),
        ({"attributes": {"gen_ai.conversation.id": "c"}}, None),
        ({"event_name": "gen_ai.user.message", "body": '{"content": "h'}, True),
        ({"event_name": "gen_ai.choice", "body": {"message": "[hi"}}, None),
        (
            {
                "event_name": "gen_ai.user.message",
                "attributes": {"gen_ai.event.content": '{"content": "h'},
            },
            True,
        ),
        (
            {
                "event_name": "gen_ai.user.message", "body": {"content": "hi"},
                "dropped_attributes_count": 2,
            },
            True,
        ),
    ],
)  # fmt: skip
def test_a_record_that_came_incomplete_is_marked(
    record: dict[str, Any], incomplete: bool | None
) -> None:
    whole = {"event_name": "gen_ai.client.inference.operation.details"}
    ids = {"trace_id": TRACE_ID, "span_id": SPAN_ID, "time_unix_nano": START}
    (found,) = normalise(request_of(whole | ids | record)).details.to_pylist()
    assert found["content_incomplete"] is incomplete


def test_invalid_ids_and_times_become_null() -> None:
    result = normalise(
        request_of(
            {"event_name": "gen_ai.x", "trace_id": b"short", "span_id": bytes(8)},
            {"event_name": "gen_ai.x", "observed_time_unix_nano": 7},
            {"event_name": "gen_ai.x", "time_unix_nano": 2**63, "observed_time_unix_nano": 7},
        )
    )
    assert result.logs.column("trace_id").null_count == 3
    assert result.logs.column("span_id").null_count == 3
    assert result.logs.column("time").cast(pa.int64()).to_pylist() == [None, 7, None]
