"""Secrets sent in every place a text can be are in no file, log line or delivery."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from acceptance_harness import JSON, LOGS, PROTOBUF, Receiver, cli, post, secret_file
from builders import HOUR_NS, a_request, a_span
from harness import Daemon, eventually, plain_http
from retraind.console.encode import dumps
from retraind.console.encode import rows as plain_rows
from retraind.store.sql import open_stopped, run_sql
from traffic import NOW_NS, an_hour

SECRETS = {
    "email": "alice.liddell@wonderland.example",
    "phone": "+49 30 90182024",
    "card": "4539578763621486",
    "ipv4": "203.0.113.77",
    "ipv6": "2001:db8:85a3::8a2e:370:7334",
    "openai": "sk-proj-Zq3vT8mWc1LrXy7NbKd5",
    "github": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "aws": "AKIAQYLPMN5HHHFPZAM2",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.TCYt5XsITJX1CxPCT8yAV-TVkIEq_PbChOMqsLfRoPs",
    "bearer": "Bearer 7fA9q2LmX0cRt5VbN8",
}
KINDS = ("grpc", "protobuf", "json")
HOURS = 8
HOUR_BEGIN_NS = NOW_NS - 20 * HOUR_NS


def escaped(text: str) -> str:
    """JSON in which every character is escaped."""
    return '{"note":"' + "".join(f"\\u{ord(char):04x}" for char in text) + '"}'


def forms(text: str) -> list[str]:
    """The secret in texts of its own kind, in JSON, in base64 at each alignment, nested."""
    inner = json.dumps({"say": f"to {text} now\n"})
    return [
        f"hello {text}!",
        inner,
        json.dumps({"inner": inner, "list": [inner]}),
        escaped(text),
        json.dumps({"outer": escaped(text)}),
        '{"cut": "about ' + text + " and",
        *(base64.b64encode(b"x" * i + b" " + text.encode() + b" y").decode() for i in range(3)),
        "data:text/plain;base64," + base64.urlsafe_b64encode(f"?{text}".encode()).decode(),
        base64.encodebytes(b"mime " * 20 + text.encode() + b" end").decode(),
        json.dumps({"file": base64.b64encode(inner.encode()).decode()}),
        base64.b64encode(base64.b64encode(f"to {text}".encode())).decode(),
    ]


def values(text: str) -> Iterator[AnyValue]:
    """Every kind of value that can hold it."""
    for form in forms(text):
        yield AnyValue(string_value=form)
        yield AnyValue(bytes_value=form.encode())
    yield AnyValue(bytes_value=b"\xff\xfe " + text.encode() + b" \x00")
    nested = [AnyValue(string_value=text), AnyValue(bytes_value=text.encode())]
    yield AnyValue(array_value=ArrayValue(values=nested))
    deep = KeyValue(key=text, value=AnyValue(array_value=ArrayValue(values=nested)))
    yield AnyValue(kvlist_value=KeyValueList(values=[deep]))
    if text.isdigit():
        yield AnyValue(int_value=int(text))
        yield AnyValue(double_value=float(text))
        yield AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=int(text))]))


def attributes(text: str) -> Iterator[KeyValue]:
    for number, value in enumerate(values(text)):
        yield KeyValue(key=f"app.{number}", value=value)
    yield KeyValue(key=f"key {text}", value=AnyValue(bool_value=True))
    conversation = [{"role": "user", "parts": [{"type": "text", "content": f"I am {text}"}]}]
    for key, said in (
        ("gen_ai.input.messages", json.dumps(conversation)),
        ("gen_ai.output.messages", json.dumps(conversation)),
        ("gen_ai.system_instructions", f"You serve {text}"),
        ("gen_ai.tool.definitions", json.dumps([{"name": text}])),
        ("user.id", text),
        ("gen_ai.conversation.id", text),
        ("gen_ai.request.model", f"model {text}"),
    ):
        yield KeyValue(key=key, value=AnyValue(string_value=said))


def traces(text: str, seed: str, *, broken: bool) -> ExportTraceServiceRequest:
    """One span with the secret everywhere; a broken one is rejected and kept in quarantine."""
    rng = random.Random(f"{text}{seed}")
    span = a_span(rng, start_ns=NOW_NS, name=f"chat {text}", attributes={})
    if broken:
        span.span_id = text.encode() if len(text) != 8 else b""
    span.trace_state = f"vendor={text}"
    span.status.message = f"failed for {text}"
    span.attributes.extend(attributes(text))
    for name in (f"event {text}", "gen_ai.user.message", "exception"):
        span.events.add(name=name, attributes=attributes(text), time_unix_nano=NOW_NS)
    judged = span.events.add(name="gen_ai.evaluation.result", time_unix_nano=NOW_NS)
    for key, value in (
        ("gen_ai.evaluation.name", f"quality {text}"),
        ("gen_ai.evaluation.explanation", f"because of {text}"),
        ("gen_ai.evaluation.score.label", "fail"),
    ):
        judged.attributes.add(key=key).value.string_value = value
    span.links.add(
        trace_id=rng.randbytes(16), span_id=rng.randbytes(8), trace_state=f"l={text}",
        attributes=attributes(text),
    )  # fmt: skip
    request = a_request([span], service=f"service {text}", environment=f"env {text}")
    request.resource_spans[0].resource.attributes.extend(attributes(text))
    scope = request.resource_spans[0].scope_spans[0].scope
    scope.name, scope.version = f"scope {text}", f"1 {text}"
    scope.attributes.extend(attributes(text))
    return request


def logs(text: str, seed: str) -> ExportLogsServiceRequest:
    rng = random.Random(f"log {text}{seed}")
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend(attributes(text))
    scope = resource.scope_logs.add()
    scope.scope.name = f"scope {text}"
    bodies = [*values(text), AnyValue(string_value=text)]
    for number, body in enumerate(bodies):
        record = scope.log_records.add(
            time_unix_nano=NOW_NS, trace_id=rng.randbytes(16), span_id=rng.randbytes(8),
            event_name="gen_ai.user.message" if number % 2 else f"gen_ai.{text}",
            severity_text=text, body=body,
        )  # fmt: skip
        record.attributes.extend(attributes(text))
    record = scope.log_records.add(event_name="gen_ai.evaluation.result", trace_id=b"short")
    record.attributes.add(key="gen_ai.evaluation.name").value.string_value = f"q {text}"
    record.attributes.add(key="gen_ai.evaluation.explanation").value.string_value = text
    return request


def otlp_json(message: Any) -> bytes:
    """OTLP/JSON: as protobuf's JSON, but ids in hexadecimal."""
    tree = MessageToDict(message)

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            for key, item in node.items():
                if key in ("traceId", "spanId", "parentSpanId"):
                    node[key] = base64.b64decode(item).hex()
                else:
                    walk(item)

    walk(tree)
    return json.dumps(tree).encode()


