"""Attributes to canonical columns, by the table of conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise import nested
from retraind.normalise.attributes import ARRAY, STRING, Attributes, Mask, Rows
from retraind.normalise.conventions import Column, Source
from retraind.normalise.typed import ARROW_TYPES, NATIVE, TypedValues, chosen

Choice = tuple[Source, Rows]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Columns of the owners of a set of attributes.

    `exact` marks the attributes that a column shows unchanged. `source` (a JSON object of column to
    key) says which, so they can be given back from the row and need not be kept elsewhere.
    """

    columns: dict[str, pa.Array]
    exact: Mask
    source: pa.StringArray


def resolve(attributes: Attributes, table: Sequence[Column]) -> Resolved:
    """Fill every column of `table` from the best source of each owner."""
    typed = TypedValues(attributes)
    choices = {column.name: _choices(typed, column) for column in table}
    _one_convention_a_group(table, choices)
    exact = np.zeros(attributes.count, dtype=bool)
    columns: dict[str, pa.Array] = {}
    winners: list[tuple[Column, Any]] = []
    for column in table:
        options = choices[column.name]
        if not options:
            columns[column.name] = pa.nulls(attributes.owners, ARROW_TYPES[column.type])
            continue
        if column.type == "texts" or any(source.values for source, _ in options):
            columns[column.name], winner = _by_distinct(typed, column, options, exact)
        else:
            columns[column.name], winner = _by_position(typed, column, options, exact)
        winners.append((column, winner))
    return Resolved(columns, exact, _source(winners, choices, attributes.owners))


def _choices(typed: TypedValues, column: Column) -> list[Choice]:
    """The sources that occur, each with the attribute that every owner would take."""
    found: list[Choice] = []
    for source in column.sources:
        rows = typed.usable(source.key, column.type)
        if rows is None:
            continue
        if source.when is not None:
            marker = typed.attributes.rows(source.when)
            if marker is None:
                continue
            rows = np.where(marker >= 0, rows, -1)
        found.append((source, rows))
    return found


def _one_convention_a_group(table: Sequence[Column], choices: dict[str, list[Choice]]) -> None:
    """Columns of a group come from one convention an owner: the first that has any of them."""
    for group in {column.group for column in table if column.group is not None}:
        members = [column for column in table if column.group == group]
        order = list(dict.fromkeys(s.convention for column in members for s in column.sources))
        present = [s for column in members for s, _ in choices[column.name]]
        if len({source.convention for source in present}) < 2:
            continue
        owners = len(choices[next(c.name for c in members if choices[c.name])][0][1])
        taken = np.full(owners, len(order), dtype=np.int32)
        for column in members:
            for source, rows in choices[column.name]:
                rank = order.index(source.convention)
                taken[(rows >= 0) & (taken > rank)] = rank
        for column in members:
            choices[column.name] = [
                (source, np.where(taken == order.index(source.convention), rows, -1))
                for source, rows in choices[column.name]
            ]


def _by_position(
    typed: TypedValues, column: Column, options: list[Choice], exact: Mask
) -> tuple[pa.Array, Any]:
    """Values taken as they are (or scaled)."""
    rows = options[0][1]
    winner = (rows >= 0).astype(np.int64)
    for number, (_, candidate) in enumerate(options[1:], start=2):
        use = (rows < 0) & (candidate >= 0)
        rows = np.where(use, candidate, rows)
        winner[use] = number
    values = typed.take(column.type, rows)
    scaled = np.array([False, *(source.scale is not None for source, _ in options)])
    if scaled.any():
        factor = np.array([1.0, *(source.scale or 1.0 for source, _ in options)])[winner]
        values = pc.if_else(pa.array(scaled[winner]), pc.multiply(values, pa.array(factor)), values)
    places = rows[rows >= 0]
    same = typed.attributes.kind[places] == NATIVE[column.type]
    if scaled.any():
        same &= ~scaled[winner[rows >= 0]]
    exact[places[same]] = True
    return values, winner


