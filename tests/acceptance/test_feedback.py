"""Feedback and evaluations by API and command line: stored when answered, once, item by item."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from acceptance_harness import cli, secret_file
from builders import a_request, a_span
from harness import Daemon, plain_http

SHOWN = (
    "trace_id, span_id, response_id, session_id, name, score, label, passed, explanation, "
    "correction, evaluator, kind, source"
)


@dataclass(frozen=True)
class Api:
    daemon: Daemon

    def post(self, body: Any, api: str = "feedback", **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return plain_http.post(
            f"{self.daemon.admin}/api/v1/{api}",
            content=content,
            headers={"content-type": "application/json"} | named,
            timeout=30,
        )

    def stored(self, session: str) -> list[dict[str, Any]]:
        """What is stored of a session, without the columns that are empty."""
        query = f"select {SHOWN} from evaluations where session_id = '{session}' order by seq"
        return [
            {k: v for k, v in row.items() if v is not None and k != "session_id"}
            for row in self.daemon.sql(query)
        ]


@pytest.fixture
def api(daemon: Daemon) -> Api:
    return Api(daemon)


def test_every_kind_becomes_a_row(api: Api) -> None:
    said = [
        {"kind": "thumbs", "value": "up", "user": "ann", "comment": "thanks"},
        {"kind": "thumbs", "value": "down"},
        {"kind": "rating", "value": 4},
        {"kind": "rating", "value": 7.5, "scale": 10},
        {"kind": "escalation"},
        {"kind": "escalation", "value": False},
        {"kind": "correction", "value": "It opens at nine.\0"},
        {"kind": "label", "value": "refund"},
        {"kind": "label", "value": "refund", "passed": False},
        {"kind": "label", "value": True},
        {"kind": "label", "value": 0.5},
    ]
    answer = api.post({"items": [{"session_id": "kinds", **item} for item in said]})
    assert answer.status_code == 200
    assert answer.json() == {"accepted": len(said), "rejected": 0, "errors": []}
    human: dict[str, Any] = {"kind": "human", "source": "api:feedback"}
    label = human | {"kind": "label"}
    assert api.stored("kinds") == [
        human | {"name": "thumbs", "score": 1.0, "label": "up", "passed": True,
                 "evaluator": "ann", "explanation": "thanks"},
        human | {"name": "thumbs", "score": 0.0, "label": "down", "passed": False},
        human | {"name": "rating", "score": 0.8, "label": "4/5"},
        human | {"name": "rating", "score": 0.75, "label": "7.5/10"},
        human | {"name": "escalation", "label": "yes", "passed": False},
        human | {"name": "escalation", "label": "no", "passed": True},
        human | {"name": "correction", "correction": "It opens at nine.\0"},
        label | {"name": "label", "label": "refund"},
        label | {"name": "label", "label": "refund", "passed": False},
        label | {"name": "label", "label": "true"},
        label | {"name": "label", "label": "0.5"},
    ]  # fmt: skip


def test_evaluations_have_the_columns_of_the_table(api: Api) -> None:
    whole = {
        "session_id": "judged", "trace_id": "AB" * 16, "span_id": "cd" * 8, "response_id": "r-1",
        "time": "2026-02-03T04:05:06.789012+01:00", "name": "groundedness", "score": 0.25,
        "label": "partly", "passed": False, "explanation": "why", "evaluator": "judge",
        "evaluator_version": "7", "kind": "human", "dataset": "golden", "item_id": "i-1",
        "run_id": "run", "variant": "shadow",
    }  # fmt: skip
    failed = {"session_id": "judged", "name": "tone", "error_type": "timeout", "label": "pass"}
    said = {"session_id": "judged", "name": "tone", "label": "Pass"}
    assert api.post([whole, failed, said], "evaluations").json()["accepted"] == 3
    query = "select * exclude (seq, received_at) from evaluations where session_id = 'judged'"
    first, second, third = api.daemon.sql(query + " order by seq")
    assert first == whole | {
        "trace_id": "ab" * 16, "time": "2026-02-03T03:05:06.789012000Z", "correction": None,
        "error_type": None, "source": "api:evaluations", "idempotency_key": None,
    }  # fmt: skip
    assert (second["passed"], second["kind"]) == (None, "automated")
    assert third["passed"] is True


def test_what_is_not_timed_was_judged_when_it_came(api: Api) -> None:
    before = time.time_ns()
    api.post({"kind": "thumbs", "value": "up", "session_id": "now"})
    (row,) = api.daemon.sql(
        "select epoch_ns(time) as t, time = received_at as same from evaluations "
        "where session_id = 'now'",
    )
    assert row["same"]
    assert before <= row["t"] <= time.time_ns()


BAD: list[tuple[Any, str]] = [
    ("text", "object"),
    ({"value": "up", "session_id": "s"}, "kind"),
    ({"kind": "clap", "value": "up", "session_id": "s"}, "thumbs, rating"),
    ({"kind": "thumbs", "value": "up"}, "trace_id with span_id"),
    ({"kind": "thumbs", "value": "Up", "session_id": "s"}, "'up' or 'down'"),
    ({"kind": "thumbs", "value": "up", "span_id": "ab" * 8}, "needs trace_id"),
    ({"kind": "thumbs", "value": "up", "trace_id": "0" * 32}, "zeros"),
    ({"kind": "thumbs", "value": "up", "trace_id": "ab"}, "trace_id"),
    ({"kind": "thumbs", "value": "up", "session_id": "s", "colour": 1}, "colour: there is no"),
    ({"kind": "rating", "value": 6, "session_id": "s"}, "scale of 5"),
    ({"kind": "rating", "value": -1, "session_id": "s"}, "value"),
    ({"kind": "rating", "value": True, "session_id": "s"}, "number"),
    ({"kind": "rating", "value": "4", "session_id": "s"}, "number"),
    ({"kind": "rating", "value": 0, "scale": 0, "session_id": "s"}, "scale"),
    ({"kind": "escalation", "value": "yes", "session_id": "s"}, "boolean"),
    ({"kind": "label", "session_id": "s"}, "value: is missing"),
    ({"kind": "label", "value": "", "session_id": "s"}, "value"),
    ({"kind": "label", "value": "x" * 65_537, "session_id": "s"}, "feedback.text_characters"),
    ({"kind": "label", "value": "x", "session_id": "s" * 257}, "session_id"),
    ({"kind": "label", "value": "x", "session_id": "s", "time": 1_700_000_000}, "zone"),
    ({"kind": "label", "value": "x", "session_id": "s", "time": "2026-01-01T00:00:00"}, "zone"),
    ({"kind": "label", "value": "x", "session_id": "s", "time": "9999-01-01T00:00:00Z"}, "zone"),
]


def test_one_bad_item_costs_no_good_one(api: Api) -> None:
    good = {"kind": "thumbs", "value": "up", "session_id": "between"}
    mixed = [each for bad, _ in BAD for each in (good, bad)]
    answer = api.post(mixed)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (len(BAD), len(BAD))
    assert [error["index"] for error in body["errors"]] == list(range(1, 2 * len(BAD), 2))
    for (bad, hint), error in zip(BAD, body["errors"], strict=True):
        assert hint in error["error"], (bad, error)
    assert len(api.stored("between")) == len(BAD)


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ({"name": "thumbs", "score": 1, "session_id": "s"}, "/api/v1/feedback"),
        ({"name": "tone", "session_id": "s"}, "score"),
        ({"name": "tone", "score": 1}, "trace_id with span_id"),
        ({"name": "", "score": 1, "session_id": "s"}, "name"),
        ({"score": 1, "session_id": "s"}, "name: is missing"),
        ({"name": "tone", "score": "high", "session_id": "s"}, "score"),
        ({"name": "tone", "label": ["x"], "session_id": "s"}, "label: write a text, a number"),
        ({"name": "tone", "score": 1, "session_id": "s", "kind": "guess"}, "kind"),
    ],
)
def test_bad_evaluations_say_what_to_write(api: Api, item: dict[str, Any], hint: str) -> None:
    answer = api.post(item, "evaluations")
    assert answer.status_code == 400
    assert hint in answer.json()["errors"][0]["error"]
    assert hint in answer.json()["error"]


HOSTILE: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"null", 400),
    (b'"items"', 400),
    (b"{", 400),
    (b"[" * 100_000, 400),
    (b'{"items": 5}', 400),
    (b'{"items": [], "more": 1}', 400),
    (b"[" + b"1," * 1000 + b"1]", 413),
    (b" " * (4 * 2**20 + 1), 413),
    (b'{"kind": "label", "value": "\\ud800", "session_id": "s"}', 400),
    (b'{"kind": "label", "value": "\xff", "session_id": "s"}', 400),
    (b'{"kind": "rating", "value": NaN, "session_id": "s"}', 400),
    (b'{"kind": "rating", "value": 1e999, "session_id": "s"}', 400),
    (b'{"kind": "rating", "value": ' + b"9" * 400 + b', "session_id": "s"}', 400),
    (b"{}", 400),
]


@pytest.mark.parametrize(("body", "status"), HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", ["feedback", "evaluations"])
def test_hostile_bodies_are_refused_in_json(api: Api, name: str, body: bytes, status: int) -> None:
    (before,) = api.daemon.sql("select count(*) as n from evaluations")
    answer = api.post(body, name)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert api.daemon.sql("select count(*) as n from evaluations") == [before]


def test_an_empty_batch_is_fine(api: Api) -> None:
    assert api.post([]).json() == {"accepted": 0, "rejected": 0, "errors": []}


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_encoding": "gzip"},
    ],
)
def test_only_plain_json_is_taken(api: Api, headers: dict[str, str]) -> None:
    """A web page can make a browser post text or forms to 127.0.0.1, but not JSON."""
    body = {"kind": "thumbs", "value": "up", "session_id": "browser"}
    assert api.post(body, **headers).status_code == 415
    assert api.stored("browser") == []


def test_a_repeated_key_answers_the_same_and_stores_once(api: Api) -> None:
    good = {"kind": "thumbs", "value": "down", "session_id": "repeated"}
    body = [good, {"kind": "thumbs"}, good]
    first = api.post(body, idempotency_key="press-1")
    assert "idempotency-replayed" not in first.headers
    for again in (body, json.dumps(body, indent=4).encode()):
        second = api.post(again, idempotency_key="press-1")
        assert (second.status_code, second.json()) == (first.status_code, first.json())
        assert second.headers["idempotency-replayed"] == "true"
    assert len(api.stored("repeated")) == 2
    api.post(body, idempotency_key="press-2")
    api.post(good)
    assert len(api.stored("repeated")) == 5


def test_a_key_is_not_used_for_something_else(api: Api) -> None:
    up = {"kind": "thumbs", "value": "up", "session_id": "other"}
    assert api.post(up, idempotency_key="mine").status_code == 200
    answer = api.post(up | {"value": "down"}, idempotency_key="mine")
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["error"]
    assert len(api.stored("other")) == 1
    judged = {"name": "tone", "score": 1, "session_id": "other"}
    assert api.post(judged, "evaluations", idempotency_key="mine").status_code == 200
    assert api.post(up, idempotency_key="x" * 257).status_code == 400


def test_an_item_with_an_id_is_stored_once_whatever_comes_with_it(api: Api) -> None:
    one = {"kind": "thumbs", "value": "up", "session_id": "ids", "id": "vote-1"}
    two = {"kind": "thumbs", "value": "down", "session_id": "ids", "id": "vote-2"}
    other = {"kind": "thumbs", "value": "down", "session_id": "ids", "id": "vote-1"}
    assert api.post(one).json()["accepted"] == 1
    assert api.post([two, one, two]).json() == {"accepted": 3, "rejected": 0, "errors": []}
    answer = api.post([one, other]).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert (answer["errors"][0]["index"], answer["errors"][0]["id"]) == (1, "vote-1")
    assert [row["label"] for row in api.stored("ids")] == ["up", "down"]


def test_the_same_key_many_times_at_once_is_stored_once(api: Api) -> None:
    body = {"kind": "rating", "value": 3, "session_id": "at once"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: api.post(body, idempotency_key="at once"), range(32)))
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (200, '{"accepted":1,"rejected":0,"errors":[]}')
    }
    assert len(api.stored("at once")) == 1


def test_what_was_answered_survives_kill_and_is_known_again(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "data")
    daemon.start()
    api = Api(daemon)
    keyed = {"kind": "thumbs", "value": "down", "session_id": "killed"}
    named = [keyed | {"id": f"id-{i}"} for i in range(10)]
    answers = [api.post(keyed, idempotency_key="k").json(), api.post(named).json()]
    daemon.kill()
    daemon.start()
    assert len(api.stored("killed")) == 11
    again = [api.post(keyed, idempotency_key="k"), api.post(named)]
    assert [answer.json() for answer in again] == answers
    assert {answer.headers["idempotency-replayed"] for answer in again} == {"true"}
    assert api.post(keyed | {"value": "up"}, idempotency_key="k").status_code == 422
    assert len(api.stored("killed")) == 11
    counts = daemon.metrics()
    counter = 'retraind_judgements_total{api="feedback",outcome="%s"}'
    assert [counts[counter % outcome] for outcome in ("accepted", "duplicate", "rejected")] == [
        0, 11, 1,
    ]  # fmt: skip
    daemon.stop()


def test_a_full_store_is_said_with_retry_after(tmp_path: Path) -> None:
    """…and nothing is stored; once there is room the same request is taken."""
    daemon = Daemon(tmp_path / "data", {"store": {"min_free_bytes": "1000TiB"}})
    daemon.spawn()
    try:
        body = {"kind": "thumbs", "value": "up", "session_id": "full"}
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = Api(daemon).post(body, idempotency_key="full")
                break
            except httpx2.TransportError:
                assert time.monotonic() < deadline, daemon.log_tail()
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    finally:
        daemon.stop()
    daemon.config["store"]["min_free_bytes"] = "1MiB"
    with daemon:
        assert Api(daemon).stored("full") == []
        answer = Api(daemon).post(body, idempotency_key="full")
        assert "idempotency-replayed" not in answer.headers
        assert len(Api(daemon).stored("full")) == 1


def test_the_content_policy_decides_what_is_kept(tmp_path: Path) -> None:
    """A user who gives feedback is hashed to the same text as on that user's spans."""
    key = secret_file(tmp_path, "sixteen bytes or more", "key")
    content = {
        "default": "redact",
        "key_file": str(key),
        "fields": {"user_id": "hash", "output": "drop"},
    }
    with Daemon(tmp_path / "data", {"content": content}) as daemon:
        span = a_span(1, start_ns=time.time_ns(), attributes={"user.id": "ann"})
        daemon.export(a_request([span]))
        said = [
            {"kind": "thumbs", "value": "down", "user": "ann", "comment": "ask bob@example.com"},
            {"kind": "correction", "value": "write to bob"},
            {"kind": "label", "value": "bob@example.com", "passed": True},
        ]
        for _ in range(2):
            items = [item | {"session_id": "policy", "id": item["kind"]} for item in said]
            assert Api(daemon).post(items).json()["accepted"] == 3
        thumbs, correction, label = Api(daemon).stored("policy")
        (user,) = daemon.sql("select user_id from spans")
        assert thumbs["evaluator"] == user["user_id"] != "ann"
        assert thumbs["label"] == "down"
        assert "bob" not in thumbs["explanation"]
        assert "email" in thumbs["explanation"]
        assert "correction" not in correction, "it is dropped like the outputs"
        assert "label" not in label