def needles(text: str) -> list[bytes]:
    """The secret as it is and in base64 at each alignment, without letters that others share."""
    raw = text.encode()
    found = [raw, raw.hex().encode()]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        found.append(encoded[4 if before else 0 :].rstrip(b"=")[:-1])
    return found + [each.replace(b"+", b"-").replace(b"/", b"_") for each in found[2:]]


def leaks(content: bytes) -> list[str]:
    return [name for name, text in SECRETS.items() if any(n in content for n in needles(text))]


def send(daemon: Daemon, kind: str) -> None:
    for text in SECRETS.values():
        for request, path in (
            (traces(text, kind, broken=False), "/v1/traces"),
            (traces(text, kind, broken=True), "/v1/traces"),
            (logs(text, kind), "/v1/logs"),
        ):
            if kind == "grpc" and path == "/v1/traces":
                daemon.export(request)
            elif kind == "grpc":
                with daemon.channel() as channel:
                    channel.unary_unary(LOGS)(request.SerializeToString(), timeout=20)
            else:
                body = otlp_json(request) if kind == "json" else request.SerializeToString()
                answer = post(daemon, body, JSON if kind == "json" else PROTOBUF, path=path)
                assert answer.status_code == 200, answer.text
        for body, media in ((f'{{"resourceSpans": "{text}', JSON), (f"\n\xff{text}", PROTOBUF)):
            assert post(daemon, body.encode("latin-1"), media).status_code == 400


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Receiver]]:
    """A stopped daemon to which every secret was sent in every way, and what it delivered."""
    folder = tmp_path_factory.mktemp("content")
    with Receiver() as receiver:
        settings = {
            "tick": "100ms",
            "content": {"default": "redact"},
            "monitors": [
                {
                    "name": "all",
                    "features": ["output_tokens"],
                    "window": {"min_sessions": 60, "min_sessions_at_max_length": 20},
                    "policy": {"schedule": "4h", "always": True, "cooldown": "1h"},
                }
            ],
            "destinations": [{"name": "pipeline", "url": receiver.url}],
        }
        with Daemon(folder / "data", settings) as daemon:
            for hour in range(HOURS):
                start_ns = HOUR_BEGIN_NS + hour * HOUR_NS
                daemon.export(an_hour(start_ns, hour, service=f"desk {SECRETS['email']}"))
            for kind in KINDS:
                send(daemon, kind)
            feedback = {"trace_id": "ab" * 16, "span_id": "cd" * 8, "name": "tone"}
            for text in SECRETS.values():
                answer = plain_http.post(
                    f"{daemon.admin}/api/v1/evaluations",
                    json={**feedback, "label": "fail", "explanation": f"says {text}"},
                )
                assert answer.status_code < 300, answer.text
            eventually(lambda: receiver.received, 60)
        yield daemon, receiver


