"""Compares rows of retraind with those a fixture expects."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import pyarrow as pa

from corpus.expected import (
    COLUMNS,
    DERIVED,
    EVALUATION_COLUMNS,
    JSON_COLUMNS,
    Fixture,
    SpanRow,
)
from retraind.decode import DecodedTraces, decode_logs, decode_traces
from retraind.normalise import normalise_logs, normalise_traces

LIMIT = 2000
Row = dict[str, Any]


@cache
def decoded(payload: bytes) -> DecodedTraces:
    return decode_traces([payload])


def normalised(fixture: Fixture) -> tuple[list[Row], list[Row]]:
    """Rows of spans that the traces alone give, and of all evaluations, in process.

    A result that a span and a log record both carry is one, as in the store: the record's.
    """
    result = normalise_traces(decoded(fixture.traces), attribute_limit=LIMIT)
    assert len(result.rejected) == 0, result.rejected.to_pylist()
    told = plain_rows(normalise_logs(decode_logs([fixture.logs])).evaluations)
    once = [judged(row) for row in told]
    own = [row for row in plain_rows(result.evaluations) if judged(row) not in once]
    return plain_rows(result.spans), told + own


def judged(row: Row) -> tuple[Any, ...]:
    """What a result says, and of what."""
    return tuple(row[name] for name in ("span_id", "name", "score", "label"))


def plain_rows(table: pa.Table) -> list[Row]:
    times = [f.name for f in table.schema if pa.types.is_timestamp(f.type)]
    return table.drop_columns(times).to_pylist()


def differences(
    fixture: Fixture, spans: list[Row], evaluations: list[Row], *, with_logs: bool
) -> list[str]:
    """What is wrong with the rows; empty when they are as expected.

    Without logs, values of spans that come from log records are expected to be absent.
    """
    wrong = []
    by_id = {(row["trace_id"], row["span_id"]): row for row in spans}
    for expected in fixture.spans:
        span = fixture.find(expected.name, expected.nth).span
        row = by_id.get((span.trace_id.hex(), span.span_id.hex()))
        place = f"{fixture.name}: {expected.name}[{expected.nth}]"
        if row is None:
            wrong.append(f"{place} is not there")
        else:
            wrong += [f"{place}.{text}" for text in span_differences(expected, row, with_logs)]
    return wrong + evaluation_differences(fixture, evaluations)


def span_differences(expected: SpanRow, row: Row, with_logs: bool) -> list[str]:
    wrong = []
    sources = json.loads(row["norm_source"] or "{}")
    from_logs = any(key.startswith("log:") for keys in expected.keys.values() for key in keys)
    for column in sorted(COLUMNS | set(expected.values)):
        if from_logs and not with_logs and column in DERIVED:
            continue
        wanted, keys = expected.values.get(column), expected.keys.get(column, ())
        if not with_logs and any(key.startswith("log:") for key in keys):
            wanted, keys = None, ()
        found = row[column]
        if column in JSON_COLUMNS:
            wanted, found = parsed(wanted), parsed(found)
        if column == "tags":  # a set to some libraries, which send it in another order each time
            wanted, found = sorted(wanted or ()), sorted(found or ())
        if not same(wanted, found):
            wrong.append(f"{column} is {found!r}, expected {wanted!r}")
        # The union of several sources has no one key that won.
        elif column not in DERIVED and len(keys) == 1 and sources.get(column) != keys[0]:
            wrong.append(f"{column} comes from {sources.get(column)}, expected {keys[0]}")
    return wrong


def parsed(value: Any) -> Any:
    """The value of a JSON text; a fixture may also give the value itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def evaluation_differences(fixture: Fixture, rows: list[Row]) -> list[str]:
    wanted = []
    for expected in fixture.evaluations:
        span = None
        if expected.span is not None:
            span = fixture.find(expected.span, expected.nth).span.span_id.hex()
        absent = dict.fromkeys(EVALUATION_COLUMNS) | {"kind": "automated"}
        wanted.append(absent | expected.values | {"span_id": span})
    left = list(rows)
    missing = []
    for one in wanted:
        match = next((row for row in left if same(one, {k: row[k] for k in one})), None)
        if match is None:
            missing.append(one)
        else:
            left.remove(match)
    texts = [f"{fixture.name}: no evaluation {one}" for one in missing]
    return texts + [f"{fixture.name}: unexpected evaluation {one}" for one in left]


def same(wanted: Any, found: Any) -> bool:
    """Equality that lets floats differ in the last digits, and true differ from 1."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(same(wanted[k], found[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(same, wanted, found))
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(wanted, found, rel_tol=1e-9)
    return bool(wanted == found)
