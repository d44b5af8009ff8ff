"""OTLP/JSON bodies to the protobuf bytes of the same request.

The official messages are filled field by field from their own descriptors, by the rules of
OTLP/JSON, which differ from those of protobuf's JSON: ids are hexadecimal in either case, keys are
lowerCamelCase only, and enums are integers. Unknown fields are ignored at every level and null
means absent. Names of enum values, which clients must not send but some do, are understood; unknown
names are not.

An id that is not hexadecimal makes its span invalid, not the request: it is passed on with a length
that no valid id has. Any other value of a wrong type makes the request invalid.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from retraind.errors import InvalidPayload

# Messages within messages; attribute values nest two messages a level.
MAX_DEPTH = 80
_ID_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
# Indices into a dictionary that only profiles have.
_IGNORED = frozenset({"string_value_strindex", "key_strindex"})
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_BOM = b"\xef\xbb\xbf"
_SPECIAL_DOUBLES = frozenset({"NaN", "Infinity", "-Infinity"})
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Convert = Callable[[Any], Any]


class _WrongValueError(ValueError):
    """A value does not fit its field."""


def traces_from_json(body: bytes) -> bytes:
    """ExportTraceServiceRequest bytes of an OTLP/JSON body. Raises InvalidPayload."""
    return _transcode(body, ExportTraceServiceRequest())


def logs_from_json(body: bytes) -> bytes:
    """ExportLogsServiceRequest bytes of an OTLP/JSON body. Raises InvalidPayload."""
    return _transcode(body, ExportLogsServiceRequest())


def _transcode(body: bytes, message: Any) -> bytes:
    try:
        data = orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise InvalidPayload(f"the request is not valid JSON: {error}") from error
    try:
        _fill(message, data, 1)
    except _WrongValueError as error:
        raise InvalidPayload(f"the request is not valid OTLP/JSON: {error}") from error
    encoded: bytes = message.SerializeToString()
    return encoded


def _fill(message: Any, data: Any, depth: int) -> None:
    if not isinstance(data, dict):
        raise _WrongValueError("expected an object")
    if depth > MAX_DEPTH:
        raise _WrongValueError("nested too deeply")
    fields = _fields(message.DESCRIPTOR)
    for key, value in data.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        name, convert, repeated = field
        try:
            if convert is not None:
                setattr(message, name, convert(value))
            elif repeated:
                _fill_all(getattr(message, name), value, depth + 1)
            else:
                part = getattr(message, name)
                part.SetInParent()
                _fill(part, value, depth + 1)
        except _WrongValueError as error:
            raise _WrongValueError(f"{key}: {error}") from error


def _fill_all(container: Any, values: Any, depth: int) -> None:
    if not isinstance(values, list):
        raise _WrongValueError("expected an array")
    for value in values:
        _fill(container.add(), {} if value is None else value, depth)


@cache
def _fields(descriptor: Descriptor) -> dict[str, tuple[str, Convert | None, bool]]:
    """JSON key -> (field name, conversion or None for messages, repeated) of a message."""
    return {
        field.json_name: (field.name, _conversion(field), field.is_repeated)
        for field in descriptor.fields
        if field.name not in _IGNORED and not (field.is_repeated and field.message_type is None)
    }


def _conversion(field: FieldDescriptor) -> Convert | None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return None
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _identifier if field.name in _ID_FIELDS else _base64
    if field.enum_type is not None:
        return _enum({value.name: value.number for value in field.enum_type.values})
    return _SCALARS[field.type]


def _identifier(value: Any) -> bytes:
    text = _string(value)
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return _not_an_id(text)


def _not_an_id(value: str) -> bytes:
    """The text itself, with a length that no valid id has, so that the span is rejected."""
    raw = b"?" + value.encode()
    return raw + b"?" if len(raw) in {8, 16} else raw


def _base64(value: Any) -> bytes:
    text = _string(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _WrongValueError("not base64") from error


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongValueError("expected a string")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError("expected true or false")
    return value


def _double(value: Any) -> float:
    if isinstance(value, bool):
        raise _WrongValueError("expected a number")
    if isinstance(value, int | float):
        return float(value)
    text = _string(value)
    if text in _SPECIAL_DOUBLES or _JSON_NUMBER.fullmatch(text):
        return float(text)
    raise _WrongValueError("expected a number")


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise _WrongValueError("expected a whole number")


def _integer(lowest: int, highest: int) -> Convert:
    def convert(value: Any) -> int:
        number = _whole(value)
        if not lowest <= number <= highest:
            raise _WrongValueError("the number is out of range")
        return number

    return convert


def _enum(names: dict[str, int]) -> Convert:
    number = _integer(-(2**31), 2**31 - 1)

    def convert(value: Any) -> Any:
        return names[value] if isinstance(value, str) and value in names else number(value)

    return convert


_SCALARS: dict[int, Convert] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BOOL: _bool,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_INT32: _integer(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: _integer(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: _integer(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: _integer(0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED32: _integer(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED64: _integer(0, 2**64 - 1),
}
