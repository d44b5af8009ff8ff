"""The admin app over ASGI. `FakeDaemon` stands in for the composed daemon."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from fake_daemon import REFERENCE, STATUS, TABLE, FakeDaemon, an_app
from retraind.console.daemon import PinReference, Watched
from retraind.console.encode import status_json
from retraind.console.page import render
from retraind.errors import ConfigError, QueryError, StoreUnavailable
from retraind.policy.mutes import MuteRequest
from retraind.receive.auth import Tokens


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
def socket(daemon: FakeDaemon) -> TestClient:
    return TestClient(an_app(daemon, trusted=True))


@pytest.fixture
def tcp(daemon: FakeDaemon, tmp_path: Path) -> TestClient:
    (tmp_path / "token").write_text("s3cret\n")
    tokens = Tokens(tmp_path / "token")
    return TestClient(an_app(daemon, tokens=tokens))


LOCKED = [
    ("POST", "/-/reload"),
    ("POST", "/api/v1/sql"),
    ("GET", "/api/v1/references"),
    ("POST", "/api/v1/references"),
    ("GET", "/api/v1/references/ref_1"),
    ("GET", "/api/v1/mutes"),
    ("POST", "/api/v1/mutes"),
    ("DELETE", "/api/v1/mutes"),
    ("DELETE", "/api/v1/mutes/ref_1"),
    ("GET", "/api/v1/holds"),
    ("DELETE", "/api/v1/holds/ref_1"),
    ("POST", "/api/v1/references/ref_1/accept"),
    ("GET", "/api/v1/references/ref_1/diff"),
    ("GET", "/api/v1/triggers"),
    ("GET", "/api/v1/episodes"),
    ("GET", "/api/v1/episodes/ref_1"),
    ("GET", "/api/v1/explain"),
    ("GET", "/api/v1/webhooks"),
    ("POST", "/api/v1/webhooks/retry"),
    ("POST", "/api/v1/webhooks/test"),
]
OPEN = ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/api/v1/openapi.json"]


@pytest.mark.parametrize(("method", "path"), LOCKED)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic s3cret", "Bearer ", "s3cret"])
def test_over_tcp_the_rest_needs_the_token(
    tcp: TestClient, daemon: FakeDaemon, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = tcp.request(method, path, headers=headers, content=b"{}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "error" in answer.json()
    assert daemon.calls == []


@pytest.mark.parametrize(("method", "path"), LOCKED)
def test_without_a_configured_token_tcp_can_change_nothing(
    daemon: FakeDaemon, method: str, path: str
) -> None:
    client = TestClient(an_app(daemon))
    answer = client.request(method, path, headers={"authorization": "Bearer "})
    assert answer.status_code == 403
    assert "admin.token_file" in answer.json()["error"]
    assert daemon.calls == []


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_needs_no_token(tcp: TestClient, path: str) -> None:
    assert tcp.get(path).status_code == 200


def test_the_token_opens_the_rest(tcp: TestClient, daemon: FakeDaemon) -> None:
    answer = tcp.post("/-/reload", headers={"authorization": "Bearer s3cret"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"reloaded": True, "restart_needed": ["admin.endpoint"]},
    )
    assert daemon.calls == [("reload",)]


def test_metrics_speak_what_prometheus_asks_for(socket: TestClient) -> None:
    plain = socket.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    answer = socket.get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert "retraind_commits" in names


def test_not_ready_says_why(socket: TestClient, daemon: FakeDaemon) -> None:
    assert socket.get("/-/ready").json() == {"ready": True, "reasons": []}
    daemon.reasons = ["disk low: 3 MiB free"]
    answer = socket.get("/-/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["disk low: 3 MiB free"]}
    assert socket.get("/-/healthy").status_code == 200
    assert "disk low: 3 MiB free" in socket.get("/").text


def test_a_bad_configuration_is_reported_on_reload(socket: TestClient, daemon: FakeDaemon) -> None:
    daemon.error = ConfigError("retraind.yaml:1:1: tick: wrong")
    answer = socket.post("/-/reload")
    assert answer.status_code == 400
    assert answer.json() == {"error": "retraind.yaml:1:1: tick: wrong"}


def test_sql_as_json(socket: TestClient, daemon: FakeDaemon) -> None:
    answer = socket.post("/api/v1/sql", json={"sql": "select 1"})
    assert daemon.calls == [("sql", "select 1")]
    body = answer.json()
    assert body["truncated"] is True
    assert [column["name"] for column in body["columns"]] == TABLE.column_names
    assert body["rows"] == [
        {
            "at": "2023-11-14T22:13:20.123456789Z", "n": 2**60, "total": 7, "x": None,
            "blob": "00ff", "times": ["2023-11-14T22:13:20Z"],
        },
        {"at": None, "n": 1, "total": 0.5, "x": 0.25, "blob": None, "times": []},
    ]  # fmt: skip


def test_sql_as_arrow(socket: TestClient) -> None:
    accept = {"accept": "application/vnd.apache.arrow.stream"}
    answer = socket.post("/api/v1/sql", json={"sql": "select 1"}, headers=accept)
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert answer.headers["x-truncated"] == "true"
    assert pa.ipc.open_stream(answer.content).read_all().schema == TABLE.schema


@pytest.mark.parametrize(
    ("error", "status"),
    [(QueryError("not allowed"), 400), (StoreUnavailable("disk full"), 503)],
)
def test_failed_queries(
    socket: TestClient, daemon: FakeDaemon, error: Exception, status: int
) -> None:
    daemon.error = error
    answer = socket.post("/api/v1/sql", json={"sql": "select 1"})
    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/api/v1/sql", b"", 400),
        ("/api/v1/sql", b"[1]", 400),
        ("/api/v1/sql", b'{"sql": 5}', 400),
        ("/api/v1/sql", b'{"sql": "' + b"x" * 2**20 + b'"}', 413),
        ("/api/v1/webhooks/retry", b"{}", 400),
        ("/api/v1/webhooks/retry", b'{"trigger_id": "none"}', 404),
        ("/api/v1/webhooks/test", b'{"destination": "none"}', 404),
        ("/api/v1/references", b"not arrow", 400),
        ("/api/v1/references?bogus=1", b"", 400),
        ("/api/v1/references?start_ns=x", b"", 400),
        ("/api/v1/references?force=1", b"", 400),
        ("/api/v1/references?propose=1", b"", 400),
        ("/api/v1/references/ref_1/accept?bogus=1", b"", 400),
        ("/nowhere", b"", 404),
        ("/-/healthy", b"", 405),
    ],
)
def test_bad_requests_are_json_errors(
    socket: TestClient, path: str, content: bytes, status: int
) -> None:
    answer = socket.post(path, content=content)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_references(socket: TestClient, daemon: FakeDaemon) -> None:
    assert socket.get("/api/v1/references").json() == {"references": [REFERENCE]}
    assert socket.get("/api/v1/references/ref_1").json() == {"id": "ref_1"}
    assert socket.get("/api/v1/references/x").status_code == 404
    answer = socket.post("/api/v1/references?monitor=m&model=a&start_ns=5")
    pinned = REFERENCE | {"id": "ref_2"}
    assert answer.json() == {"references": [pinned], "notes": ["left out: one"]}
    socket.post("/api/v1/references?force=true&propose=true&by=ana")
    assert daemon.calls == [
        ("pin", PinReference(monitor="m", model="a", start_ns=5)),
        ("pin", PinReference(force=True, propose=True, by="ana")),
    ]


def test_references_are_accepted_and_compared(socket: TestClient, daemon: FakeDaemon) -> None:
    answer = socket.post("/api/v1/references/ref_1/accept?by=ana")
    assert answer.json() == {"references": [REFERENCE]}
    assert socket.get("/api/v1/references/ref_1/diff").json()["other"] == "current"
    assert socket.get("/api/v1/references/ref_1/diff?with=ref_2").json()["other"] == "ref_2"
    calls = [("accept", "ref_1", "ana"), ("compare", "ref_1", None), ("compare", "ref_1", "ref_2")]
    assert daemon.calls == calls


def test_a_reference_is_pinned_from_rows(socket: TestClient, daemon: FakeDaemon) -> None:
    table = pa.table({"input_tokens": [1, 2, 3]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = socket.post(
        "/api/v1/references?source=train.jsonl", content=sink.getvalue().to_pybytes()
    )
    assert answer.status_code == 200
    ((_, request),) = daemon.calls
    assert request.table == table
    assert request.source == "train.jsonl"


def test_webhooks_and_triggers(socket: TestClient, daemon: FakeDaemon) -> None:
    (row,) = socket.get("/api/v1/webhooks").json()["deliveries"]
    assert row["next_attempt_at"] == "2023-11-14T22:13:20.000Z"
    assert row["last_error"] == "secret answer"
    retry = {"trigger_id": "rt_1", "destination": "hook"}
    assert socket.post("/api/v1/webhooks/retry", json=retry).json() == {"scheduled": 1}
    again = retry | {"delivered": True}
    assert socket.post("/api/v1/webhooks/retry", json=again).json() == {"scheduled": 1}
    assert socket.post("/api/v1/webhooks/retry", json=retry | {"delivered": 1}).status_code == 400
    test = socket.post("/api/v1/webhooks/test", json={"destination": "hook"})
    assert test.json()["status"] == 204
    assert socket.get("/api/v1/triggers?limit=5").json() == {"triggers": [{"id": "rt_1"}]}
    assert socket.get("/api/v1/triggers?limit=0").status_code == 400
    retries = [("retry", "rt_1", "hook", asked) for asked in (False, True)]
    assert daemon.calls == [*retries, ("test", "hook"), ("triggers", 5)]


MUTE = {"monitor": "m", "for": "1h30m", "reason": "load test"}


def test_mutes(socket: TestClient, daemon: FakeDaemon) -> None:
    assert socket.get("/api/v1/mutes").json()["mutes"][0]["created_by"] == "ann"
    answer = socket.post("/api/v1/mutes", json={**MUTE, "cohort": "", "by": "ann"})
    assert answer.json() == {"id": "mute_2", "ends_at": "2023-11-15T22:13:20Z", "alarms": 3}
    socket.post("/api/v1/mutes", json={**MUTE, "feature": "cost"})
    assert socket.delete("/api/v1/mutes/mute_1?by=ann").json() == {"ended": ["mute_1"]}
    socket.delete("/api/v1/mutes")
    assert daemon.calls == [
        ("mute", MuteRequest("m", None, None, None, "", None, 5400, "load test", "ann")),
        ("mute", MuteRequest("m", None, None, None, None, "cost", 5400, "load test", "api")),
        ("unmute", "mute_1", "ann"),
        ("unmute", None, "api"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {}, MUTE | {"for": "soon"}, MUTE | {"for": 3}, MUTE | {"reason": " "},
        MUTE | {"reason": "x" * 1001}, MUTE | {"colour": "red"}, MUTE | {"model": 5},
        {key: MUTE[key] for key in ("monitor", "for")},
    ],
)  # fmt: skip
def test_a_mute_without_sense_is_refused(
    socket: TestClient, daemon: FakeDaemon, body: dict[str, object]
) -> None:
    answer = socket.post("/api/v1/mutes", json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert daemon.calls == []


def test_holds(socket: TestClient, daemon: FakeDaemon) -> None:
    (hold,) = socket.get("/api/v1/holds").json()["holds"]
    assert (hold["kind"], hold["cause"], hold["waiting"]) == ("deploy", "bot 2 is new", 1)
    assert hold["expires_at"] == "2023-11-14T22:13:20.000Z"
    assert socket.delete("/api/v1/holds/hold_?by=ann").json() == {"released": "hold_1"}
    assert daemon.calls == [("release", "hold_", "ann")]


def test_status_is_plain_json_without_what_receivers_answered(socket: TestClient) -> None:
    answer = socket.get("/api/v1/status")
    body = answer.json()
    assert body["ready"] is True
    assert body["started_at"] == "2023-11-14T22:13:20.000Z"
    assert body["series"][0]["states"] == {"input_tokens": "firing", "cost": "ok"}
    assert body["series"][0]["series"]["cohort"] == "premium"
    assert "secret answer" not in answer.text


def test_the_page_escapes_and_shows_everything(socket: TestClient) -> None:
    answer = socket.get("/")
    page = answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in page
    assert "bot&lt;script&gt;" in page
    for text in ("ready", "12,345", "17.25", "firing", "0.3142", "rt_1", "hook", "drift"):
        assert text in page
    assert "secret answer" not in page
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_page_shows_what_was_decided_first_and_few_windows() -> None:
    status = replace(STATUS, windows=STATUS.windows * 23)
    page = render(status_json(status, []))
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert heads == [
        "Ingest", "Triggers", "Muted", "Holds", "Deliveries", "Series", "Last windows",
    ]  # fmt: skip
    assert "load &lt;test&gt;" in page
    assert "Muted" not in render(status_json(replace(STATUS, mutes=(), holds=()), []))
    assert page.count("0.3142") == 20
    assert "And 3 more" in page
    assert "more" not in render(status_json(STATUS, []))


def test_the_description_names_every_route(socket: TestClient) -> None:
    described = socket.get("/api/v1/openapi.json").json()
    paths = described["paths"]
    for method, path in LOCKED:
        operation = paths[path.replace("ref_1", "{id}")][method.lower()]
        assert operation["security"] == [{"token": []}]
    for path in OPEN[1:-1]:
        assert "security" not in paths[path]["get"]
    json.dumps(described)


def test_erase_takes_a_user_or_a_trace() -> None:
    daemon = FakeDaemon()
    client = TestClient(an_app(daemon, trusted=True))
    answer = client.post("/api/v1/erase", json={"user": "alice"})
    assert answer.json() == {"files": 1, "rows": {"spans": 2}, "datasets": []}
    client.post("/api/v1/erase", json={"trace": "ab" * 16})
    assert daemon.calls == [("erase", "alice", None), ("erase", None, "ab" * 16)]
    for body in ({}, {"user": "a", "trace": "b"}, {"user": ""}, {"users": "a"}):
        assert client.post("/api/v1/erase", json=body).status_code == 400
    assert len(daemon.calls) == 2


def test_episodes_and_explanations(socket: TestClient, daemon: FakeDaemon) -> None:
    assert socket.get("/api/v1/episodes?limit=3").json()["episodes"][0]["id"] == "ep_1"
    assert socket.get("/api/v1/episodes?limit=0").status_code == 400
    assert socket.get("/api/v1/episodes/ep_1").json()["episode"]["id"] == "ep_1"
    assert socket.get("/api/v1/episodes/ep_9").status_code == 404
    assert socket.get("/api/v1/explain?monitor=m&feature=intent").status_code == 200
    assert socket.get("/api/v1/explain?colour=red").status_code == 400
    asked = [call for call in daemon.calls if call[0] in ("episodes", "explain")]
    assert asked == [("episodes", 3), ("explain", Watched(monitor="m", feature="intent"))]
