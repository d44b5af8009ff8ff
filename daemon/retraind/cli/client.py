"""Talking to the running daemon: over DIR/retraind.sock, or over TCP with the admin token."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import httpx2

DEFAULT_DATA = Path("retraind-data")
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Unreachable(click.ClickException):
    """No daemon answers."""


class Declined(click.ClickException):
    """The daemon answered with an error."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(_reason(response))
        self.response = response


@dataclass(frozen=True, slots=True)
class Target:
    """Which daemon: the one that owns `data`, or the one at `url`."""

    data: Path
    url: str | None
    token_file: Path | None

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client for a few requests."""
        import httpx2  # noqa: PLC0415

        from retraind.console.unix import address  # noqa: PLC0415

        timeout = httpx2.Timeout(10, read=120)
        if self.url is not None:
            headers = {}
            if self.token_file is not None:
                headers["Authorization"] = f"Bearer {_token(self.token_file)}"
            with httpx2.Client(base_url=self.url, headers=headers, timeout=timeout) as http:
                yield Client(http, self.url)
            return
        if not self.data.is_dir():
            raise Unreachable(f"{self.data} is not a data folder; give --data DIR or --url URL")
        with address(self.data) as path:
            # Nothing is encrypted on a socket; loading certificates takes longer than asking.
            transport = httpx2.HTTPTransport(uds=path, verify=False)
            with httpx2.Client(
                base_url="http://retraind", transport=transport, timeout=timeout
            ) as http:
                yield Client(http, str(self.data))


class Client:
    """Requests to one daemon. Raises Unreachable or Declined."""

    def __init__(self, http: httpx2.Client, name: str) -> None:
        self._http = http
        self._name = name

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The response of a request that succeeded."""
        import httpx2  # noqa: PLC0415

        try:
            response = self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise Unreachable(
                f"no daemon answers for {self._name} ({error}); start it with `retraind serve`"
            ) from error
        if response.is_error:
            raise Declined(response)
        return response

    def get(self, path: str, **options: Any) -> Any:
        return self.request("GET", path, **options).json()

    def post(self, path: str, **options: Any) -> Any:
        return self.request("POST", path, **options).json()


def call(where: dict[str, Any], method: str, path: str, **options: Any) -> Any:
    """The answer to one request; `where`: what `target_options` gave."""
    with Target(**where).client() as client:
        return client.request(method, path, **options).json()


def _reason(response: httpx2.Response) -> str:
    if response.status_code == 401:
        return "the daemon asks for its admin token: give --token-file FILE with a valid one"
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the daemon answered {response.status_code}"


def _token(path: Path) -> str:
    """The token of a file in the form of admin.token_file: its first line, an optional `name:`."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}") from error
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise click.BadParameter(f"{path} holds no token")
    return tokens[0].rpartition(":")[2].strip()


def target_options(function: _Function) -> _Function:
    """The options that say which daemon: --data, --url, --token-file."""
    folder = click.Path(file_okay=False, path_type=Path)
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        click.option("--token-file", type=file, help="File with the token, for --url."),
        click.option("--url", help="Admin address of a daemon elsewhere, e.g. http://host:9464."),
        click.option(
            "--data", type=folder, default=DEFAULT_DATA, show_default=True,
            help="Data folder of the daemon on this machine.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function
