"""POST /api/v1/feedback and /api/v1/evaluations: what people and evaluators say of calls.

Applications hold ingest tokens only, so one of those is enough here, and nowhere else in the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from retraind.console.body import json_response, read_body
from retraind.model import Json, JudgementApi
from retraind.normalise.judgements import ItemError
from retraind.receive.auth import Tokens
from retraind.receive.judgements import Judgements, Receipt
from retraind.receive.patience import Patience

BODY_TIMEOUT_SECONDS = 30.0
KEY_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Senders:
    """Who may send over one listener: whoever has one of the tokens; without any, who `open` is."""

    tokens: Sequence[Tokens] = ()
    open: bool = False

    def authorise(self, request: Request) -> None:
        """Raises HTTPException."""
        authorization = request.headers.get("authorization")
        if self.open or any(tokens.accepts(authorization) for tokens in self.tokens):
            return
        if not self.tokens:
            raise HTTPException(
                403,
                "admin.endpoint is reachable from the network and no token is configured: "
                "set receivers.tokens_file, or use DIR/retraind.sock",
            )
        raise HTTPException(
            401,
            "send an ingest token or the admin token: Authorization: Bearer …",
            {"WWW-Authenticate": "Bearer"},
        )


class FeedbackRoutes:
    """The two routes; what they store is decided in receive/judgements.py."""

    def __init__(self, judgements: Judgements, senders: Senders) -> None:
        self._judgements = judgements
        self._senders = senders

    async def feedback(self, request: Request) -> Response:
        return await self._take("feedback", request)

    async def evaluations(self, request: Request) -> Response:
        return await self._take("evaluations", request)

    async def _take(self, api: JudgementApi, request: Request) -> Response:
        self._senders.authorise(request)
        _check_form(request)
        key = _key(request)
        limits, admission = self._judgements.limits, self._judgements.admission
        lease = await admission.reserve(_size(request, limits.request_bytes))
        try:
            async with Patience(admission, lease, BODY_TIMEOUT_SECONDS):
                body = await read_body(request, limits.request_bytes, "feedback.request_bytes")
            lease.shrink_to(len(body))
            receipt = await self._judgements.take(api, _values(body, limits.items), key)
        except TimeoutError:
            raise HTTPException(408, "the body did not come in time") from None
        finally:
            lease.release()
        headers = {"Idempotency-Replayed": "true"} if receipt.repeated else {}
        return json_response(_answer(receipt), _status(receipt), headers)


def _check_form(request: Request) -> None:
    """JSON by name, so that no web page can post here unasked: browsers ask first, and get no."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "send JSON, with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HTTPException(415, "send the body as it is, without Content-Encoding")


def _size(request: Request, limit: int) -> int:
    """Bytes to reserve for the body: what is announced, else as many as it may have."""
    announced = request.headers.get("content-length", "")
    return min(int(announced), limit) if announced.isdecimal() else limit


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= KEY_CHARACTERS:
        raise HTTPException(400, f"Idempotency-Key has 1 to {KEY_CHARACTERS} characters")
    return key


def _values(body: bytes, limit: int) -> list[Any]:
    """The items of a body: one object, a list, or {"items": [...]}."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if isinstance(value, dict) and "items" in value:
        if set(value) != {"items"}:
            raise HTTPException(400, 'beside "items" nothing else is known')
        value = value["items"]
        if not isinstance(value, list):
            raise HTTPException(400, '"items" must be a list of objects')
    elif isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise HTTPException(400, 'send one object, a list of objects, or {"items": [...]}')
    if len(value) > limit:
        raise HTTPException(
            413, f"{len(value)} items in one request; send {limit} at most, or raise feedback.items"
        )
    return value


def _answer(receipt: Receipt) -> Json:
    answer: Json = {
        "accepted": receipt.accepted,
        "rejected": len(receipt.errors),
        "errors": [_error(each) for each in receipt.errors],
    }
    if receipt.errors and not receipt.accepted:
        answer["error"] = f"nothing was stored: item {receipt.errors[0].index}: " + (
            receipt.errors[0].error
        )
    return answer


def _error(error: ItemError) -> Json:
    named = {} if error.id is None else {"id": error.id}
    return {"index": error.index, **named, "error": error.error}


def _status(receipt: Receipt) -> int:
    """200 when anything was stored, as one bad item costs no good one; the errors say the rest."""
    if receipt.accepted or not receipt.errors:
        return 200
    return 422 if all(error.reason == "conflict" for error in receipt.errors) else 400
