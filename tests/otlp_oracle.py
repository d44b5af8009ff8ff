"""What decode and normalise should give, by walking official messages in plain Python.

Shares nothing with the code under test but the table of conventions, which it reads on its own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

TABLE = tomllib.loads(
    Path(__file__).parents[1].joinpath("daemon/retraind/normalise/conventions.toml").read_text()
)
INT64_MAX = 2**63 - 1
KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]
INTEGER = r"-?[0-9]{1,18}"
NUMBER = r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?"
STATUSES = ["unset", "ok", "error"]
NATIVE = {
    "text": "string_value",
    "integer": "int_value",
    "number": "double_value",
    "flag": "bool_value",
}


def value_json(value: Any) -> Any:
    """An AnyValue as the Python value of its JSON text."""
    kind = value.WhichOneof("value")
    if kind is None or kind == "string_value_strindex":
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return [value_json(item) for item in content.values]
    if kind == "kvlist_value":
        return attributes_json(content.values)
    if kind == "bytes_value":
        return {"bytesValue": base64.b64encode(content).decode()}
    if kind == "double_value" and not math.isfinite(content):
        name = "NaN" if math.isnan(content) else "Infinity" if content > 0 else "-Infinity"
        return {"doubleValue": name}
    return content


def last_of_each(pairs: Any) -> dict[str, Any]:
    """Key to AnyValue: the last value of each key, at the place of the first."""
    return {pair.key: pair.value for pair in pairs}


def attributes_json(pairs: Any) -> dict[str, Any]:
    return {key: value_json(value) for key, value in last_of_each(pairs).items()}


def is_placeholder(text: str) -> bool:
    table = TABLE["placeholders"]
    return text in table["exact"] or text.startswith(table["prefix"])


def as_json_text(value: Any) -> str:
    return json.dumps(value_json(value), separators=(",", ":"), ensure_ascii=False)


def coerce(kind: str, value: Any) -> Any:
    """The value as a column type; None when it gives none."""
    which = value.WhichOneof("value")
    content = getattr(value, which) if which else None
    text = content if which == "string_value" else None
    if content is None or (text is not None and is_placeholder(text)):
        return None
    if which == NATIVE[kind]:
        return content
    if kind == "text":
        return as_json_text(value)
    if kind == "flag":
        return {"true": True, "false": False}.get((text or "").lower())
    return coerce_number(kind, which, content, text or "")


def coerce_number(kind: str, which: str, content: Any, text: str) -> int | float | None:
    if kind == "integer":
        whole = which == "double_value" and content.is_integer() and abs(content) <= 2**53
        return int(content) if whole or re.fullmatch(INTEGER, text, re.ASCII) else None
    whole = which == "int_value"
    return float(content) if whole or re.fullmatch(NUMBER, text, re.ASCII) else None


def mapped(column: dict[str, Any], source: dict[str, Any], text: str) -> str | None:
    if "before" in source:
        text = text.partition(source["before"])[0]
    if "values" not in source:
        return text or None
    lower = text.strip().lower()
    pairs = [(r, c) for c, raws in TABLE["values"][source["values"]].items() for r in raws]
    for raw, canonical in pairs:
        if lower == raw:
            return canonical or None
    for raw, canonical in pairs:
        if raw[1:].endswith("*") and lower.startswith(raw[:-1]):
            return canonical or None
    for raw, canonical in pairs:
        if raw.startswith("*") and lower.endswith(raw[1:]):
            return canonical or None
    if source.get("known"):
        return None
    unknown = column.get("unknown", "lower")
    return (lower if unknown == "lower" else unknown) or None


def texts_of(column: dict[str, Any], source: dict[str, Any], value: Any) -> list[str] | None:
    which = value.WhichOneof("value")
    if which == "array_value":
        raw = [v.string_value for v in value.array_value.values if v.HasField("string_value")]
    elif which == "string_value" and not is_placeholder(value.string_value):
        raw = [value.string_value]
        if value.string_value.startswith("["):
            with contextlib.suppress(ValueError):
                raw = [v for v in json.loads(value.string_value) if isinstance(v, str)]
        if "split" in source:
            raw = [part.strip() for text in raw for part in text.split(source["split"])]
    else:
        return None
    return [text for text in (mapped(column, source, r) for r in raw) if text] or None


OPTIONS = {
    "when", "operation", "scale", "values", "known", "value", "before", "split", "family",
    "answer", "time", "weak", "join", "json",
}  # fmt: skip
READ = ("object", "messages", "parts", "tools", "documents")


@dataclass
class Whole:
    """A span with what surrounds it; `operation` is filled in before the other columns."""

    attributes: dict[str, Any]
    events: list[Any] = field(default_factory=list)
    name: str = ""
    status_message: str = ""
    scope: str = ""
    resource: dict[str, Any] = field(default_factory=dict)
    operation: str | None = None
    started: int = 0


def key_of(source: dict[str, Any]) -> tuple[str, str]:
    """(convention, key) of a source."""
    ((convention, key),) = ((n, v) for n, v in source.items() if n not in OPTIONS)
    return source.get("family", convention), key


def attribute_keys() -> list[str]:
    """Attributes that fill columns, but for those that messages and documents are read from."""
    read, plain = set(), set()
    for column in TABLE["columns"].values():
        for source in column["sources"]:
            key = key_of(source)[1]
            holder = key.partition("#")[0]
            (read if column["type"] in READ else plain).add(holder)
    found = set()
    for holder in plain - read:
        if not holder.startswith(("event:", "events:", "span:", "scope:", "resource:")):
            found.add(holder.replace("{i}", "0").replace("{key}", "any.thing"))
    return sorted(found)


def shows(whole: Whole, name: str) -> bool:
    """Whether the span carries the key, or shows the convention of this name."""
    for convention in TABLE["conventions"]:
        if convention["name"] == name:
            return shows_convention(whole, convention)
    return name in whole.attributes


def shows_convention(whole: Whole, convention: dict[str, Any]) -> bool:
    def any_key(test: Any) -> bool:
        return any(test(key) for key in whole.attributes)

    return (
        whole.scope in convention.get("scopes", [])
        or any(whole.scope.startswith(p) for p in convention.get("scope_prefixes", []))
        or any_key(lambda key: key in convention.get("keys", []))
        or any_key(lambda key: any(key.startswith(p) for p in convention.get("prefixes", [])))
        or any_key(lambda key: any(re.match(p, key) for p in convention.get("patterns", [])))
        or any(key in whole.resource for key in convention.get("resources", []))
    )


def string(text: str) -> Any:
    return AnyValue(string_value=text)


def holder_value(whole: Whole, holder: str) -> Any:
    """The AnyValue a holder stands for, or a Python value for gathered keys; None if absent."""
    form, _, rest = holder.partition(":")
    if form == "resource" and rest:
        value = whole.resource.get(rest)
        nested = ("array_value", "kvlist_value", "bytes_value")
        return value if value is not None and value.WhichOneof("value") not in nested else None
    if form == "event" and rest:
        return event_value(whole, *rest.split("/", 1))
    if holder in ("span:name", "span:status.message", "scope:name"):
        text = {"span:name": whole.name, "scope:name": whole.scope}
        found = text.get(holder, whole.status_message)
        return string(found) if found else None
    if holder.endswith(".{i}"):
        return gathered(whole, holder.removesuffix("{i}"))
    start = holder.removesuffix("{key}")
    if start == holder:
        return whole.attributes.get(holder)
    members = {k.removeprefix(start): v for k, v in whole.attributes.items() if k.startswith(start)}
    return {k: value_json(v) for k, v in members.items()} or None


def event_value(whole: Whole, name: str, key: str | None = None) -> Any:
    """An attribute of the first event that has it; without a key, the time of the first event."""
    for event in whole.events:
        values = last_of_each(event.attributes)
        if event.name == name and key is None:
            return AnyValue(int_value=event.time_unix_nano)
        if event.name == name and key in values and coerce("text", values[key]) is not None:
            return values[key]
    return None


def gathered(whole: Whole, start: str) -> Any:
    tree: dict[str, Any] = {}
    keys = sorted((k for k in whole.attributes if k.startswith(start)), key=lambda k: k.count("."))
    for key in keys:
        steps = key.removeprefix(start).split(".")
        if not re.fullmatch("0|[1-9][0-9]{0,5}", steps[0], re.ASCII):
            continue
        node = tree
        for step in steps[:-1]:
            if not isinstance(node.get(step), dict):
                node[step] = {}
            node = node[step]
        node[steps[-1]] = Leaf(value_json(whole.attributes[key]))
    return listed(tree) if tree else None


@dataclass
class Leaf:
    value: Any


def listed(node: Any) -> Any:
    if isinstance(node, Leaf):
        return node.value
    if all(re.fullmatch("0|[1-9][0-9]{0,5}", step, re.ASCII) for step in node):
        return [listed(node[step]) for step in sorted(node, key=int)]
    return {step: listed(value) for step, value in node.items()}


def decoded(value: Any) -> Any:
    """A holder as JSON: text is parsed where it is JSON."""
    if not isinstance(value, AnyValue):
        return value
    if value.WhichOneof("value") in (None, "string_value_strindex"):
        return None
    if value.WhichOneof("value") != "string_value":
        return value_json(value)
    if is_placeholder(value.string_value):
        return None
    if value.string_value[:1] in ("{", "[", '"'):
        with contextlib.suppress(ValueError):
            return json.loads(value.string_value)
    return value.string_value


def pointed(value: Any, steps: list[str]) -> Any:
    for place, step in enumerate(steps):
        if isinstance(value, str) and value[:1] in ("{", "["):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        if step == "*" and isinstance(value, list):
            found = [pointed(item, steps[place + 1 :]) for item in value]
            return [item for item in found if item is not None] or None
        if isinstance(value, list) and step.isdigit():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def python_any(value: Any) -> Any:
    """A JSON value as an AnyValue (containers as JSON text), so that one coercion does for all."""
    if value is None:
        return None
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return string(value)
    return string(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def applies(source: dict[str, Any], whole: Whole) -> bool:
    """Whether the source counts on this span at all."""
    if "when" in source and not shows(whole, source["when"]):
        return False
    only = source.get("operation", [whole.operation or ""])
    return (whole.operation or "") in (TABLE["operations"][only] if type(only) is str else only)


def source_value(column: dict[str, Any], source: dict[str, Any], whole: Whole) -> Any:
    holder, mark, pointer = key_of(source)[1].partition("#")
    value = holder_value(whole, holder) if applies(source, whole) else None
    if value is None:
        return None
    if source.get("time"):
        return seconds_since(whole, value, mark, pointer)
    if column["type"] == "numbers":
        return vector(pointed(decoded(value), pointer.split("/")[1:]))
    if mark or not isinstance(value, AnyValue):
        value = python_any(read_json(column, source, value))
    return None if value is None else canonical(column, source, value)


def read_json(column: dict[str, Any], source: dict[str, Any], value: Any) -> Any:
    """What the source's pointer finds, as a JSON value."""
    _, mark, pointer = key_of(source)[1].partition("#")
    inside = pointed(decoded(value), pointer.split("/")[1:])
    if "join" in source and isinstance(inside, list):
        texts = [unquoted(item) for item in inside]
        return "\n".join(text for text in texts if isinstance(text, str)) or None
    whole_text = mark and not pointer and column["type"] == "text"
    return as_sent(value) if whole_text and type(inside) not in (str, type(None)) else inside


