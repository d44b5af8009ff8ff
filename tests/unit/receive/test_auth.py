"""Tokens and the rule for binding."""

from __future__ import annotations

from pathlib import Path

import pytest

from retraind.errors import StartError
from retraind.receive.auth import Tokens, check_bind, split_endpoint


def tokens_of(tmp_path: Path, text: str) -> Tokens:
    path = tmp_path / "tokens"
    path.write_text(text)
    return Tokens(path)


def test_file_format(tmp_path: Path) -> None:
    """Comments, blank lines, names, Windows line ends."""
    tokens = tokens_of(tmp_path, "# comment\r\n\r\n  alpha \r\nci: beta\r\nteam:gamma\n")
    for token in ("alpha", "beta", "gamma"):
        assert tokens.accepts(f"Bearer {token}")
        assert tokens.accepts(f"bearer  {token}".encode())
    for value in (
        "Bearer # comment",
        "Bearer ci",
        "Bearer ci: beta",
        "Bearer",
        "Bearer ",
        "",
        None,
    ):
        assert not tokens.accepts(value)


def test_a_token_that_is_not_ascii_is_only_wrong(tmp_path: Path) -> None:
    """No exception on whatever a client sends."""
    assert not tokens_of(tmp_path, "alpha").accepts(b"Bearer \xff\xfe")
    assert not tokens_of(tmp_path, "alpha").accepts("Bearer ünïcode")


@pytest.mark.parametrize("text", ["", "# only\n", "two words\n", "name:\n", "tökén\n"])
def test_bad_files(tmp_path: Path, text: str) -> None:
    with pytest.raises(StartError, match="tokens"):
        tokens_of(tmp_path, text)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file"):
        Tokens(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StartError, match="UTF-8"):
        Tokens(tmp_path / "binary")


def test_an_error_never_shows_a_token(tmp_path: Path) -> None:
    with pytest.raises(StartError) as caught:
        tokens_of(tmp_path, "good\nse cret\n")
    assert "cret" not in str(caught.value)
    assert ":2:" in str(caught.value)


def test_reload_keeps_the_old_tokens_when_the_file_is_bad(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path, "alpha")
    (tmp_path / "tokens").write_text("")
    with pytest.raises(StartError):
        tokens.use(tokens.read())
    assert tokens.accepts("Bearer alpha")


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("127.0.0.1:4317", ("127.0.0.1", 4317)),
        ("[::1]:0", ("::1", 0)),
        (":4318", ("", 4318)),
    ],
)
def test_split_endpoint(endpoint: str, address: tuple[str, int]) -> None:
    assert split_endpoint(endpoint) == address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    check_bind(f"{host}:4317", has_auth=False, allow_unauthenticated=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "", "10.1.2.3", "daemon.internal"])
def test_the_network_needs_tokens(host: str) -> None:
    """The message says each way out."""
    endpoint = f"{host}:4317"
    with pytest.raises(StartError, match=r"tokens_file.*127\.0\.0\.1.*allow_unauthenticated"):
        check_bind(endpoint, has_auth=False, allow_unauthenticated=False)
    check_bind(endpoint, has_auth=True, allow_unauthenticated=False)
    check_bind(endpoint, has_auth=False, allow_unauthenticated=True)