@pytest.mark.timeout(300)
def test_no_file_log_line_or_delivery_has_a_secret(after: tuple[Daemon, Receiver]) -> None:
    daemon, receiver = after
    files = [path for path in daemon.data.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in [*files, daemon.log_file]:
        assert leaks(path.read_bytes()) == [], path.name
    for headers, body in receiver.received:
        assert leaks(json.dumps(headers).encode() + body) == []
    assert any(b"[REDACTED:email]" in body for _, body in receiver.received)


@pytest.mark.timeout(300)
def test_no_stored_value_has_a_secret(after: tuple[Daemon, Receiver]) -> None:
    """Files are compressed: values are read as well."""
    daemon, _ = after
    with open_stopped(daemon.data) as database:

        def read(query: str) -> list[dict[str, Any]]:
            result = run_sql(database, query, timeout_seconds=60, max_rows=100_000)
            found: list[dict[str, Any]] = plain_rows(result.table)
            return found

        names = {
            row["t"] for row in read("select view_name t from duckdb_views() where not internal")
        }
        assert {"stored_spans", "stored_evaluations", "logs", "quarantine", "triggers"} <= names
        seen = b""
        for name in sorted(names):
            content = dumps(read(f'from "{name}"'))
            assert leaks(content) == [], name
            assert leaks(decoded(content)) == [], name
            seen += content
        counts = read(
            "select (select count(*) from stored_spans) s, (select count(*) from logs) l, "
            "(select count(*) from quarantine where reason = 'invalid_span_id') q, "
            "(select count(*) from quarantine where reason = 'undecodable') u"
        )[0]
    sent = len(KINDS) * len(SECRETS)
    assert counts["s"] >= sent
    assert counts["l"] >= sent
    assert counts["q"] == sent
    assert counts["u"] == 2 * sent
    for name in ("email", "phone", "card", "ip", "key"):
        assert f"[REDACTED:{name}]".encode() in seen


def decoded(content: bytes) -> bytes:
    """The content with JSON escapes resolved, twice."""
    text = content.decode()
    for _ in range(2):
        text = text.encode("latin-1", "replace").decode("unicode_escape", "replace")
    return text.encode()


@pytest.mark.timeout(120)
def test_dropped_and_hashed_fields_are_in_no_file(tmp_path: Path) -> None:
    key = secret_file(tmp_path, "0123456789abcdef0123456789abcdef")
    content = {
        "fields": {"input": "drop", "system": "drop", "user_id": "hash"},
        "key_file": str(key),
    }
    with Daemon(tmp_path / "data", {"content": content}) as daemon:
        said = json.dumps(
            [
                {"role": "system", "parts": [{"type": "text", "content": "hidden instructions"}]},
                {"role": "user", "parts": [{"type": "text", "content": "hidden question"}]},
            ]
        )
        for number in range(2):
            spoken = {
                "gen_ai.input.messages": said, "input.value": "hidden question",
                "gen_ai.prompt.0.content": "hidden question", "user.id": "walrus",
                "metadata": '{"user_id": "walrus", "tier": "gold"}',
            }  # fmt: skip
            span = a_span(number, start_ns=NOW_NS, attributes=spoken)
            event = span.events.add(name="gen_ai.user.message")
            event.attributes.add(key="content").value.string_value = "hidden question"
            rejected = a_span(5 + number, start_ns=NOW_NS, attributes=spoken)
            rejected.span_id = b"short"
            daemon.export(a_request([span, rejected]))
        record = ExportLogsServiceRequest()
        logged = (
            record.resource_logs.add()
            .scope_logs.add()
            .log_records.add(event_name="gen_ai.user.message", trace_id=b"t" * 16, span_id=b"s" * 8)
        )
        logged.body.string_value = "hidden question"
        assert post(daemon, record.SerializeToString(), path="/v1/logs").status_code == 200
        found = daemon.sql("select user_id, input_text, fingerprint, metadata from spans")
        assert [row["input_text"] for row in found] == [None, None]
        assert found[0]["user_id"] == found[1]["user_id"]
        assert len(found[0]["user_id"]) == 16
        assert json.loads(found[0]["metadata"])["tier"] == "gold"
        assert found[0]["fingerprint"] is not None
        assert daemon.sql("select count(*) n from quarantine")[0]["n"] == 2
        stored = b"".join(
            json.dumps(daemon.sql(f"from {name}")).encode()
            for name in ("spans", "logs", "quarantine", "span_details")
        )
        assert b"hidden" not in stored
        assert b"walrus" not in stored
        erased = json.loads(cli("erase", "--data", daemon.data, "--user", "walrus", "--yes",
                                "--json").stdout)  # fmt: skip
        assert erased["rows"]["spans"] == 2
        assert daemon.sql("select count(*) n from stored_spans")[0]["n"] == 0
        for number in (3, 4):
            last = a_span(number, start_ns=NOW_NS, attributes={"user.id": f"walrus {number}"})
            daemon.export(a_request([last]))
    stopped = ("erase", "--data", daemon.data, "--yes", "--json", "--config", daemon.config_file)
    assert json.loads(cli(*stopped, "--user", "walrus 3").stdout)["rows"]["spans"] == 1
    trace = last.trace_id.hex()
    assert json.loads(cli(*stopped, "--trace", trace).stdout)["rows"]["spans"] == 1
    assert daemon.sql("select count(*) n from stored_spans") == [{"n": 0}]
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            assert b"hidden" not in path.read_bytes(), path.name
            assert b"walrus" not in path.read_bytes(), path.name