def canonical(column: dict[str, Any], source: dict[str, Any], value: Any) -> Any:
    """An AnyValue as the column's."""
    if "value" in source:
        return source["value"] if coerce("text", value) is not None else None
    if column["type"] == "texts":
        return texts_of(column, source, value)
    if "values" in source:
        text = value.string_value if value.WhichOneof("value") == "string_value" else None
        return None if text is None or is_placeholder(text) else mapped(column, source, text)
    found = coerce(column["type"], value)
    if found is not None and "minimum" in column and not found >= column["minimum"]:
        return None
    return found * source["scale"] if found is not None and "scale" in source else found


def as_sent(value: Any) -> str:
    return value.string_value if value.HasField("string_value") else as_json_text(value)


def unquoted(value: Any) -> Any:
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def vector(value: Any) -> list[float] | None:
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], list | str):
        return vector(value[0])
    good = all(type(x) in (int, float) for x in value)
    return [float(np.float32(x)) for x in value] if good else None


def seconds_since(whole: Whole, value: Any, mark: str, pointer: str) -> float | None:
    """Seconds from the start of the span to a point in time, when it is not before it."""
    if mark:
        text = pointed(decoded(value), pointer.split("/")[1:])
        try:
            moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        except ValueError:
            moment = None
        if moment is None:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
        stamp = int(since_epoch / timedelta(microseconds=1)) * 1000
    else:
        stamp = value.int_value
    return (stamp - whole.started) / 1e9 if 0 < whole.started <= stamp else None


