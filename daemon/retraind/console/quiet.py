"""/api/v1/mutes and /api/v1/holds: what is kept back, by whom, and until when."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from retraind.config.settings import parse_duration
from retraind.console.body import json_response, read_object
from retraind.console.daemon import Daemon
from retraind.console.encode import plain
from retraind.policy.mutes import MuteRequest

SELECTORS = ("service_name", "environment", "model", "cohort", "feature")
TEXT_CHARACTERS = 1000
NAME_CHARACTERS = 128
ANYBODY = "api"


class QuietRoutes:
    """One method a route."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def mutes(self, _: Request) -> Response:
        return json_response({"mutes": list(await self._daemon.mutes())})

    async def mute(self, request: Request) -> Response:
        wanted = _mute_request(await read_object(request))
        return json_response(await self._daemon.mute(wanted))

    async def unmute(self, request: Request) -> Response:
        ended = await self._daemon.unmute(request.path_params.get("id"), _by(request))
        return json_response({"ended": list(ended)})

    async def holds(self, _: Request) -> Response:
        return json_response({"holds": plain(list(await self._daemon.holds()))})

    async def release(self, request: Request) -> Response:
        released = await self._daemon.release_hold(request.path_params["id"], _by(request))
        return json_response({"released": released})


def _mute_request(body: dict[str, Any]) -> MuteRequest:
    known = ("monitor", *SELECTORS, "for", "reason", "by")
    unknown = sorted(body.keys() - set(known))
    if unknown:
        raise HTTPException(400, f'unknown field "{unknown[0]}"; known: {", ".join(known)}')
    try:
        seconds = parse_duration(_text(body, "for", 40))
    except ValueError as error:
        raise HTTPException(400, f'"for" is {error}') from None
    selectors = {
        name: _text(body, name, NAME_CHARACTERS, empty=True) if name in body else None
        for name in SELECTORS
    }
    return MuteRequest(
        monitor=_text(body, "monitor", NAME_CHARACTERS),
        **selectors,
        seconds=seconds,
        reason=_text(body, "reason", TEXT_CHARACTERS),
        by=_text(body, "by", NAME_CHARACTERS) if "by" in body else ANYBODY,
    )


def _text(body: dict[str, Any], name: str, longest: int, *, empty: bool = False) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > longest or not (empty or value.strip()):
        raise HTTPException(400, f'the body needs "{name}", a text of at most {longest} characters')
    return value


def _by(request: Request) -> str:
    return request.query_params.get("by", "").strip()[:NAME_CHARACTERS] or ANYBODY
