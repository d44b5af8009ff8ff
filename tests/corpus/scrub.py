"""Takes what names the recording machine out of recorded requests."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable
from typing import Any

from .sink import REQUESTS

# Resource attributes of detectors that describe the machine and the process.
MACHINE = re.compile(r"(host|process|os|container|k8s|cloud)\.")


def scrubbed(signal: str, body: bytes, paths: dict[str, str]) -> bytes:
    """The request with `paths` replaced (longest first) and the machine's attributes removed."""
    request = REQUESTS[signal].FromString(body)
    longest_first = sorted(paths.items(), key=lambda item: -len(item[0]))

    def clean(text: str) -> str:
        for path, replacement in longest_first:
            text = text.replace(path, replacement)
        return text

    for group in getattr(request, f"resource_{'spans' if signal == 'traces' else signal}"):
        kept = [pair for pair in group.resource.attributes if not MACHINE.match(pair.key)]
        del group.resource.attributes[:]
        group.resource.attributes.extend(kept)
    _walk(request, clean)
    return bytes(request.SerializeToString())


def _walk(message: Any, clean: Any) -> None:
    """Cleans every string field below a message."""
    for field, value in message.ListFields():
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            for child in [value] if hasattr(value, "ListFields") else value:
                _walk(child, clean)
        elif field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_STRING:
            if isinstance(value, str):
                setattr(message, field.name, clean(value))
            else:
                value[:] = [clean(text) for text in value]


def left_over(bodies: Iterable[bytes], paths: Iterable[str]) -> list[str]:
    """Names of this machine that are still in the bytes: paths, host and user."""
    whole = b"".join(bodies)
    user = getpass.getuser()
    words = [*paths, f"/home/{user}", f"/Users/{user}", socket.gethostname()]
    # Whole words only: a short host name is part of many others.
    return [
        word
        for word in words
        if word not in {"", "localhost"}
        and re.search(rb"(?<!\w)" + re.escape(word.encode()) + rb"(?!\w)", whole)
    ]