def test_what_a_user_said_of_the_calls_of_others_is_erased(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as daemon:
        said = {"kind": "thumbs", "value": "up", "session_id": "shared"}
        Api(daemon).post([said | {"user": user} for user in ("ann", "bob")])
        cli("erase", "--user", "ann", "--yes", "--data", daemon.data)
        assert [row["evaluator"] for row in Api(daemon).stored("shared")] == ["bob"]


# Who may send.


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("locked")
    config = {
        "receivers": {"tokens_file": str(secret_file(folder, "shop: ingest\n", "tokens"))},
        "admin": {"token_file": str(secret_file(folder, "admin\n", "admin"))},
    }
    with Daemon(folder / "data", config) as running:
        yield running


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("wrong", 401), ("ingest", 200), ("admin", 200)]
)
@pytest.mark.parametrize("name", ["feedback", "evaluations"])
def test_an_ingest_or_the_admin_token_may_send(
    locked: Daemon, name: str, token: str | None, status: int
) -> None:
    item = {"session_id": f"{name} {token}"}
    item |= {"kind": "thumbs", "value": "up"} if name == "feedback" else {"name": "e", "label": "a"}
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    assert Api(locked).post(item, name, **headers).status_code == status
    assert len(Api(locked).stored(item["session_id"])) == (status == 200)