def resolve(table: dict[str, Any], whole: Whole) -> dict[str, tuple[str, Any]]:
    """Column -> (key, value) for the columns that a span fills."""
    if "operation" in table:
        found = resolve_columns({"operation": table["operation"]}, whole)
        whole.operation = found["operation"][1] if "operation" in found else None
    return resolve_columns(table, whole)


def resolve_columns(table: dict[str, Any], whole: Whole) -> dict[str, tuple[str, Any]]:
    groups: dict[str, str] = {}
    for group in {c.get("group") for c in table.values()} - {None}:
        members = [c for c in table.values() if c.get("group") == group]
        order = list(dict.fromkeys(key_of(s)[0] for c in members for s in c["sources"]))
        used = {
            key_of(s)[0] for c in members for s in c["sources"]
            if source_value(c, s, whole) is not None
        }  # fmt: skip
        groups[group] = next((name for name in order if name in used), "")
    result = {}
    for name, column in table.items():
        if column["type"] in READ:
            continue
        candidates = [
            (key_of(source)[1].removesuffix("#"), value)
            for source in column["sources"]
            if column.get("group") is None or key_of(source)[0] == groups[column["group"]]
            if (value := source_value(column, source, whole)) is not None
        ]
        vague = column.get("vague", [])
        weak = {key_of(source)[1] for source in column["sources"] if source.get("weak")}
        beats = candidates[:1] + [c for c in candidates[1:] if c[0] not in weak]
        specific = [c for c in beats if c[1] not in vague] if vague else candidates
        if candidates:
            result[name] = (specific or candidates)[0]
        if candidates and column.get("union"):
            every = dict.fromkeys(text for _, texts in candidates for text in texts)
            result[name] = (candidates[0][0], list(every))
    return result


