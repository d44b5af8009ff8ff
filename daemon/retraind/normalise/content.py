"""What was said and shown: messages, documents, tools, metadata.

These columns are read from JSON, one value at a time; everything else is columnar.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from retraind.normalise import said
from retraind.normalise.coerce import is_placeholder, unquoted
from retraind.normalise.conventions import Column, Source
from retraind.normalise.documents import documents_of
from retraind.normalise.parts import loaded
from retraind.normalise.reading import Read, add, read
from retraind.normalise.resolve import Resolved
from retraind.normalise.sources import permitted


def fill(resolved: Resolved, table: tuple[Column, ...]) -> None:
    """Add the columns that are read from JSON, and what follows from them."""
    columns = {column.name: column for column in table}
    said.fill(resolved, columns)
    _documents(resolved, columns["documents"], columns["input_documents"])
    _tools(resolved, columns["tool_definitions"])
    _object(resolved, columns["metadata"])


def _documents(resolved: Resolved, output: Column, offered: Column) -> None:
    def convert(value: Any, source: Source) -> Any:
        if source.path.form == "events":
            value = [item["attributes"] for item in value]
        if isinstance(value, list):
            value = [unquoted(loaded(item)) for item in value]
        return documents_of(value)

    found = read(resolved, output, convert)
    add(resolved, output.name, found, _dumped(found))
    ids, scores = pa.list_(pa.string()), pa.list_(pa.float64())
    resolved.columns["document_ids"] = _each(found, "id", ids)
    resolved.columns["document_scores"] = _each(found, "score", scores)
    given = read(resolved, offered, convert)
    add(resolved, offered.name, given, _dumped(given))


def _each(found: Read, part: str, kind: pa.DataType) -> pa.Array:
    """One field of every document; NULL when no document has it."""
    if not found.keys:
        return pa.nulls(len(found.values), kind)
    lists = [[d.get(part) for d in documents or ()] for documents in found.values]
    return pa.array([each if any(v is not None for v in each) else None for each in lists], kind)


def _dumped(found: Read) -> pa.StringArray:
    """The values as JSON."""
    if not found.keys:
        return pa.nulls(len(found.values), pa.string())
    texts = [None if v is None else orjson.dumps(v).decode() for v in found.values]
    return pa.array(texts, pa.string())


def _tools(resolved: Resolved, column: Column) -> None:
    """Tool definitions as one list; each may be JSON text, or lie under `tool.json_schema`."""

    def convert(value: Any, _: Source) -> Any:
        if not isinstance(value, list):
            return value if isinstance(value, dict) else None
        return [_definition(loaded(item)) for item in value]

    found = read(resolved, column, convert)
    add(resolved, column.name, found, _dumped(found))


def _definition(item: Any) -> Any:
    inner = item.get("tool", item) if isinstance(item, dict) else item
    schema = inner.get("json_schema") if isinstance(inner, dict) else None
    return loaded(schema) if isinstance(schema, str) else inner


def _object(resolved: Resolved, column: Column) -> None:
    """One object of the members of every source; of equal names the first source's counts."""
    holders, owners = resolved.holders, resolved.holders.attributes.owners
    found = Read([None] * owners, np.zeros(owners, dtype=np.int64))
    for source in column.sources:
        allowed = permitted(holders, resolved.operations, source)
        decoded = None if allowed is False else holders.decoded(source.path)
        if decoded is None:
            continue
        found.keys.append(source.key)
        wanted = np.ones(owners, dtype=bool) & allowed
        for place in np.flatnonzero(wanted[decoded.owners]).tolist():
            members = _members(decoded.shared(place))
            if members:
                owner = int(decoded.owners[place])
                found.place[owner] = found.place[owner] or len(found.keys)
                found.values[owner] = members | (found.values[owner] or {})
    add(resolved, column.name, found, _dumped(found))


def _members(value: Any) -> dict[str, Any]:
    """The members of an object that hold something; texts that are quoted without the quotes."""
    if not isinstance(value, dict):
        return {}
    plain = {name: unquoted(item) for name, item in value.items()}
    return {n: v for n, v in plain.items() if not (isinstance(v, str) and is_placeholder(v))}