def test_an_ingest_token_does_nothing_else(locked: Daemon) -> None:
    headers = {"authorization": "Bearer ingest"}
    for method, path in [("POST", "sql"), ("GET", "triggers"), ("GET", "webhooks")]:
        answer = plain_http.request(method, f"{locked.admin}/api/v1/{path}", headers=headers)
        assert answer.status_code == 401


@pytest.mark.parametrize("allowed", [False, True])
def test_an_open_address_without_tokens_takes_no_feedback(tmp_path: Path, allowed: bool) -> None:
    daemon = Daemon(tmp_path / "data", {"receivers": {"allow_unauthenticated": allowed}})
    daemon.config["admin"]["endpoint"] = f"0.0.0.0:{daemon.admin_port}"
    with daemon:
        answer = Api(daemon).post({"kind": "thumbs", "value": "up", "session_id": "open"})
        assert answer.status_code == (200 if allowed else 403)
        if not allowed:
            assert "receivers.tokens_file" in answer.json()["error"]


# The command line.


def test_the_command_sends_every_kind(api: Api) -> None:
    data, trace = api.daemon.data, "e" * 32
    for arguments in [
        ("thumbs", "down", "--trace", trace, "--span", "f" * 16, "--comment", "no"),
        ("rating", "4", "--scale", "5", "--user", "ann"),
        ("rating", "3"),
        ("escalation",),
        ("escalation", "--none"),
        ("label", "refund", "--response", "chatcmpl-1", "--wrong"),
        ("correction", "nine", "--time", "2026-01-02T03:04:05Z"),
    ]:
        done = cli("feedback", *arguments, "--session", "typed", "--data", data)
        assert done.stdout == b"stored\n"
    human: dict[str, Any] = {"kind": "human", "source": "api:feedback"}
    assert api.stored("typed") == [
        human | {"trace_id": trace, "span_id": "f" * 16, "name": "thumbs", "score": 0.0,
                 "label": "down", "passed": False, "explanation": "no"},
        human | {"name": "rating", "score": 0.8, "label": "4/5", "evaluator": "ann"},
        human | {"name": "rating", "score": 0.6, "label": "3/5"},
        human | {"name": "escalation", "label": "yes", "passed": False},
        human | {"name": "escalation", "label": "no", "passed": True},
        human | {"kind": "label", "name": "label", "label": "refund", "passed": False,
                 "response_id": "chatcmpl-1"},
        human | {"name": "correction", "correction": "nine"},
    ]  # fmt: skip


