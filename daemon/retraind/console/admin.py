"""The admin HTTP app: metrics, health, API, status page.

It is served twice: on DIR/retraind.sock, whose file mode says who may do everything, and over TCP,
where only metrics, health, status and its page are open and the rest needs the admin token;
for feedback and evaluations an ingest token is enough.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import pyarrow as pa
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retraind.console.body import HEADERS, json_response, read_body, read_object
from retraind.console.daemon import Daemon, PinReference, Watched
from retraind.console.encode import plain, rows, status_json
from retraind.console.feedback import FeedbackRoutes, Senders
from retraind.console.openapi import document
from retraind.console.page import render
from retraind.console.quiet import QuietRoutes
from retraind.errors import (
    ConfigError,
    QueryError,
    Refused,
    RetraindError,
    StartError,
    StoreError,
)  # fmt: skip
from retraind.receive.auth import Tokens
from retraind.receive.judgements import Judgements
from retraind.telemetry import Telemetry

ARROW = "application/vnd.apache.arrow.stream"
TABLE_BODY_BYTES = 256 * 2**20
STORE_RETRY_SECONDS = 5.0
_PAGE_HEADERS = HEADERS | {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

Handler = Callable[[Request], Awaitable[Response]]


def admin_app(
    daemon: Daemon,
    telemetry: Telemetry,
    judgements: Judgements,
    *,
    tokens: Tokens | None,
    senders: Senders,
    trusted: bool,
) -> Starlette:
    """The app for one listener. `trusted` (the socket) asks for no admin token."""
    routes = _Routes(daemon, telemetry)
    feedback = FeedbackRoutes(judgements, senders)
    quiet = QuietRoutes(daemon)

    def locked(handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not trusted:
                _authorise(request, tokens)
            return await handler(request)

        return guarded

    return Starlette(
        routes=[
            Route("/", routes.page),
            Route("/metrics", routes.metrics),
            Route("/-/healthy", routes.healthy),
            Route("/-/ready", routes.ready),
            Route("/-/reload", locked(routes.reload), methods=["POST"]),
            Route("/api/v1/openapi.json", routes.openapi),
            Route("/api/v1/status", routes.status),
            Route("/api/v1/sql", locked(routes.sql), methods=["POST"]),
            Route("/api/v1/references", locked(routes.references)),
            Route("/api/v1/references", locked(routes.pin), methods=["POST"]),
            Route("/api/v1/references/{id}", locked(routes.reference)),
            Route("/api/v1/references/{id}/accept", locked(routes.accept), methods=["POST"]),
            Route("/api/v1/references/{id}/diff", locked(routes.difference)),
            Route("/api/v1/feedback", feedback.feedback, methods=["POST"]),
            Route("/api/v1/evaluations", feedback.evaluations, methods=["POST"]),
            Route("/api/v1/erase", locked(routes.erase), methods=["POST"]),
            Route("/api/v1/mutes", locked(quiet.mutes)),
            Route("/api/v1/mutes", locked(quiet.mute), methods=["POST"]),
            Route("/api/v1/mutes", locked(quiet.unmute), methods=["DELETE"]),
            Route("/api/v1/mutes/{id}", locked(quiet.unmute), methods=["DELETE"]),
            Route("/api/v1/holds", locked(quiet.holds)),
            Route("/api/v1/holds/{id}", locked(quiet.release), methods=["DELETE"]),
            Route("/api/v1/triggers", locked(routes.triggers)),
            Route("/api/v1/episodes", locked(routes.episodes)),
            Route("/api/v1/episodes/{id}", locked(routes.episode)),
            Route("/api/v1/explain", locked(routes.explain)),
            Route("/api/v1/webhooks", locked(routes.webhooks)),
            Route("/api/v1/webhooks/retry", locked(routes.retry), methods=["POST"]),
            Route("/api/v1/webhooks/test", locked(routes.test), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _http_error, RetraindError: _error},
    )


def _authorise(request: Request, tokens: Tokens | None) -> None:
    if tokens is None:
        raise HTTPException(
            403, "no admin token is configured: set admin.token_file, or use DIR/retraind.sock"
        )
    if not tokens.accepts(request.headers.get("authorization")):
        raise HTTPException(
            401, "send the admin token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
        )


class _Routes:
    """One method a route. Daemon does the work; these translate it to HTTP."""

    def __init__(self, daemon: Daemon, telemetry: Telemetry) -> None:
        self._daemon = daemon
        self._telemetry = telemetry

    async def page(self, _: Request) -> Response:
        status = status_json(await self._daemon.status(), list(self._daemon.readiness()))
        return Response(render(status), 200, _PAGE_HEADERS, "text/html; charset=utf-8")

    async def metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        body = await run_in_threadpool(encode, self._telemetry.registry)
        return Response(body, headers={"Content-Type": content_type})

    async def healthy(self, _: Request) -> Response:
        return json_response({"healthy": True})

    async def ready(self, _: Request) -> Response:
        reasons = list(self._daemon.readiness())
        return json_response({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def reload(self, _: Request) -> Response:
        waiting = await self._daemon.reload()
        return json_response({"reloaded": True, "restart_needed": list(waiting)})

    async def openapi(self, _: Request) -> Response:
        return json_response(document())

    async def status(self, _: Request) -> Response:
        return json_response(
            status_json(await self._daemon.status(), list(self._daemon.readiness()))
        )

    async def sql(self, request: Request) -> Response:
        query = _text(await read_object(request), "sql")
        result = await self._daemon.sql(query)
        if ARROW in request.headers.get("accept", ""):
            body = await run_in_threadpool(_arrow_stream, result.table)
            headers = HEADERS | {"X-Truncated": str(result.truncated).lower()}
            return Response(body, 200, headers, ARROW)
        columns = [{"name": field.name, "type": str(field.type)} for field in result.table.schema]
        found = await run_in_threadpool(rows, result.table)
        return json_response({"columns": columns, "rows": found, "truncated": result.truncated})

    async def references(self, _: Request) -> Response:
        return json_response({"references": plain(list(await self._daemon.references()))})

    async def reference(self, request: Request) -> Response:
        found = await self._daemon.reference(request.path_params["id"])
        if found is None:
            raise HTTPException(404, f"there is no reference {request.path_params['id']}")
        return json_response(plain(found))

    async def pin(self, request: Request) -> Response:
        pinned = await self._daemon.pin_reference(await _pin_request(request))
        return json_response(
            {"references": plain(list(pinned.references)), "notes": list(pinned.notes)}
        )

    async def accept(self, request: Request) -> Response:
        query = dict(request.query_params)
        by = query.pop("by", "admin")
        if query:
            raise HTTPException(400, f"unknown parameter {min(query)}; known: by")
        accepted = await self._daemon.accept_reference(request.path_params["id"], by)
        return json_response({"references": plain(list(accepted))})

    async def difference(self, request: Request) -> Response:
        query = dict(request.query_params)
        other = query.pop("with", None)
        if query:
            raise HTTPException(400, f"unknown parameter {min(query)}; known: with")
        found = await self._daemon.compare_references(request.path_params["id"], other)
        return json_response(plain(found))

    async def erase(self, request: Request) -> Response:
        body = await read_object(request)
        given = sorted(body.keys() & {"user", "trace"})
        if len(given) != 1 or len(body) != 1:
            raise HTTPException(400, 'the body needs either "user" or "trace"')
        ids = {given[0]: _text(body, given[0])}
        return json_response(plain(await self._daemon.erase(ids.get("user"), ids.get("trace"))))

    async def triggers(self, request: Request) -> Response:
        return json_response(
            {"triggers": plain(list(await self._daemon.triggers(_limit(request))))}
        )

    async def episodes(self, request: Request) -> Response:
        return json_response(
            {"episodes": plain(list(await self._daemon.episodes(_limit(request))))}
        )

    async def episode(self, request: Request) -> Response:
        begins = request.path_params["id"]
        found = await self._daemon.episode(begins)
        if found is None:
            raise HTTPException(404, f"there is no episode or trigger {begins}")
        return json_response(plain(found))

    async def explain(self, request: Request) -> Response:
        query = dict(request.query_params)
        known = [field.name for field in fields(Watched)]
        unknown = sorted(query.keys() - set(known))
        if unknown:
            raise HTTPException(400, f"unknown parameter {unknown[0]}; known: {', '.join(known)}")
        return json_response(plain(await self._daemon.explain(Watched(**query))))

    async def webhooks(self, _: Request) -> Response:
        return json_response({"deliveries": plain(list(await self._daemon.webhooks()))})

    async def retry(self, request: Request) -> Response:
        body = await read_object(request)
        trigger = _text(body, "trigger_id")
        destination = _text(body, "destination") if "destination" in body else None
        delivered = body.get("delivered", False)
        if not isinstance(delivered, bool):
            raise HTTPException(400, "delivered must be true or false")
        count = await self._daemon.retry_webhook(trigger, destination, delivered=delivered)
        if count == 0:
            raise HTTPException(404, f"there is no delivery of {trigger} to try again")
        return json_response({"scheduled": count})

    async def test(self, request: Request) -> Response:
        destination = _text(await read_object(request), "destination")
        try:
            return json_response(await self._daemon.test_webhook(destination))
        except LookupError:
            raise HTTPException(404, f"there is no destination {destination!r}") from None


async def _pin_request(request: Request) -> PinReference:
    """The selection is the query string; a body, if any, is an Arrow stream of reference rows."""
    query = dict(request.query_params)
    bounds: dict[str, int | None] = {}
    for name in ("start_ns", "end_ns"):
        text = query.pop(name, None)
        if text is not None and not text.isdecimal():
            raise HTTPException(400, f"{name} must be Unix nanoseconds")
        bounds[name] = None if text is None else int(text)
    flags = {name: query.pop(name, "false") for name in ("force", "propose")}
    for name, value in flags.items():
        if value not in ("true", "false"):
            raise HTTPException(400, f"{name} must be true or false")
    known = ("monitor", "service_name", "environment", "model", "cohort", "source", "by")
    unknown = sorted(set(query) - set(known))
    if unknown:
        raise HTTPException(400, f"unknown parameter {unknown[0]}; known: {', '.join(known)}")
    body = await read_body(request, TABLE_BODY_BYTES)
    table = await run_in_threadpool(_read_arrow, body) if body else None
    chosen = {name: value == "true" for name, value in flags.items()}
    return PinReference(**query, **bounds, **chosen, table=table)  # type: ignore[arg-type]


def _arrow_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _read_arrow(body: bytes) -> pa.Table:
    try:
        table = pa.ipc.open_stream(body).read_all()
        table.validate(full=True)
    except pa.ArrowException as error:
        raise HTTPException(400, "the body is not an Arrow IPC stream") from error
    return table


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "100")
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise HTTPException(400, "limit must be a whole number from 1 to 1000")
    return int(text)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise HTTPException(400, f'the body needs "{name}", a text')
    return value


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = json_response({"error": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _error(_: Request, error: Exception) -> Response:
    """What went wrong in the daemon: the caller's fault is 400, a passing fault 503."""
    if isinstance(error, Refused | StoreError):
        seconds = error.retry_after_seconds if isinstance(error, Refused) else STORE_RETRY_SECONDS
        headers = {"Retry-After": str(math.ceil(seconds))}
        return json_response({"error": str(error)}, 503, headers)
    caller = isinstance(error, ConfigError | QueryError | StartError)
    return json_response({"error": str(error)}, 400 if caller else 500)
