"""Bodies of the admin app: requests read within a limit, answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from retraind.console.encode import dumps

OBJECT_BYTES = 2**20
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


async def read_body(request: Request, limit: int, setting: str = "") -> bytes:
    """The whole body. Raises HTTPException (413) when it is larger than `limit` bytes."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            hint = f"; send less, or raise {setting}" if setting else ""
            raise HTTPException(413, f"the body is larger than {limit} bytes{hint}")
        chunks.append(chunk)
    return b"".join(chunks)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises HTTPException (400, 413)."""
    try:
        value = orjson.loads(await read_body(request, OBJECT_BYTES))
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return value


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    """`value` as JSON, never cached."""
    return Response(dumps(value), status, HEADERS | dict(headers), "application/json")
