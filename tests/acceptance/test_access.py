"""Who may send: tokens, TLS, and the network address that is not served by accident."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGHUP
from typing import Any

import grpc
import httpx2
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from acceptance_harness import PROTOBUF, secret_file
from builders import a_request, a_span
from harness import EXPORT, Daemon, eventually, plain_http

CANNOT_START = 3


@dataclass(frozen=True)
class Guarded:
    """A daemon that asks for a token and speaks TLS only."""

    daemon: Daemon
    tokens: Path
    certificate: Path

    def channel(self) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(self.certificate.read_bytes())
        return grpc.secure_channel(f"localhost:{self.daemon.grpc_port}", credentials)

    def over_grpc(self, token: str | None) -> grpc.StatusCode:
        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        with self.channel() as channel:
            try:
                channel.unary_unary(EXPORT)(new_body(), timeout=20, metadata=metadata)
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    def over_http(self, token: str | None) -> httpx2.Response:
        headers = {"content-type": PROTOBUF}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        with httpx2.Client(verify=ssl.create_default_context(cafile=self.certificate)) as client:
            return client.post(
                f"https://localhost:{self.daemon.http_port}/v1/traces",
                content=new_body(),
                headers=headers,
            )


def new_body() -> bytes:
    return a_request([a_span(time.time_ns(), start_ns=time.time_ns())]).SerializeToString()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    tokens = secret_file(folder, "# applications\nshop: first-token\nsecond-token\n", "tokens")
    tls = {"cert_file": str(certificate), "key_file": str(key)}
    receivers = {"tokens_file": str(tokens), "grpc": {"tls": tls}, "http": {"tls": tls}}
    with Daemon(folder / "data", {"receivers": receivers}) as daemon:
        yield Guarded(daemon, tokens, certificate)


@pytest.mark.parametrize("token", ["first-token", "second-token"])
def test_a_token_opens_both_ways_in(guarded: Guarded, token: str) -> None:
    assert guarded.over_grpc(token) == grpc.StatusCode.OK
    assert guarded.over_http(token).status_code == 200


@pytest.mark.parametrize("token", [None, "wrong", "shop: first-token", "first-token2"])
def test_without_a_valid_token_nothing_is_taken(guarded: Guarded, token: str | None) -> None:
    before = guarded.daemon.metrics()
    (stored,) = guarded.daemon.sql("select count(*) as n from spans")
    assert guarded.over_grpc(token) == grpc.StatusCode.UNAUTHENTICATED
    answer = guarded.over_http(token)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == PROTOBUF
    assert answer.headers["www-authenticate"] == "Bearer"
    assert Status.FromString(answer.content).code == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert guarded.daemon.sql("select count(*) as n from spans") == [stored]
    after = guarded.daemon.metrics()
    for transport in ("grpc", "http"):
        counter = f'retraind_receiver_auth_failures_total{{transport="{transport}"}}'
        assert after[counter] == before[counter] + 1


def test_the_sdks_exporters_send_over_tls_with_a_token(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they overrule the argument
        monkeypatch.delenv(variable, raising=False)
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("tests").start_as_current_span("chat") as span:
        trace = format(span.get_span_context().trace_id, "032x")
    headers = {"authorization": "Bearer first-token"}
    with_grpc = GrpcExporter(
        endpoint=f"https://localhost:{guarded.daemon.grpc_port}",
        credentials=grpc.ssl_channel_credentials(guarded.certificate.read_bytes()),
        headers=headers,
    )
    with_http = HttpExporter(
        endpoint=f"https://localhost:{guarded.daemon.http_port}/v1/traces",
        certificate_file=str(guarded.certificate),
        headers=headers,
    )
    for exporter in (with_grpc, with_http):
        assert exporter.export(memory.get_finished_spans()) is SpanExportResult.SUCCESS
        exporter.shutdown()
    query = f"select count(*) as n from spans where trace_id = '{trace}'"
    assert guarded.daemon.sql(query) == [{"n": 1}]


def test_plain_text_is_not_served_on_a_tls_port(guarded: Guarded) -> None:
    with guarded.daemon.channel() as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(EXPORT)(
            new_body(), timeout=5, metadata=[("authorization", "Bearer first-token")]
        )
    with pytest.raises(httpx2.TransportError):
        plain_http.post(f"http://127.0.0.1:{guarded.daemon.http_port}/v1/traces", content=b"")


def test_an_ingest_token_opens_nothing_else(guarded: Guarded) -> None:
    answer = plain_http.post(
        f"{guarded.daemon.admin}/api/v1/sql",
        json={"sql": "select 1"},
        headers={"authorization": "Bearer first-token"},
    )
    assert answer.status_code in (401, 403)
    for path in ("/metrics", "/-/healthy", "/-/ready"):
        assert plain_http.get(guarded.daemon.admin + path).status_code == 200


def test_tokens_are_reloaded_by_sighup(guarded: Guarded) -> None:
    """A bad file changes nothing and is shown; a good one replaces all tokens."""
    original = guarded.tokens.read_text()
    process = guarded.daemon.process
    assert process is not None
    gauge = "retraind_config_last_reload_successful"
    guarded.tokens.write_text("# none\n")
    process.send_signal(SIGHUP)
    eventually(lambda: guarded.daemon.metrics()[gauge] == 0)
    assert guarded.over_grpc("first-token") == grpc.StatusCode.OK
    guarded.tokens.write_text("new-token\n")
    process.send_signal(SIGHUP)
    eventually(lambda: guarded.daemon.metrics()[gauge] == 1)
    assert guarded.over_grpc("first-token") == grpc.StatusCode.UNAUTHENTICATED
    assert guarded.over_http("first-token").status_code == 401
    assert guarded.over_grpc("new-token") == grpc.StatusCode.OK
    assert guarded.over_http("new-token").status_code == 200
    guarded.tokens.write_text(original)
    process.send_signal(SIGHUP)
    eventually(lambda: guarded.over_grpc("first-token") == grpc.StatusCode.OK)


@pytest.mark.parametrize("receiver", ["grpc", "http"])
def test_an_open_address_without_tokens_does_not_start(tmp_path: Path, receiver: str) -> None:
    """…and says what to do; told to, it starts."""
    daemon = Daemon(tmp_path / "data")
    port = daemon.grpc_port if receiver == "grpc" else daemon.http_port
    receivers: dict[str, Any] = daemon.config["receivers"]
    receivers[receiver]["endpoint"] = f"0.0.0.0:{port}"
    daemon.spawn()
    assert daemon.process is not None
    assert daemon.process.wait(30) == CANNOT_START
    for hint in (f"0.0.0.0:{port}", "receivers.tokens_file", "receivers.allow_unauthenticated"):
        assert hint in daemon.log_tail()
    receivers["allow_unauthenticated"] = True
    daemon.start()
    assert daemon.export(new_body()) == b""
    assert daemon.stop() == 0
