"""Nested OTLP values (arrays and key-value lists), parsed with the official messages.

They are rare: each distinct value of a batch is parsed once.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

# Our own limit on nesting; the official parser stops at 100 levels of messages.
MAX_DEPTH = 32


class NestedValueError(ValueError):
    """A nested attribute value is not valid OTLP."""


def array_values(raw: bytes) -> list[AnyValue]:
    """Elements of an encoded ArrayValue. Raises NestedValueError."""
    try:
        return list(ArrayValue.FromString(raw).values)
    except (DecodeError, UnicodeDecodeError) as error:
        raise NestedValueError("an array attribute is not valid OTLP") from error


def array_json(raw: bytes) -> str:
    """An encoded ArrayValue as JSON text. Raises NestedValueError."""
    return "[" + ",".join(_json(value, 1) for value in array_values(raw)) + "]"


def kvlist_json(raw: bytes) -> str:
    """An encoded KeyValueList as JSON text, the last of equal keys. Raises NestedValueError."""
    try:
        message = KeyValueList.FromString(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise NestedValueError("a key-value list attribute is not valid OTLP") from error
    return _members(message, 1)


def bytes_json(raw: bytes) -> str:
    """Bytes as {"bytesValue": base64}."""
    return f'{{"bytesValue":"{base64.b64encode(raw).decode()}"}}'


def number_json(value: float) -> str:
    """A double as JSON that stays a double when read back."""
    if math.isfinite(value):
        return repr(value)
    name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return f'{{"doubleValue":"{name}"}}'


def _members(message: KeyValueList, depth: int) -> str:
    members = {pair.key: pair for pair in message.values}
    return (
        "{"
        + ",".join(f"{_text(key)}:{_json(pair.value, depth)}" for key, pair in members.items())
        + "}"
    )


def _text(value: str) -> str:
    return orjson.dumps(value).decode()


def _json(value: AnyValue, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise NestedValueError(f"an attribute is nested deeper than {MAX_DEPTH} levels")
    kind: Any = value.WhichOneof("value")
    if kind == "array_value":
        return "[" + ",".join(_json(item, depth + 1) for item in value.array_value.values) + "]"
    if kind == "kvlist_value":
        return _members(value.kvlist_value, depth + 1)
    return _SCALARS[kind](getattr(value, kind)) if kind in _SCALARS else "null"


_SCALARS: dict[str, Callable[[Any], str]] = {
    "string_value": _text,
    "bool_value": lambda value: "true" if value else "false",
    "int_value": str,
    "double_value": number_json,
    "bytes_value": bytes_json,
}
