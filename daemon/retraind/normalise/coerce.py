"""JSON values and texts as the values of a column."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import orjson

from retraind.normalise.conventions import (
    PLACEHOLDER_PREFIX,
    PLACEHOLDERS,
    Column,
    ColumnType,
    Source,
)
from retraind.normalise.parts import loaded
from retraind.normalise.typed import EXACT_DOUBLE, INTEGER, NUMBER

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_INT64 = 2**63


def coerced(value: Any, column_type: ColumnType) -> Any:
    """A JSON value as a column's type, None when it is none."""
    if value is None or (isinstance(value, str) and is_placeholder(value)):
        return None
    if column_type == "text":
        return value if isinstance(value, str) else _written(value)
    if column_type == "numbers":
        return _vector(value)
    return _flag(value) if column_type == "flag" else _number(value, column_type)


def _written(value: Any) -> str | None:
    dumped = written(value)
    return None if dumped in PLACEHOLDERS else dumped


def written(value: Any) -> str | None:
    """A value as JSON text; None when it nests deeper than JSON can be written."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return None


def _flag(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _number(value: Any, column_type: ColumnType) -> int | float | None:
    if isinstance(value, str):
        if not re.fullmatch(INTEGER if column_type == "integer" else NUMBER, value, re.ASCII):
            return None
        value = int(value) if column_type == "integer" else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if column_type == "number":
        return float(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= EXACT_DOUBLE else None
    return value if -_INT64 <= value < _INT64 else None


def _vector(value: Any) -> list[float] | None:
    """A list of numbers, or the first of a list of such lists; either may be JSON text."""
    if isinstance(value, str):
        value = loaded(value)
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], list | str):
        return _vector(value[0])
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):
        return None
    try:
        return [float(x) for x in value]
    except OverflowError:
        return None


def nanoseconds(text: str) -> int:
    """An RFC 3339 time; 0 when it is none."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return since_epoch(moment)


def since_epoch(moment: dt.datetime) -> int:
    """Nanoseconds since 1970, exact: a float of seconds loses the microseconds' last digits."""
    return (moment - _EPOCH) // dt.timedelta(microseconds=1) * 1000


def canonical_text(column: Column, source: Source, raw: str) -> str | None:
    """A text by the source's value map; None when it has no place in the column."""
    if source.before is not None:
        raw = raw.partition(source.before)[0]
    if source.values is None:
        return raw or None
    lower = raw.strip().lower()
    found = source.values.get(lower)
    if found is None:
        if source.known:
            return None
        found = lower if column.unknown == "lower" else column.unknown
    return found or None


def joined(value: Any) -> Any:
    """The texts of a list, each without its quotes, a line each."""
    if not isinstance(value, list):
        return value
    return "\n".join(text for item in value if isinstance(text := unquoted(item), str)) or None


def unquoted(value: Any) -> Any:
    """A text that is JSON text in quotes without them; else what was given."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def is_cut(raw: str) -> bool:
    """Whether a text is JSON whose end is missing."""
    if raw[:1] not in ("{", "["):
        return False
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return lacks_end(error)
    return False


def lacks_end(error: orjson.JSONDecodeError) -> bool:
    """Other errors are no JSON at all, as Python's own spelling of a list."""
    return "end of data" in error.msg


def is_placeholder(text: str) -> bool:
    """Whether a text stands for nothing."""
    return text in PLACEHOLDERS or text.startswith(PLACEHOLDER_PREFIX)
