"""AnyValues: changes of their texts, whatever kind they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from retraind.redact.columns import changed_where, rebuilt_struct

_UNREADABLE = b"\xff"  # a value that cannot be looked into; it stays one that cannot be read


@dataclass(frozen=True, slots=True)
class TextChange:
    """What happens to each text. `hint` is an RE2 expression of the texts that change, or None.

    `numbers` says whether the decimal form of a number counts as a text, `keys` whether keys do.
    """

    hint: str | None
    raw: Callable[[bytes], bytes]
    numbers: bool = False
    keys: bool = False

    def text(self, text: str) -> str:
        return self.raw(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")


def changed_values(values: pa.StructArray, change: TextChange) -> pa.StructArray:
    """AnyValues with their texts changed; a number that changes becomes a text."""
    columns = {field.name: values.field(i) for i, field in enumerate(values.type)}
    for name in ("string_value", "bytes_value"):
        columns[name] = changed_where(columns[name], change.hint, change.raw)
    nested: dict[str, Any] = {"array_value": ArrayValue, "kvlist_value": KeyValueList}
    for name, message in nested.items():
        columns[name] = changed_where(columns[name], None, partial(_nested, message, change))
    if change.numbers:
        for name in ("int_value", "double_value"):
            _numbers(columns, name, change)
    return rebuilt_struct(values, list(columns.values()))


def _numbers(columns: dict[str, pa.Array], name: str, change: TextChange) -> None:
    """Move numbers whose decimal form changes to the texts."""
    column = columns[name]
    if column.null_count == len(column):
        return
    texts = column.cast(pa.string()) if name == "int_value" else _whole_numbers(column)
    new = changed_where(texts, change.hint, change.raw)
    if new is texts:
        return
    moved = pc.fill_null(pc.not_equal(new, texts), False)
    columns[name] = pc.if_else(moved, pa.scalar(None, column.type), column)
    columns["string_value"] = pc.if_else(moved, new.cast(pa.binary()), columns["string_value"])


def _whole_numbers(doubles: pa.Array) -> pa.StringArray:
    """Whole doubles of ten digits and more as decimal texts, other values NULL."""
    numbers = doubles.fill_null(0.0).to_numpy(zero_copy_only=False)
    size = np.abs(np.nan_to_num(numbers, posinf=0.0, neginf=0.0))
    whole = (size >= 1e9) & (size < 2**63) & (np.floor(size) == size)
    integers = np.where(whole, np.nan_to_num(numbers, posinf=0.0, neginf=0.0), 0).astype(np.int64)
    return pa.array(integers, mask=~whole).cast(pa.string())


def _nested(message: Any, change: TextChange, raw: bytes) -> bytes:
    try:
        parsed = message.FromString(raw)
    except (DecodeError, UnicodeDecodeError):
        return _UNREADABLE
    parsed.DiscardUnknownFields()
    _walk(parsed, change)
    encoded: bytes = parsed.SerializeToString()
    return encoded


def _walk(parsed: Any, change: TextChange) -> None:
    for item in parsed.values:
        if isinstance(parsed, KeyValueList):
            if change.keys:
                item.key = change.text(item.key)
            _any_value(item.value, change)
        else:
            _any_value(item, change)


def _any_value(value: AnyValue, change: TextChange) -> None:
    kind: Any = value.WhichOneof("value")
    if kind == "string_value":
        value.string_value = change.text(value.string_value)
    elif kind == "bytes_value":
        value.bytes_value = change.raw(value.bytes_value)
    elif kind == "array_value":
        _walk(value.array_value, change)
    elif kind == "kvlist_value":
        _walk(value.kvlist_value, change)
    elif change.numbers and kind in ("int_value", "double_value"):
        number = getattr(value, kind)
        if math.isfinite(number) and abs(number) < 2**63 and number == int(number):
            before = str(int(number))
            after = change.text(before)
            if after != before:
                value.string_value = after
