"""What was said and shown: messages, documents, tools, metadata.

These columns are read from JSON, one value at a time; everything else is columnar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.normalise import said
from retraind.normalise.coerce import is_placeholder, unquoted, written
from retraind.normalise.conventions import Column, Source
from retraind.normalise.documents import documents_of
from retraind.normalise.parts import loaded
from retraind.normalise.reading import Read, add, each_once, read, unread
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
    resolved.columns["document_ids"] = _column(found, _each("id"), pa.list_(pa.string()))
    resolved.columns["document_scores"] = _column(found, _each("score"), pa.list_(pa.float64()))
    given = read(resolved, offered, convert)
    add(resolved, offered.name, given, _dumped(given))


def _each(part: str) -> Callable[[list[dict[str, Any]]], list[Any] | None]:
    """One field of every document; None when no document has it."""

    def pick(documents: list[dict[str, Any]]) -> list[Any] | None:
        values = [document.get(part) for document in documents]
        return values if any(value is not None for value in values) else None

    return pick


def _dumped(found: Read) -> pa.StringArray:
    """The values as JSON, without those that nest deeper than it can be written."""
    column = _column(found, written, pa.string())
    for owner in np.flatnonzero(
        (found.place > 0) & ~column.is_valid().to_numpy(zero_copy_only=False)
    ).tolist():
        found.values[owner], found.place[owner] = None, 0
    return column


def _column(found: Read, make: Callable[[Any], Any], kind: pa.DataType) -> pa.Array:
    """A column of what is made of the values: once for each, since owners share equal ones."""
    place = np.full(len(found.values), -1, dtype=np.int32)
    known: dict[int, int] = {}
    made: list[Any] = []
    for owner in np.flatnonzero(found.place).tolist():
        value = found.values[owner]
        if id(value) not in known:
            known[id(value)] = len(made)
            made.append(make(value))
        place[owner] = known[id(value)]
    return pa.array(made, kind).take(pa.array(place, mask=place < 0))


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
    found = unread(owners)
    for source in holders.present(column.sources):
        allowed = permitted(holders, resolved.operations, source)
        decoded = None if allowed is False else holders.decoded(source.path)
        if decoded is None:
            continue
        found.keys.append(source.key)
        wanted = (np.ones(owners, dtype=bool) & allowed)[decoded.owners]
        places = np.flatnonzero(wanted).astype(np.int32)
        taken = []
        for owner, members in each_once(decoded, places, _members):
            before = found.values[owner]
            if before is None:
                taken.append(owner)
            found.values[owner] = members if before is None else members | before
        found.place[taken] = len(found.keys)
    add(resolved, column.name, found, _dumped(found))


def _members(value: Any) -> dict[str, Any]:
    """The members of an object that hold something; texts that are quoted without the quotes."""
    if not isinstance(value, dict):
        return {}
    plain = {name: unquoted(item) for name, item in value.items()}
    return {n: v for n, v in plain.items() if not (isinstance(v, str) and is_placeholder(v))}