def _by_distinct(
    typed: TypedValues, column: Column, options: list[Choice], exact: Mask
) -> tuple[pa.Array, Any]:
    """Values that are mapped or parsed: once for each distinct value."""
    owners = typed.attributes.owners
    vocabulary: dict[Any, int] = {}
    winner = np.zeros(owners, dtype=np.int64)
    value = np.full(owners, -1, dtype=np.int32)
    place = np.full(owners, -1, dtype=np.int32)
    specific = np.zeros(owners, dtype=bool)
    for number, (source, rows) in enumerate(options, start=1):
        ids, same = _distinct_ids(typed.attributes, column, source, rows, vocabulary)
        vague_ids = [i for text, i in vocabulary.items() if text in column.vague]
        is_specific = ~np.isin(ids, vague_ids) if vague_ids else np.ones(owners, dtype=bool)
        use = (ids >= 0) & ((value < 0) | (is_specific & ~specific))
        winner[use], value[use], specific[use] = number, ids[use], is_specific[use]
        place[use] = np.where(same[use], rows[use], -1)
    exact[place[place >= 0]] = True
    entries = [list(v) if column.type == "texts" else v for v in vocabulary]
    values = pa.array(entries, ARROW_TYPES[column.type])
    return values.take(pa.array(value, mask=value < 0)), winner


def _distinct_ids(
    attributes: Attributes, column: Column, source: Source, rows: Rows, vocabulary: dict[Any, int]
) -> tuple[Rows, Mask]:
    """For each owner the id of its value in `vocabulary` (or -1), and whether it is as sent."""
    ids = np.full(len(rows), -1, dtype=np.int32)
    same = np.zeros(len(rows), dtype=bool)
    owners = chosen(rows)
    kinds = attributes.kind[rows[owners]]
    for kind in (STRING, ARRAY):
        those = owners[kinds == kind]
        if len(those) == 0:
            continue
        encoded = attributes.values(kind).take(pa.array(rows[those])).dictionary_encode()
        mapped, unchanged = [], []
        for raw in encoded.dictionary.to_pylist():
            result, equal = _canonical(column, source, kind, raw)
            mapped.append(-1 if result is None else vocabulary.setdefault(result, len(vocabulary)))
            unchanged.append(equal)
        codes = encoded.indices.to_numpy()
        ids[those] = np.array(mapped, dtype=np.int32)[codes]
        same[those] = np.array(unchanged, dtype=bool)[codes]
    return ids, same


def _canonical(column: Column, source: Source, kind: int, raw: Any) -> tuple[Any, bool]:
    """The canonical form of one distinct value (None if it has none); is it the same?"""
    if column.type != "texts":
        if kind != STRING:
            return None, False
        value = _map(column, source, raw)
        return value, value == raw
    texts, lossless = _texts(kind, raw)
    mapped = [value for value in (_map(column, source, text) for text in texts) if value]
    return (tuple(mapped), lossless and mapped == texts) if mapped else (None, False)


def _map(column: Column, source: Source, raw: str) -> str | None:
    if source.values is None:
        return raw
    lower = raw.strip().lower()
    return source.values.get(lower, lower if column.unknown == "lower" else column.unknown) or None


def _texts(kind: int, raw: Any) -> tuple[list[str], bool]:
    """Texts from an array value, a JSON list or a single text; and whether nothing is lost."""
    if kind == ARRAY:
        values = nested.array_values(raw)
        texts = [v.string_value for v in values if v.WhichOneof("value") == "string_value"]
        return texts, len(texts) == len(values)
    if raw.startswith("["):
        try:
            parsed = orjson.loads(raw)
            return [item for item in parsed if isinstance(item, str)], False
        except orjson.JSONDecodeError:
            pass
    return [raw], False


def _source(
    winners: list[tuple[Column, Any]], choices: dict[str, list[Choice]], owners: int
) -> Any:
    """JSON object of column to key for each owner, built once per distinct combination."""
    signature = np.zeros(owners, dtype=np.int64)
    size = 1
    for column, winner in winners:
        base = len(choices[column.name]) + 1
        if size * base >= 2**62:
            distinct, signature = np.unique(signature, return_inverse=True)
            size = len(distinct)
        signature = signature * base + winner
        size *= base
    _, first, index = np.unique(signature, return_index=True, return_inverse=True)
    texts: list[str | None] = []
    for example in first.tolist():
        entry = {
            column.name: choices[column.name][winner[example] - 1][0].key
            for column, winner in winners
            if winner[example]
        }
        texts.append(orjson.dumps(entry).decode() if entry else None)
    return pa.array(texts, pa.string()).take(pa.array(index))