def verdict(span: Any, limit: int) -> str | None:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "invalid_trace_id"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "invalid_span_id"
    if max(span.start_time_unix_nano, span.end_time_unix_nano) > INT64_MAX:
        return "timestamp"
    return "attribute_limit" if len(span.attributes) > limit else None


def rfc3339(nanoseconds: int) -> Any:
    if nanoseconds == 0:
        return None
    if nanoseconds > INT64_MAX:
        return nanoseconds
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def name_of(names: list[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)


def event_json(event: Any) -> dict[str, Any]:
    return {
        "time": rfc3339(event.time_unix_nano),
        "name": event.name,
        "attributes": attributes_json(event.attributes),
        "dropped_attributes_count": event.dropped_attributes_count,
    }


def link_json(link: Any) -> dict[str, Any]:
    return {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "trace_state": link.trace_state,
        "attributes": attributes_json(link.attributes),
        "flags": link.flags,
        "dropped_attributes_count": link.dropped_attributes_count,
    }


def span_row(resource: Any, scope: Any, span: Any) -> dict[str, Any]:
    """The expected row; JSON columns as Python values; `all_attributes` is everything received."""
    whole = Whole(
        last_of_each(span.attributes), list(span.events), span.name, span.status.message,
        scope.name, last_of_each(resource.attributes), started=span.start_time_unix_nano,
    )  # fmt: skip
    columns = TABLE["columns"]
    found = resolve(columns, whole)
    row: dict[str, Any] = dict.fromkeys(columns)
    row |= {name: value for name, (_, value) in found.items()}
    shown = [c["name"] for c in TABLE["conventions"] if shows_convention(whole, c)]
    row["convention"] = shown[0] if shown else None
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    return row | {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() if any(span.parent_span_id) else None,
        "name": span.name or None,
        "kind": name_of(KINDS, span.kind),
        "start_time": start or None,
        "duration_ns": end - start if start and end else None,
        "status": name_of(STATUSES, span.status.code),
        "status_message": span.status.message or None,
        "scope_name": scope.name or None,
        "scope_version": scope.version or None,
        "resource": attributes_json(resource.attributes) or None,
        "events": [event_json(event) for event in span.events] or None,
        "links": [link_json(link) for link in span.links] or None,
        "trace_state": span.trace_state or None,
        "flags": span.flags,
        "dropped_attributes_count": span.dropped_attributes_count,
        "norm_source": {name: key for name, (key, _) in found.items()} or None,
        "all_attributes": attributes_json(span.attributes),
    }


def expected(payloads: list[bytes], limit: int) -> dict[str, list[Any]]:
    """Rows of spans with their request, and (reason, request) of rejected spans."""
    result: dict[str, list[Any]] = {"spans": [], "rejected": []}
    for number, payload in enumerate(payloads):
        for resource_spans in ExportTraceServiceRequest.FromString(payload).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    reason = verdict(span, limit)
                    if reason is not None:
                        result["rejected"].append((reason, number))
                        continue
                    row = span_row(resource_spans.resource, scope_spans.scope, span)
                    result["spans"].append((row, number))
    return result
