"""The API described as OpenAPI 3.1, served at /api/v1/openapi.json."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter

from retraind import __version__
from retraind.console.daemon import Watched
from retraind.model import Json
from retraind.normalise.items import EVALUATION, FEEDBACK

_MUTE = (
    "monitor", "service_name", "environment", "model", "cohort", "feature", "for", "reason", "by",
)  # fmt: skip
_ARROW = "application/vnd.apache.arrow.stream"


def document() -> Json:
    """The whole description."""
    text = {"type": "string"}
    retry = _body(
        {"trigger_id": text, "destination": text, "delivered": {"type": "boolean"}}, ["trigger_id"]
    )
    selection = (
        "monitor", "service_name", "environment", "model", "cohort", "source", "start_ns", "end_ns",
        "force", "propose", "by",
    )  # fmt: skip
    pin = {
        "parameters": [_parameter(name, "query", required=False) for name in selection],
        "requestBody": {
            "description": "Reference rows, one a session, columns named like the features.",
            "content": {_ARROW: {}},
        },
    }
    query = _operation("Run a read-only query", _body({"sql": text}, ["sql"]), locked=True)
    query["responses"]["200"]["content"][_ARROW] = {}
    erase = _body({"user": text, "trace": text}, [])
    mute = _body(dict.fromkeys(_MUTE, text), ["monitor", "for", "reason"])
    by = _parameter("by", "query", required=False)
    named = {"parameters": [_parameter("id", "path", required=True), by]}
    one = {"parameters": [_parameter("id", "path", required=True)]}
    by = {"parameters": [*one["parameters"], _parameter("by", "query", required=False)]}
    other = {"parameters": [*one["parameters"], _parameter("with", "query", required=False)]}
    limit = {"parameters": [_parameter("limit", "query", required=False)]}
    watched = {"parameters": [_parameter(f.name, "query", required=False) for f in fields(Watched)]}
    schemas: Json = {}
    feedback = _items("Record feedback and labels", FEEDBACK, schemas)
    evaluations = _items("Record results of evaluators", EVALUATION, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "retraind", "version": __version__},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
        "paths": {
            "/metrics": {"get": _operation("Prometheus metrics", media="text/plain")},
            "/-/healthy": {"get": _operation("The process answers")},
            "/-/ready": {"get": _operation("Whether data should be sent; 503 with reasons")},
            "/-/reload": {"post": _operation("Read the configuration again", locked=True)},
            "/api/v1/status": {"get": _operation("Ingest, series, windows, triggers, outbox")},
            "/api/v1/sql": {"post": query},
            "/api/v1/references": {
                "get": _operation("List references", locked=True),
                "post": _operation("Pin or propose references", pin, locked=True),
            },
            "/api/v1/references/{id}": {"get": _operation("Show a reference", one, locked=True)},
            "/api/v1/references/{id}/accept": {
                "post": _operation("Make a proposed reference the active one", by, locked=True)
            },
            "/api/v1/references/{id}/diff": {
                "get": _operation(
                    "Compare a reference with another, or with current traffic", other, locked=True
                )
            },
            "/api/v1/feedback": {"post": feedback},
            "/api/v1/evaluations": {"post": evaluations},
            "/api/v1/erase": {"post": _operation("Erase a user or a trace", erase, locked=True)},
            "/api/v1/mutes": {
                "get": _operation("Mutes that last", locked=True),
                "post": _operation("Mute alarms for a while", mute, locked=True),
                "delete": _operation("End all mutes", {"parameters": [by]}, locked=True),
            },
            "/api/v1/mutes/{id}": {"delete": _operation("End a mute", named, locked=True)},
            "/api/v1/holds": {"get": _operation("Holds that stand", locked=True)},
            "/api/v1/holds/{id}": {"delete": _operation("Release a hold", named, locked=True)},
            "/api/v1/triggers": {"get": _operation("Newest triggers", limit, locked=True)},
            "/api/v1/episodes": {"get": _operation("Newest episodes", limit, locked=True)},
            "/api/v1/episodes/{id}": {
                "get": _operation("Why an episode or trigger asks, or not", one, locked=True)
            },
            "/api/v1/explain": {
                "get": _operation("What fires, and what is missing for it", watched, locked=True)
            },
            "/api/v1/webhooks": {"get": _operation("List deliveries", locked=True)},
            "/api/v1/webhooks/retry": {"post": _operation("Deliver again", retry, locked=True)},
            "/api/v1/webhooks/test": {
                "post": _operation(
                    "Send a test event", _body({"destination": text}, ["destination"]), locked=True
                )
            },
        },
    }


def _operation(
    summary: str,
    extra: Json | None = None,
    *,
    locked: bool = False,
    media: str = "application/json",
) -> Json:
    operation: Json = {"summary": summary, **(extra or {})}
    operation["responses"] = {
        "200": {"description": "Done", "content": {media: {}}},
        "default": {
            "description": "What went wrong",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"error": {"type": "string"}}}
                }
            },
        },
    }
    if locked:
        operation["security"] = [{"token": []}]
    return operation


_RECEIPT: Json = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    "id": {"type": "string"},
                    "error": {"type": "string"},
                },
                "required": ["index", "error"],
            },
        },
        "error": {"type": "string"},
    },
    "required": ["accepted", "rejected", "errors"],
}
_REFUSALS = {
    "400": "Nothing was stored: no item is valid, or the body is not of this form",
    "401": "No ingest or admin token",
    "413": "Larger than feedback.request_bytes or feedback.items",
    "415": "Not JSON",
    "422": "The id or Idempotency-Key was used for something else",
    "503": "The store takes nothing now; Retry-After says when to come again",
}


def _items(summary: str, adapter: TypeAdapter[Any], schemas: Json) -> Json:
    """A POST of one item, a list or {"items": [...]}; the item's schemas go into `schemas`."""
    item = adapter.json_schema(ref_template="#/components/schemas/{model}")
    schemas |= item.pop("$defs", {})
    if "title" in item:  # a model of its own, not a choice of several
        schemas[item["title"]] = item
        item = {"$ref": f"#/components/schemas/{item['title']}"}
    several = {"type": "array", "items": item}
    body = {
        "anyOf": [
            item,
            several,
            {"type": "object", "properties": {"items": several}, "required": ["items"]},
        ]
    }
    key = _parameter("Idempotency-Key", "header", required=False)
    key["description"] = "A request that is sent again with its key is stored once (for an hour)."
    operation = _operation(
        summary,
        {
            "description": "Stored when answered. One bad item costs no good one: see errors.",
            "parameters": [key],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        },
        locked=True,
    )
    answer = {"application/json": {"schema": _RECEIPT}}
    operation["responses"]["200"]["content"] = answer
    for status, meaning in _REFUSALS.items():
        operation["responses"][status] = {"description": meaning}
    return operation


def _body(properties: dict[str, Any], required: list[str]) -> Json:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _parameter(name: str, place: str, *, required: bool) -> Json:
    return {"name": name, "in": place, "required": required, "schema": {"type": "string"}}