def test_the_command_explains_what_is_missing(api: Api, tmp_path: Path) -> None:
    data = ("--data", api.daemon.data)
    nothing = cli("feedback", "thumbs", "up", *data, check=False)
    assert (nothing.returncode, b"--session" in nothing.stderr) == (2, True)
    wrong = cli("feedback", "rating", "9", "--session", "s", *data, check=False)
    assert (wrong.returncode, b"above its scale" in wrong.stderr) == (1, True)
    away = cli("feedback", "thumbs", "up", "--session", "s", "--data", tmp_path, check=False)
    assert (away.returncode, b"retraind serve" in away.stderr) == (1, True)


def test_the_command_sends_over_tcp_with_an_ingest_token(locked: Daemon, tmp_path: Path) -> None:
    token = secret_file(tmp_path, "shop: ingest\n")
    where = ("--url", locked.admin, "--token-file", token)
    done = cli("feedback", "thumbs", "up", "--session", "tcp", "--json", *where)
    assert json.loads(done.stdout) == {"accepted": 1, "rejected": 0, "errors": []}
    assert len(Api(locked).stored("tcp")) == 1
    refused = cli("feedback", "thumbs", "up", "--session", "tcp", *where[:2], check=False)
    assert (refused.returncode, b"token" in refused.stderr) == (1, True)


