"""The command as a user runs it, against the admin app on a real unix socket and a real TCP port.

`FakeDaemon` stands in for the composed daemon; the real one is tested in tests/acceptance.
"""

from __future__ import annotations

import csv
import getpass
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from click.testing import CliRunner

from fake_daemon import REFERENCE, TABLE, FakeDaemon, an_app
from retraind.cli import cli, run
from retraind.console import unix
from retraind.console.daemon import PinReference, Watched
from retraind.errors import ConfigError, QueryError, StartError
from retraind.receive.auth import Tokens


@dataclass
class Served:
    daemon: FakeDaemon
    data: Path
    url: str
    token_file: Path


def serve(app: object, listener: socket.socket) -> tuple[uvicorn.Server, threading.Thread]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    return server, thread


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("cli")
    data = folder / ("d" * 120)  # longer than a socket's path may be
    data.mkdir()
    token_file = folder / "token"
    token_file.write_text("# for the CLI\nops: s3cret\n")
    daemon = FakeDaemon()
    tcp = socket.create_server(("127.0.0.1", 0))
    apps = [
        (an_app(daemon, trusted=True), unix.listen(data)),
        (an_app(daemon, tokens=Tokens(token_file)), tcp),
    ]
    port = tcp.getsockname()[1]
    servers = [serve(app, listener) for app, listener in apps]
    yield Served(daemon, data, f"http://127.0.0.1:{port}", token_file)
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture
def served(running: Served) -> Served:
    running.daemon.calls.clear()
    running.daemon.error = None
    running.daemon.reasons = []
    return running


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def retraind(capfd: pytest.CaptureFixture[str]) -> object:
    def call(*args: object) -> Done:
        capfd.readouterr()
        code = run([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return call


def command(*args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "retraind", *args],
        capture_output=True, check=False, env=os.environ | env,
    )  # fmt: skip


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from retraind.cli import run; run(['--help']);"
        "heavy = {'numpy', 'pyarrow', 'duckdb', 'pydantic', 'rich', 'httpx2', 'starlette', 'grpc'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    for name in (b"serve", b"demo", b"check", b"status", b"sql", b"reference", b"webhook"):
        assert name in done.stdout


@pytest.mark.parametrize(
    "path",
    [
        (), ("serve",), ("sql",), ("reference", "pin"), ("mute",), ("unmute",), ("hold",),
        ("webhook",),
    ],
)  # fmt: skip
def test_help_teaches_with_examples(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert result.output.count("retraind ") >= 2


def test_version_and_usage() -> None:
    done = command("version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"retraind ")
    assert b"duckdb 2." in done.stdout
    done = command("nonsense")
    assert done.returncode == 2
    assert b"No such command" in done.stderr


def test_check(tmp_path: Path) -> None:
    config = tmp_path / "r.yaml"
    config.write_text("tick: 1s\n")
    assert command("check", "--config", str(config)).returncode == 0
    config.write_text("tik: 1s\nadmin: {endpoint: x}\n")
    done = command("check", "--config", str(config))
    assert done.returncode == 1
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert lines == [
        f"{config}:1:1: tik: unknown setting; did you mean 'tick'?",
        (
            f"{config}:2:19: admin.endpoint: 'x' is not valid; "
            "write host:port, e.g. 127.0.0.1:4317 or [::1]:4317"
        ),
    ]


def test_serve_with_a_bad_configuration_could_not_start() -> None:
    done = command("serve", "--set", "tick=0s")
    assert done.returncode == 3
    assert done.stderr.startswith(b"--set tick=0s: tick: ")


def test_sql_formats(served: Served, retraind, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = retraind("sql", "--data", served.data, "--format", "json", "select 1")
    assert served.daemon.calls == [("sql", "select 1")]
    assert done.code == 0
    assert [row["n"] for row in json.loads(done.out)] == [2**60, 1]
    assert "only the first 2 rows" in done.err

    done = retraind("sql", "--data", served.data, "--format", "csv", "select 1")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert rows[0]["at"] == "2023-11-14T22:13:20.123456789Z"
    assert rows[0]["blob"] == '"00ff"'

    done = retraind("sql", "--data", served.data, "--output", tmp_path / "x.parquet", "select 1")
    assert done.out == ""
    assert pq.read_table(tmp_path / "x.parquet").column("n").to_pylist() == [2**60, 1]

    done = retraind("sql", "--data", served.data, "select 1")
    assert str(2**60) in done.out
    assert "\x1b" not in done.out


def test_no_control_characters_reach_the_terminal(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    served.daemon.table = pa.table({"text": ["\x1b]0;owned\x07"]})
    try:
        done = retraind("sql", "--data", served.data, "select 1")
    finally:
        served.daemon.table = TABLE
    assert "\x1b" not in done.out
    assert "owned" in done.out


def test_a_refused_query_is_one_line(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    served.daemon.error = QueryError("COPY is not allowed")
    done = retraind("sql", "--data", served.data, "copy spans to 'x'")
    assert (done.code, done.out, done.err) == (1, "", "retraind: COPY is not allowed\n")


def test_over_tcp_the_token_is_needed(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("sql", "--url", served.url, "select 1")
    assert done.code == 1
    assert "admin token" in done.err
    assert "--token-file" in done.err
    assert served.daemon.calls == []
    done = retraind("sql", "--url", served.url, "--token-file", served.token_file, "select 1")
    assert done.code == 0


def test_status(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("status", "--data", served.data)
    assert done.code == 0
    for text in ("ready", "firing", "input_tokens", "rt_1", "hook"):
        assert text in done.out
    done = retraind("status", "--url", served.url, "--json")
    assert json.loads(done.out)["ingest"]["accepted_spans"] == 12345
    served.daemon.reasons = ["starting"]
    done = retraind("status", "--data", served.data, "--quiet")
    assert (done.code, done.out) == (1, "")


def test_references(served: Served, retraind, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = retraind("reference", "list", "--data", served.data, "--json")
    assert json.loads(done.out) == [REFERENCE]
    done = retraind("reference", "list", "--data", served.data)
    assert "active" in done.out
    assert re.search(r"\d+d \d+h", done.out), "its age"
    done = retraind("reference", "show", "--data", served.data, "ref_1")
    assert json.loads(done.out) == {"id": "ref_1"}
    done = retraind("reference", "show", "--data", served.data, "nope")
    assert (done.code, done.err) == (1, "retraind: there is no reference nope\n")

    jsonl = tmp_path / "train.jsonl"
    jsonl.write_text('{"input_tokens": 5}\n{"input_tokens": 7}\n')
    args = ("reference", "pin", "--data", served.data)
    done = retraind(*args, "--model", "m", "--from", jsonl, "--force")
    assert (done.code, done.err) == (0, "left out: one\n")
    ((_, request),) = served.daemon.calls
    assert request.force
    assert request.table.to_pylist() == [{"input_tokens": 5}, {"input_tokens": 7}]
    assert (request.model, request.source) == ("m", "train.jsonl")

    served.daemon.calls.clear()
    assert retraind(*args, "--start", "2023-11-14T22:13:20", "--end", "2023-11-15").code == 0
    start, end = 1_700_000_000, 1_700_006_400  # date -u -d 2023-11-15 +%s
    expected = PinReference(start_ns=start * 10**9, end_ns=end * 10**9, by=getpass.getuser())
    assert served.daemon.calls == [("pin", expected)]

    (tmp_path / "bad.jsonl").write_text("nope")
    done = retraind(*args, "--from", tmp_path / "bad.jsonl")
    assert done.code == 2


def test_a_reference_is_proposed_compared_and_accepted(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("reference", "pin", "--data", served.data, "--propose", "--by", "ana")
    assert done.code == 0
    done = retraind("reference", "diff", "--data", served.data, "ref_1", "ref_2")
    assert "ref_2 against ref_1" in done.out
    assert "input_tokens" in done.out
    done = retraind("reference", "diff", "--data", served.data, "ref_1", "--json")
    assert json.loads(done.out)["other"] == "current"
    done = retraind("reference", "accept", "--data", served.data, "ref_1", "--by", "ben", "--json")
    assert json.loads(done.out) == [REFERENCE]
    assert served.daemon.calls == [
        ("pin", PinReference(propose=True, by="ana")),
        ("compare", "ref_1", "ref_2"),
        ("compare", "ref_1", None),
        ("accept", "ref_1", "ben"),
    ]


def test_webhooks(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("webhook", "list", "--data", served.data)
    assert "secret answer" in done.out
    done = retraind("webhook", "retry", "--data", served.data, "rt_1")
    assert (done.code, done.out) == (0, "1 scheduled\n")
    done = retraind("webhook", "retry", "--data", served.data, "rt_9")
    assert done.code == 1
    done = retraind("webhook", "test", "--data", served.data, "hook")
    assert (done.code, done.out) == (0, "hook: accepted (204)\n")
    assert retraind("webhook", "test", "--data", served.data, "gone").code == 1


def test_mutes(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    where = ("--data", served.data)
    done = retraind("mute", "support", "--eval", "tone", "--for", "24h", "--reason", "why", *where)
    assert (done.code, done.out) == (0, "mute_2: 3 alarms muted until 2023-11-15T22:13:20Z\n")
    ((_, request),) = served.daemon.calls
    assert (request.monitor, request.feature, request.model) == ("support", "tone", None)
    assert (request.seconds, request.reason) == (86400, "why")
    assert request.by
    listed = retraind("mute", "--list", *where)
    assert "load <test>" in listed.out
    assert "ann" in listed.out
    assert json.loads(retraind("mute", "--list", "--json", *where).out)[0]["id"] == "mute_1"
    assert retraind("unmute", "mute_1", *where).out == "ended: mute_1\n"
    assert retraind("unmute", "--all", *where).code == 0
    assert [call[:2] for call in served.daemon.calls[1:]] == [
        ("unmute", "mute_1"), ("unmute", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("mute",), "Give MONITOR, --for, --reason."),
        (("mute", "m", "--for", "1h"), "Give --reason."),
        (("mute", "m", "--for", "1h", "--reason", "x", "--eval", "a", "--feature", "b"), "either"),
        (("mute", "--list", "--model", "x"), "--list takes no other selection"),
        (("unmute",), "either an ID or --all"),
        (("unmute", "mute_1", "--all"), "either an ID or --all"),
    ],
)
def test_mutes_that_say_too_little_or_too_much(retraind, args: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    done = retraind(*args)
    assert done.code == 2
    assert said in done.err


def test_holds(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    where = ("--data", served.data)
    assert "bot 2 is new" in retraind("hold", "list", *where).out
    assert json.loads(retraind("hold", "list", "--json", *where).out)[0]["waiting"] == 1
    assert retraind("hold", "release", "hold_1", *where).out == "hold_1 released\n"
    ((name, hold_id, _),) = served.daemon.calls
    assert (name, hold_id) == ("release", "hold_1")


def test_episodes(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("episodes", "--data", served.data, "--limit", 5)
    assert done.code == 0
    assert "ep_1" in done.out
    assert served.daemon.calls == [("episodes", 5)]


def test_explain(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("explain", "--data", served.data, "ep_1")
    assert done.code == 0
    assert "\x1b" not in done.out  # neither colour without a terminal nor the service's name
    assert max(map(len, done.out.splitlines())) <= 80
    for told in (
        "Episode ep_1",
        "drift: intent of cohort gold",
        "immature: 5 of 7 days",
        "refund",
        "intent against the seasonal reference",
    ):
        assert told in done.out
    done = retraind("explain", "--data", served.data, "ep_1", "--json")
    assert json.loads(done.out)["episode"]["id"] == "ep_1"
    assert retraind("explain", "--data", served.data, "ep_9").code == 1


def test_explain_what_did_not_fire(served: Served, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("explain", "--data", served.data, "--monitor", "m", "--service", "bot")
    assert "280 sessions needed, 120 seen" in done.out
    assert served.daemon.calls == [("explain", Watched(monitor="m", service_name="bot"))]
    assert retraind("explain", "--data", served.data).code == 2
    assert retraind("explain", "--data", served.data, "ep_1", "--monitor", "m").code == 2


def test_no_daemon(tmp_path: Path, retraind) -> None:  # type: ignore[no-untyped-def]
    done = retraind("status", "--data", tmp_path / "nowhere")
    assert (done.code, "is not a data folder" in done.err) == (1, True)
    done = retraind("status", "--data", tmp_path)
    assert (done.code, "retraind serve" in done.err) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert retraind("status", "--url", f"http://127.0.0.1:{port}").code == 1


def test_the_socket_is_for_its_owner_and_taken_once(served: Served, tmp_path: Path) -> None:
    assert (served.data / unix.NAME).stat().st_mode & 0o777 == 0o600
    with pytest.raises(StartError, match="another retraind"):
        unix.listen(served.data)
    unix.listen(tmp_path).close()  # leaves its file behind, as a crash does
    with unix.listen(tmp_path):
        pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StartError("port taken"), 3),
        (ConfigError("x.yaml:1:1: a: b"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(cli, "main", fail)
    assert run([]) == code
    assert capsys.readouterr().err.count("\n") == (1 if str(error) else 0)
