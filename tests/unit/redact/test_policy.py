"""Policies of fields: what of a request reaches the rows."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from builders import a_request, a_span, attribute
from retraind.config.settings import Content
from retraind.errors import ConfigError
from retraind.model import WriteBatch
from retraind.receive import batches
from retraind.redact import from_settings, redact_text
from retraind.redact.policy import problems

NOW_NS = 1_780_000_000_000_000_000
KEY = b"0123456789abcdef0123456789abcdef"
MAIL = "bob@example.com"
INPUT = [
    {"role": "system", "parts": [{"type": "text", "content": "serve well"}]},
    {"role": "user", "parts": [{"type": "text", "content": f"I am {MAIL}"}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "earlier answer"}]},
    {"role": "user", "parts": [{"type": "text", "content": "go on"}]},
]
OUTPUT = [{"role": "assistant", "parts": [{"type": "text", "content": "new answer"}]}]
SENT: dict[str, object] = {
    "gen_ai.input.messages": json.dumps(INPUT),
    "gen_ai.output.messages": json.dumps(OUTPUT),
    "user.id": MAIL,
    "metadata": json.dumps({"user_id": MAIL, "tier": "gold"}),
    "app.note": f"of {MAIL}",
    "input.value": "I am a copy",
}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    return path


def rows(table: str = "spans", sent: dict[str, object] = SENT, **content: Any) -> list[Any]:
    """What is stored of one span (and of a rejected copy) under a policy."""
    policy = from_settings(Content(**content))
    span = a_span(1, start_ns=NOW_NS, attributes=sent)
    event = span.events.add(name="gen_ai.user.message")
    event.attributes.append(attribute("content", f"I am {MAIL}"))
    span.events.add(name="other").attributes.append(attribute("kept", "as it is"))
    rejected = a_span(2, start_ns=NOW_NS, attributes=sent)
    rejected.span_id = b""
    body = a_request([span, rejected]).SerializeToString()
    batch: WriteBatch = batches.decode(
        "traces", [body], [b"d"], received_at_ns=NOW_NS, attribute_limit=99, policy=policy
    ).batch
    found: list[Any] = getattr(batch, table).to_pylist()
    return found


def test_by_default_there_is_no_policy() -> None:
    assert from_settings(Content()) is None
    assert from_settings(Content(fields={"user_id": "keep"})) is None
    assert redact_text(None, MAIL) == MAIL


def test_a_hash_is_keyed_and_the_same_everywhere(key_file: Path) -> None:
    expected = hmac.new(KEY, MAIL.encode(), hashlib.sha256).hexdigest()[:16]
    for default in ("keep", "redact"):
        (row,) = rows(default=default, fields={"user_id": "hash"}, key_file=key_file)
        assert row["user_id"] == expected
    (row,) = rows(fields={"user_id": "hash"}, key_file=key_file)
    assert json.loads(row["metadata"]) == {"user_id": expected, "tier": "gold"}
    (row,) = rows(sent={"metadata.user_id": MAIL}, fields={"user_id": "hash"}, key_file=key_file)
    assert MAIL not in json.dumps(row, default=str).replace(f"I am {MAIL}", "")
    (row,) = rows(sent={"enduser.id": 77}, fields={"user_id": "hash"}, key_file=key_file)
    assert "77" not in str(row["user_id"]) + str(row["attributes"])


def test_dropping_input_drops_all_it_came_from_and_nothing_else() -> None:
    (row,) = rows(fields={"input_text": "drop"})
    (kept,) = rows()
    assert (row["input_text"], row["input_messages"]) == (None, None)
    assert row["output_text"] == "new answer"
    assert row["fingerprint"] == kept["fingerprint"] is not None
    assert row["norm_source"] == kept["norm_source"]
    events = json.loads(row["events"])
    assert [event["attributes"] for event in events] == [{}, {"kept": "as it is"}]
    everything = json.dumps(row, default=str)
    for said in ("go on", "I am", "copy"):
        assert said not in everything
    assert json.loads(row["attributes"])["app.note"] == f"of {MAIL}"


def test_dropped_text_leaves_keyed_hashes_of_its_words(key_file: Path) -> None:
    sent = {"gen_ai.output.messages": json.dumps(OUTPUT).replace("new answer", "No, NO Füße!")}
    (row,) = rows(sent=sent, fields={"output": "drop"}, key_file=key_file)
    no, feet = (
        int(hmac.new(KEY, word.encode(), hashlib.sha256).hexdigest()[:16], 16)
        for word in ("no", "füsse")
    )
    assert row["output_token_hashes"] == sorted([no, no, feet])
    assert row["input_token_hashes"] is None
    (row,) = rows(sent=sent, fields={"output": "drop"})
    assert row["output_token_hashes"] is None


def test_dropping_system_or_output_cuts_them_out_of_the_conversation() -> None:
    (row,) = rows(fields={"system": "drop"})
    assert "serve well" not in json.dumps(row, default=str)
    assert json.loads(row["input_messages"]) == INPUT[1:]
    (row,) = rows(fields={"output": "drop"})
    assert "answer" not in json.dumps(row, default=str)
    assert row["input_text"] == "go on"


def test_a_field_is_redacted_alone() -> None:
    (row,) = rows(fields={"input": "redact"})
    assert "I am [REDACTED:email]" in row["input_messages"]
    assert row["user_id"] == MAIL
    (row,) = rows(fields={"user_id": "keep"}, default="redact")
    assert row["user_id"] == MAIL
    assert json.loads(row["attributes"])["app.note"] == "of [REDACTED:email]"


def test_an_attribute_has_a_policy_of_its_own(key_file: Path) -> None:
    fields = {
        'attributes["app.note"]': "drop",
        'attributes["user.id"]': "hash",
        'resource["service.name"]': "truncate",
    }
    (row,) = rows(fields=fields, key_file=key_file, truncate_bytes=3)
    assert "app.note" not in json.loads(row["attributes"] or "{}")
    assert row["user_id"] == hmac.new(KEY, MAIL.encode(), hashlib.sha256).hexdigest()[:16]
    assert row["service_name"] == "rag"


def test_truncation_ends_between_characters_and_leaves_messages_messages() -> None:
    sent = {"gen_ai.output.messages": json.dumps(OUTPUT).replace("new", "nüü")}
    (row,) = rows(sent=sent, fields={"output": "truncate"}, truncate_bytes=4)
    assert row["output_text"] == "nü"
    parts = [{"type": "text", "content": "nü"}]
    assert json.loads(row["output_messages"])[0] == {"role": "assistant", "parts": parts}


@pytest.mark.parametrize("action", ["truncate", "hash", "redact", "drop"])
def test_what_cannot_be_read_as_json_is_no_error(key_file: Path, action: str) -> None:
    deep = "[" * 900 + f'"{MAIL}"' + "]" * 900
    call = {"type": "tool_call", "id": "1", "name": "f", "arguments": json.loads(deep)}
    sent: dict[str, object] = {
        "gen_ai.tool.definitions": f"no JSON of {MAIL}",
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [call]}]),
        "llm.invocation_parameters": '{"system": "cut',
    }
    fields = dict.fromkeys(("tools", "output", "system"), action)
    (row,) = rows(sent=sent, fields=fields, key_file=key_file, truncate_bytes=4)
    said = json.dumps([row[name] for name in ("tool_definitions", "output_messages", "attributes")])
    assert MAIL not in said


def test_rejected_items_keep_no_values_of_fields() -> None:
    (row,) = rows("quarantine", fields={"input_text": "drop"})
    item = json.loads(row["item"])
    assert item["attributes"]["user.id"] is None
    assert len(item["trace_id"]) == 32
    (row,) = rows("quarantine", default="redact")
    assert "[REDACTED:email]" in row["item"]
    assert MAIL not in row["item"]


def test_an_undecodable_request_leaves_no_bytes() -> None:
    policy = from_settings(Content(default="redact"))
    batch = batches.undecodable("traces", MAIL.encode(), NOW_NS, f"not {MAIL}", policy)
    assert batch.quarantine is not None
    (row,) = batch.quarantine.to_pylist()
    assert (row["payload"], row["detail"]) == (None, "not [REDACTED:email]")


def test_logs_follow_the_policy_of_their_columns() -> None:
    policy = from_settings(Content(fields={"input_text": "drop"}))
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for name in ("gen_ai.user.message", "gen_ai.choice"):
        record = records.add(event_name=name, trace_id=b"t" * 16, span_id=b"s" * 8)
        record.body.kvlist_value.values.append(attribute("content", f"said in {name}"))
    details = records.add(
        event_name="gen_ai.client.inference.operation.details",
        trace_id=b"t" * 16, span_id=b"s" * 8,
    )  # fmt: skip
    details.attributes.append(attribute("gen_ai.input.messages", json.dumps(INPUT)))
    details.attributes.append(attribute("gen_ai.response.id", "r1"))
    batch = batches.decode(
        "logs", [request.SerializeToString()], [b"d"], received_at_ns=NOW_NS, attribute_limit=9,
        policy=policy,
    ).batch  # fmt: skip
    assert batch.logs is not None
    bodies = batch.logs["body"].to_pylist()
    assert bodies == [None, '{"content":"said in gen_ai.choice"}', None]
    assert json.loads(batch.logs["attributes"].to_pylist()[2]) == {"gen_ai.response.id": "r1"}
    stored = json.dumps([batch.logs.to_pylist(), batch.span_details.to_pylist()], default=str)
    assert "go on" not in stored
    assert "said in gen_ai.user" not in stored


def test_text_of_the_api_follows_its_field() -> None:
    policy = from_settings(
        Content(default="redact", fields={"explanation": "truncate"}, truncate_bytes=4)
    )
    assert redact_text(policy, MAIL, "explanation") == "bob@"
    assert redact_text(policy, MAIL, "correction") == "[REDACTED:email]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"fields": {"inptu": "drop"}}, "is no field"),
        ({"fields": {"input_tokens": "hash"}}, "is no text"),
        ({"fields": {"trace_id": "drop"}}, "is no field"),
        ({"fields": {"user_id": "hash"}}, "needs a key"),
        ({"extra_patterns": {"x": "("}, "default": "redact"}, "is not an RE2 expression"),
    ],
)
def test_what_is_wrong_is_said(content: dict[str, Any], said: str) -> None:
    assert any(said in text for _, text in problems(Content(**content)))


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    with pytest.raises(ConfigError, match="at least 16"):
        from_settings(Content(fields={"user_id": "hash"}, key_file=tmp_path / "key"))