def test_json_lines_are_imported_once(api: Api, tmp_path: Path) -> None:
    """More lines than one request takes, some of them bad, sent twice."""
    file = tmp_path / "feedback.jsonl"
    lines = [
        json.dumps({"kind": "rating", "value": i % 6, "session_id": "imported"})
        for i in range(450)
    ]  # fmt: skip
    lines[7] = "not json"
    lines[301] = json.dumps({"kind": "rating", "value": 6, "session_id": "imported"})
    file.write_text("\ufeff" + "\n".join([*lines[:20], "", *lines[20:]]) + "\n")
    for _ in range(2):
        done = cli("feedback", "import", file, "--json", "--data", api.daemon.data, check=False)
        assert done.returncode == 1
        answer = json.loads(done.stdout)
        assert (answer["accepted"], answer["rejected"]) == (448, 2)
        assert [error["line"] for error in answer["errors"]] == [8, 303]
        assert len(api.stored("imported")) == 448
    shown = cli("feedback", "import", file, "--data", api.daemon.data, check=False)
    assert shown.stdout == b"448 stored, 2 rejected\n"
    assert f"{file}:303: value is above its scale of 5".encode() in shown.stderr
    assert os.fsencode(file.name) in shown.stderr, "progress"


def test_ground_truth_may_be_a_number_or_a_truth(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "truth.jsonl"
    of = '"kind": "label", "session_id": "truth"'
    values = ("1", "true", "0.5", '"refund"')
    file.write_text("".join(f'{{{of}, "value": {value}}}\n' for value in values))
    judged = {"name": "spam", "kind": "label", "label": False, "session_id": "truth"}
    cli("feedback", "import", file, "--data", api.daemon.data)
    assert api.post(judged, "evaluations").status_code == 200
    labels = [row["label"] for row in api.stored("truth")]
    assert labels == ["1", "true", "0.5", "refund", "false"]


def test_csv_is_imported_with_types(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "feedback.csv"
    file.write_text(
        "kind,value,scale,session_id,comment,passed\r\n"
        'thumbs,down,,csv,"two\r\nlines",\r\n'
        "rating,8,10,csv,,\r\n"
        "escalation,no,,csv,,\r\n"
        "label,1,,csv,,true\r\n"
        "rating,many,10,csv,,\r\n"
    )
    done = cli("feedback", "import", file, "--data", api.daemon.data, check=False)
    assert done.returncode == 1
    assert f"{file}:7: value: ".encode() in done.stderr
    human: dict[str, Any] = {"kind": "human", "source": "api:feedback"}
    assert api.stored("csv") == [
        human | {"name": "thumbs", "score": 0.0, "label": "down", "passed": False,
                 "explanation": "two\r\nlines"},
        human | {"name": "rating", "score": 0.8, "label": "8/10"},
        human | {"name": "escalation", "label": "no", "passed": True},
        human | {"kind": "label", "name": "label", "label": "1", "passed": True},
    ]  # fmt: skip


def test_evaluations_are_imported(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "judged.csv"
    file.write_text("name,score,passed,session_id\ntone,0.5,no,judged csv\n")
    cli("feedback", "import", file, "--evaluations", "--data", api.daemon.data)
    (row,) = api.stored("judged csv")
    assert (row["name"], row["score"], row["passed"]) == ("tone", 0.5, False)
