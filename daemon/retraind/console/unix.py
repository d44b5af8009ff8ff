"""DIR/retraind.sock: where the CLI finds the daemon. Its mode, 0600, is the authentication."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from retraind.errors import StartError

NAME = "retraind.sock"
_LONGEST_PATH = 100  # of 108 bytes in sockaddr_un


@contextlib.contextmanager
def address(data: Path) -> Iterator[str]:
    """The socket's path, by way of /proc while it is too long for the system call."""
    path = data / NAME
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(data, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)


def listen(data: Path) -> socket.socket:
    """A listening socket for the owner only; a leftover of an earlier process is replaced.

    Raises StartError when a process still answers there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address(data) as path:
            if _answers(path):
                raise StartError(f"another retraind already serves {data}")
            with contextlib.suppress(FileNotFoundError):
                (data / NAME).unlink()
            before = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(before)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
