"""The embedded server: addresses, conflicts, Unix socket, TLS, header bounds."""

from __future__ import annotations

import ssl
import subprocess
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop

from receiver_harness import Receiver, span_request
from retraind.config.settings import Tls
from retraind.errors import StartError
from retraind.receive import serve
from retraind.receive.serve import EmbeddedServer


async def hello(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A self-signed certificate for localhost, made by openssl."""
    folder = tmp_path_factory.mktemp("tls")
    tls = Tls(cert_file=folder / "cert.pem", key_file=folder / "key.pem")
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-keyout {tls.key_file} -out {tls.cert_file} -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1",
        shell=True,
        check=True,
        capture_output=True,
    )
    return tls


def test_a_taken_port_is_a_start_error() -> None:
    """The message names the address and the setting to change."""

    async def main() -> None:
        first = EmbeddedServer(hello, "127.0.0.1:0", setting="admin.endpoint")
        await first.start()
        second = EmbeddedServer(hello, f"127.0.0.1:{first.port}", setting="admin.endpoint")
        with pytest.raises(StartError, match=rf"127.0.0.1:{first.port}.*in use.*admin\.endpoint"):
            await second.start()
        await first.stop(1)

    uvloop.run(main())


def test_an_unknown_host_is_a_start_error() -> None:
    async def main() -> None:
        with pytest.raises(StartError, match=r"host\.invalid"):
            await EmbeddedServer(hello, "host.invalid:0", setting="admin.endpoint").start()

    uvloop.run(main())


def test_tls(certificate: Tls) -> None:
    """Both receivers over TLS 1.2 or later; the client verifies the certificate."""
    with Receiver(tls=certificate) as receiver:
        context = ssl.create_default_context(cafile=str(certificate.cert_file))
        connection = HTTPSConnection("localhost", receiver.http_port, context=context, timeout=10)
        connection.request(
            "POST", "/v1/traces", span_request(), {"content-type": "application/x-protobuf"}
        )
        assert connection.getresponse().status == 200
        connection.close()
        roots = grpc.ssl_channel_credentials(certificate.cert_file.read_bytes())
        method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        with grpc.secure_channel(receiver.grpc_target, roots) as channel:
            assert channel.unary_unary(method)(span_request(), timeout=10) == b""
        assert {call.transport for call in receiver.intake.calls} == {"http", "grpc"}


@pytest.mark.parametrize("text", [None, "not a certificate"])
def test_bad_certificate_is_a_start_error(tmp_path: Path, text: str | None) -> None:
    tls = Tls(cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem")
    if text is not None:
        tls.cert_file.write_text(text)
        tls.key_file.write_text(text)
    with pytest.raises(StartError, match="TLS"):
        EmbeddedServer(hello, "127.0.0.1:0", setting="receivers.http.endpoint", tls=tls)
    receiver = Receiver(tls=tls)
    with pytest.raises(StartError), receiver:
        pass


def test_headers_are_bounded() -> None:
    """Endless headers end in 400 and a closed connection."""
    with Receiver() as receiver, receiver.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 40_000 + b"\r\nhost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400")
        assert client.recv(4096) == b""


def test_slow_headers_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing, or only half a header, is closed; others are served."""
    monkeypatch.setattr(serve, "HEADER_TIMEOUT_SECONDS", 0.2)
    with Receiver() as receiver, receiver.connect() as silent, receiver.connect() as half:
        half.sendall(b"POST /v1/traces HTTP/1.1\r\nhost:")
        assert silent.recv(10) == b""
        assert half.recv(10) == b""
        other = HTTPConnection("127.0.0.1", receiver.http_port, timeout=10)
        other.request(
            "POST", "/v1/traces", span_request(), {"content-type": "application/x-protobuf"}
        )
        assert other.getresponse().status == 200
        other.close()
