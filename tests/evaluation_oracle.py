"""Which evaluations a span carries, one value at a time; shares only the tables with the code."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import otlp_oracle
from otlp_oracle import INT64_MAX, Whole, decoded, holder_value, is_placeholder, last_of_each

TABLE = tomllib.loads(
    Path(__file__).parents[1].joinpath("daemon/retraind/normalise/evaluations.toml").read_text()
)
otlp_oracle.TABLE["values"] |= TABLE["values"]
ID = re.compile("[0-9a-f]+")
Row = dict[str, Any]
COLUMNS = (
    "time", "trace_id", "span_id", "response_id", "session_id", "name", "score", "label", "passed",
    "explanation", "correction", "evaluator", "evaluator_version", "error_type", "kind", "source",
    "idempotency_key", "dataset", "item_id", "run_id", "variant",
)  # fmt: skip


def said(name: str, label: str | None) -> bool | None:
    word = (label or "").strip().lower()
    labels = TABLE["labels"]
    if word not in labels["passed"] + labels["failed"]:
        return None
    plain = re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).lower()
    turned = word in labels["findings"] and plain in labels["defects"]
    return (word in labels["passed"]) != turned


def label_of(text: Any) -> str | None:
    return None if text is None or text.lower() in TABLE["labels"]["nothing"] else text


def mark_of(attributes: Row, scope: str) -> Row:
    for mark in TABLE["marks"]:
        scoped = any(scope.startswith(start) for start in mark.get("scopes", []))
        if scoped or any(key in attributes for key in mark["keys"]):
            return mark
    return {"convention": "otel_genai"}


def keyed(span: Row, attributes: Row, scope: str, carrier: str, time: int) -> Row | None:
    """The result that one set of attributes is, if it is one."""
    found = otlp_oracle.resolve(TABLE["columns"], Whole(attributes))
    row = {name: found[name][1] if name in found else None for name in TABLE["columns"]}
    if row["name"] is None:
        return None
    mark = mark_of(attributes, scope)
    upward = mark.get("span") == "parent"
    row["label"] = label_of(row["label"])
    feedback = row["name"] in TABLE["feedback"]["names"]
    row["kind"] = row["kind"] or ("human" if feedback else "automated")
    if carrier == "attribute":
        if mark["convention"] == "logfire":
            row |= {"kind": "human"} | named_value(attributes.get(row["name"]))
        if any(row[name] is not None for name in ("score", "label", "passed")):
            row["error_type"] = None
    row["source"] = (
        f"{'span' if upward and carrier == 'attribute' else carrier}:" + (mark["convention"])
    )
    if row["passed"] is None:
        by_verdict = said(row["name"], row["verdict"])
        row["passed"] = said(row["name"], row["label"]) if by_verdict is None else by_verdict
    if row["error_type"] is not None:
        row["passed"] = None
    own = row["judged_span"] or span["span_id"]
    row["span_id"] = (span["parent_span_id"] or own) if upward else own
    row["response_id"] = row["response_id"] or (None if upward else span["response_id"])
    row["run_id"] = span["run_id"] or (span["trace_id"] if mark.get("offline") else None)
    return row | {"trace_id": span["trace_id"], "variant": span["variant"], "time": stamp(time)}


def named_value(value: Any) -> Row:
    kind = None if value is None else value.WhichOneof("value")
    if kind == "bool_value":
        return {"score": float(value.bool_value), "passed": value.bool_value}
    if kind in ("int_value", "double_value"):
        return {"score": float(getattr(value, kind))}
    return {"label": value.string_value} if kind == "string_value" else {}


def stamp(time: int) -> int | None:
    return time if 0 < time <= INT64_MAX else None


def members(entry: Row, whole: Whole) -> list[tuple[str, Any, Any]]:
    """(key, item, everything) of the list or map that an entry of the table names."""
    if "when" in entry:
        value = whole.attributes.get(entry["when"])
        if value is None or value.string_value != entry.get("equals", value.string_value):
            return []
    holder = holder_value(whole, entry["in"])
    value = decoded(holder) if holder is not None else None
    if entry.get("map"):
        pairs = value.items() if isinstance(value, dict) else ()
        ends = tuple(entry.get("skip_ends", ()))
        return [
            (key, item, value) for key, item in pairs
            if key not in entry.get("skip", ()) and not (ends and key.endswith(ends))
        ]  # fmt: skip
    items = value if isinstance(value, list) else ()
    return [("", item, value) for item in items if isinstance(item, dict)]


def item_row(entry: Row, key: str, item: Any, everything: Any) -> Row | None:
    if entry.get("numbers") and not isinstance(item, int | float):
        return None
    names = ("name", "score", "label", "passed", "explanation", "evaluator", "evaluator_version",
             "kind")  # fmt: skip
    row: Row = {}
    for name in names:
        if name in entry:
            row[name] = typed(name, key if entry[name] == "key" else at(item, entry[name]))
    for name, ending in entry.get("aside", {}).items():
        row[name] = typed(name, everything.get(key + ending))
    if not row["name"] or all(row.get(n) is None for n in ("score", "label", "passed")):
        return None
    kinds = {raw: kind for kind, raws in TABLE["values"]["evaluation_kind"].items() for raw in raws}
    by_word = kinds.get((row.get("kind") or "").strip().lower())
    row["kind"] = entry.get("judge") or by_word or "automated"
    if row.get("passed") is None:
        row["passed"] = said(row["name"], row.get("label"))
    return row


def at(item: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        item = item.get(step) if isinstance(item, dict) else None
    return item


def typed(name: str, value: Any) -> Any:
    if name == "passed":
        return value if isinstance(value, bool) else None
    if name == "score":
        try:
            number = float(value) if isinstance(value, bool | int | float | str) else math.nan
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    if name == "label" and not isinstance(value, str):
        return None
    value = otlp_oracle.python_any(value)
    text = None if value is None else otlp_oracle.as_sent(value)
    if text is None or is_placeholder(text):
        return None
    return label_of(text) if name == "label" else text


def listed(span: Row, message: Any, whole: Whole) -> list[Row]:
    found = []
    for entry in TABLE["items"]:
        for member in members(entry, whole):
            row = item_row(entry, *member)
            if row is None:
                continue
            for name, key in entry.get("shared", {}).items():
                held, _, pointer = key.partition("#")
                value = decoded(whole.attributes.get(held)) if held in whole.attributes else None
                row[name] = typed("name", at(value, pointer))
            judged, link = entry.get("span", "own"), message.links[:2]
            trace, own = span["trace_id"], span["span_id"]
            whole_link = len(link) == 1 and any(link[0].trace_id) and any(link[0].span_id)
            if entry.get("linked") and whole_link:
                trace, own = link[0].trace_id.hex(), link[0].span_id.hex()
            upward = span["parent_span_id"] or own
            row |= {
                "trace_id": trace,
                "span_id": {"own": own, "parent": upward}.get(judged),
                "session_id": span["session_id"] if judged == "session" else None,
                "run_id": span["run_id"] or (span["trace_id"] if entry.get("offline") else None),
                "variant": span["variant"],
                "time": stamp(message.end_time_unix_nano),
                "source": f"{'span' if judged == 'parent' else 'attribute'}:{entry['convention']}",
            }
            found.append(row)
    return found


def rows(span: Row, message: Any, scope: str) -> list[Row]:
    """Results of one span: its events, its attributes unless they say the same, and its lists."""
    found = [
        keyed(span, last_of_each(event.attributes), scope, "event", event.time_unix_nano)
        for event in message.events if event.name in TABLE["carriers"]["events"]
    ]  # fmt: skip
    whole = Whole(last_of_each(message.attributes))
    own = keyed(span, whole.attributes, scope, "attribute", message.end_time_unix_nano)
    same = ("name", "score", "label")
    if own and not any(one and all(one[n] == own[n] for n in same) for one in found):
        found.append(own)
    every = [row for row in [*found, *listed(span, message, whole)] if row is not None]
    return [{name: row.get(name) for name in COLUMNS} for row in every]


def expected(payloads: list[bytes], limit: int) -> list[tuple[Row, int]]:
    """Rows of evaluations with the number of their request."""
    result = []
    for number, payload in enumerate(payloads):
        for group in ExportTraceServiceRequest.FromString(payload).resource_spans:
            for scoped in group.scope_spans:
                for span in scoped.spans:
                    if otlp_oracle.verdict(span, limit) is None:
                        row = otlp_oracle.span_row(group.resource, scoped.scope, span)
                        result += [(one, number) for one in rows(row, span, scoped.scope.name)]
    return result
