"""Answers as JSON: dataclasses of the console, and Arrow tables of user SQL."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.console.daemon import Status
from retraind.model import Json


def timestamp(time_ns: int) -> str:
    """RFC 3339 of Unix nanoseconds, to the millisecond."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}Z"


def plain(value: Any) -> Any:
    """A dataclass, list or mapping as JSON values: `x_ns` becomes `x_at`, a timestamp."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        result = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if field.name.endswith("_ns"):
                name = field.name.removesuffix("_ns") + "_at"
                result[name] = None if item is None else timestamp(item)
            else:
                result[field.name] = plain(item)
        return result
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def status_json(status: Status, reasons: list[str]) -> Json:
    """The public status. Errors of deliveries stay out: they can quote what a receiver answered."""
    body: Json = {"ready": not reasons, "reasons": reasons, **plain(status)}
    for series in body["series"]:
        series["states"] = dict(series["states"])
    for row in body["outbox"]:
        del row["last_error"]
    return body


def dumps(value: Any) -> bytes:
    """JSON bytes; NaN and infinities become null, times without a zone are UTC."""
    options = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, default=_default, option=options)


def rows(table: pa.Table) -> list[Json]:
    """One object a row. Times are RFC 3339 in UTC; repeated column names get a number."""
    names: list[str] = []
    for name in table.column_names:
        copies = sum(1 for known in names if known == name or known.startswith(f"{name}:"))
        names.append(f"{name}:{copies}" if copies else name)
    columns = [_column(column).to_pylist() for column in table.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps as text (Python has no nanoseconds); inside lists and structs as microseconds."""
    if pa.types.is_timestamp(column.type):
        naive = column.cast(pa.timestamp(column.type.unit))
        text = pc.replace_substring(naive.cast(pa.string()), " ", "T")
        return pc.binary_join_element_wise(text, "Z", "")
    coarse = _microseconds(column.type)
    return column if coarse == column.type else column.cast(coarse, safe=False)


def _microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_list(kind):
        return pa.list_(_microseconds(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _microseconds(field.type)) for field in kind])
    return kind


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        if value != value.to_integral_value():
            return float(value)
        return int(value) if abs(value) < 2**63 else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
