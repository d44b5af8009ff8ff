"""Attributes to canonical columns, by the table of conventions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise import nested
from retraind.normalise.attributes import ARRAY, STRING, Attributes, Mask, Rows
from retraind.normalise.coerce import canonical_text
from retraind.normalise.combinations import combinations
from retraind.normalise.conventions import Column
from retraind.normalise.holders import Holders
from retraind.normalise.sources import Choice, choose, operations
from retraind.normalise.typed import ARROW_TYPES, NATIVE

# Columns that are read from JSON, value by value, when their turn comes (content.py).
READ = frozenset(("object", "messages", "parts", "tools", "documents"))


@dataclass(frozen=True, slots=True)
class Winner:
    """Which source filled a column: for each owner a place in `keys`, from 1; 0 for none."""

    column: str
    keys: list[str]
    place: Any


@dataclass(slots=True)
class Resolved:
    """Columns of the owners of a set of attributes.

    `exact` marks the attributes that a column shows unchanged; `winners` say which, so they can be
    given back from the row and need not be kept elsewhere.
    """

    columns: dict[str, pa.Array]
    exact: Mask
    winners: list[Winner]
    holders: Holders
    operations: dict[str, Mask] = field(default_factory=dict)


def resolve(holders: Holders, table: Sequence[Column]) -> Resolved:
    """Fill every column of `table` from the best source of each owner, but those in READ."""
    attributes = holders.attributes
    found = Resolved({}, np.zeros(attributes.count, dtype=bool), [], holders)
    table = [column for column in table if column.type not in READ]
    first = [column for column in table if column.name == "operation"]
    for column in first:
        _fill(found, column, _choices(found, column))
        found.operations = operations(found.columns["operation"])
    rest = [column for column in table if column.name != "operation"]
    choices = {column.name: _choices(found, column) for column in rest}
    _one_convention_a_group(rest, choices, attributes.owners)
    for column in rest:
        _fill(found, column, choices[column.name])
    return found


def _choices(found: Resolved, column: Column) -> list[Choice]:
    """The sources that occur. JSON is opened only for owners that no better source has filled."""
    options: list[Choice] = []
    owners = found.holders.attributes.owners
    present = found.holders.present(column.sources)
    lazy = column.group is None and not column.union and not column.vague
    lazy = lazy and any(source.path.pointer is not None for source in present)
    missing = np.ones(owners, dtype=bool)
    for source in present:
        if lazy and source.path.pointer is not None and not missing.any():
            continue
        option = choose(found.holders, found.operations, column, source, missing)
        if option is not None:
            options.append(option)
            if lazy and (source.values is None or column.type == "texts"):
                missing[option.owners] = False
    return options


def _fill(found: Resolved, column: Column, options: list[Choice]) -> None:
    if not options:
        owners = found.holders.attributes.owners
        found.columns[column.name] = pa.nulls(owners, ARROW_TYPES[column.type])
        return
    if column.type == "texts" or any(option.source.values for option in options):
        fill = _union if column.union and len(options) > 1 else _by_distinct
    else:
        fill = _by_position
    found.columns[column.name], place = fill(found, column, options)
    found.winners.append(Winner(column.name, [option.source.key for option in options], place))


def _one_convention_a_group(
    table: Sequence[Column], choices: dict[str, list[Choice]], owners: int
) -> None:
    """Columns of a group come from one convention an owner: the first that has any of them."""
    for group in {column.group for column in table if column.group is not None}:
        members = [column for column in table if column.group == group]
        order = list(dict.fromkeys(s.counts_as for column in members for s in column.sources))
        options = [option for column in members for option in choices[column.name]]
        if len({option.source.counts_as for option in options}) < 2:
            continue
        taken = np.full(owners, len(order), dtype=np.int32)
        for option in options:
            rank = order.index(option.source.counts_as)
            taken[option.owners] = np.minimum(taken[option.owners], rank)
        for option in options:
            option.keep(taken[option.owners] == order.index(option.source.counts_as))


def _by_position(found: Resolved, column: Column, options: list[Choice]) -> tuple[pa.Array, Any]:
    """Values taken as they are (or scaled)."""
    attributes = found.holders.attributes
    typed = found.holders.typed
    winner = np.zeros(attributes.owners, dtype=np.int64)
    sent = np.full(attributes.owners, -1, dtype=np.int32)  # places among the attributes
    place = np.full(attributes.owners, -1, dtype=np.int32)  # places in the pool, of the others
    pool: list[pa.Array] = []
    size = 0
    for number, option in enumerate(options, start=1):
        if number > 1:
            option.keep(winner[option.owners] == 0)
        winner[option.owners] = number
        values, places, scale = option.values, option.places, option.source.scale
        if values is None and scale is None:
            sent[option.owners] = places
            continue
        if values is None:
            values = typed.take(column.type, places)  # type: ignore[arg-type]
            places = np.arange(len(places), dtype=np.int32)
        place[option.owners] = places + size
        pool.append(values if scale is None else pc.multiply(values, scale))
        size += len(values)
    has = sent >= 0
    if has.any() or not pool:
        places = sent if has.all() else sent[has]
        found.exact[places[attributes.kind[places] == NATIVE[column.type]]] = True
        own = typed.take(column.type, places)  # type: ignore[arg-type]
        if len(own) == attributes.owners:
            return own, winner
        place[has] = np.arange(size, size + len(own))
        pool.append(own)
    return pa.concat_arrays(pool).take(pa.array(place, mask=place < 0)), winner


def _by_distinct(found: Resolved, column: Column, options: list[Choice]) -> tuple[pa.Array, Any]:
    """Values that are mapped or parsed: once for each distinct value."""
    owners = found.holders.attributes.owners
    vocabulary: dict[Any, int] = {}
    winner = np.zeros(owners, dtype=np.int64)
    value = np.full(owners, -1, dtype=np.int32)
    place = np.full(owners, -1, dtype=np.int32)
    specific = np.zeros(owners, dtype=bool)
    for number, option in enumerate(options, start=1):
        ids, same = _distinct_ids(found.holders.attributes, column, option, vocabulary)
        vague_ids = [i for text, i in vocabulary.items() if text in column.vague]
        is_specific = ~np.isin(ids, vague_ids) if vague_ids else np.ones(len(ids), dtype=bool)
        beats = is_specific & ~specific[option.owners] & (not option.source.weak)
        use = (ids >= 0) & ((value[option.owners] < 0) | beats)
        those = option.owners[use]
        winner[those], value[those], specific[those] = number, ids[use], is_specific[use]
        place[those] = np.where(same[use], option.places[use], -1)
    found.exact[place[place >= 0]] = True
    return _from_vocabulary(column, vocabulary, value), winner


def _union(found: Resolved, column: Column, options: list[Choice]) -> tuple[pa.Array, Any]:
    """The values of all sources together, each once; the first source counts as the winner."""
    owners = found.holders.attributes.owners
    vocabulary: dict[Any, int] = {}
    every = np.full((len(options), owners), -1, dtype=np.int32)
    for ids, option in zip(every, options, strict=True):
        ids[option.owners] = _distinct_ids(found.holders.attributes, column, option, vocabulary)[0]
    has = every >= 0
    first = has.argmax(axis=0)
    ids = every[first, np.arange(owners)]
    names = list(vocabulary)
    for owner in np.flatnonzero(has.sum(axis=0) > 1).tolist():
        texts = dict.fromkeys(text for i in every[:, owner].tolist() if i >= 0 for text in names[i])
        ids[owner] = vocabulary.setdefault(tuple(texts), len(vocabulary))
    return _from_vocabulary(column, vocabulary, ids), np.where(has.any(axis=0), first + 1, 0)


def _from_vocabulary(column: Column, vocabulary: dict[Any, int], ids: Rows) -> pa.Array:
    entries = [list(v) if column.type == "texts" else v for v in vocabulary]
    return pa.array(entries, ARROW_TYPES[column.type]).take(pa.array(ids, mask=ids < 0))


def _distinct_ids(
    attributes: Attributes, column: Column, option: Choice, vocabulary: dict[Any, int]
) -> tuple[Rows, Mask]:
    """For each owner of the option the id of its value in `vocabulary` (or -1); is it as sent?"""
    ids = np.full(len(option.owners), -1, dtype=np.int32)
    same = np.zeros(len(option.owners), dtype=bool)
    if option.values is not None:
        values, places = option.values, option.places
        if len(places) < len(values):
            values, places = values.take(pa.array(places)), np.arange(len(places), dtype=np.int32)
        kinds: Any = [(slice(None), places, STRING, values.dictionary_encode())]
    else:
        kinds = _encoded(attributes, option.places)
    for those, places, kind, encoded in kinds:
        mapped, unchanged = [], []
        for raw in encoded.dictionary.to_pylist():
            result, equal = _canonical(column, option, kind, raw)
            mapped.append(-1 if result is None else vocabulary.setdefault(result, len(vocabulary)))
            unchanged.append(equal and option.values is None)
        codes = encoded.indices.fill_null(0).to_numpy()[places]
        ids[those] = np.array(mapped, dtype=np.int32)[codes]
        same[those] = np.array(unchanged, dtype=bool)[codes]
    return ids, same


def _encoded(attributes: Attributes, places: Rows) -> Iterable[tuple[Any, ...]]:
    """The texts and arrays among attributes, dictionary-encoded: (which, places, kind, values)."""
    kinds = attributes.kind[places]
    for kind in (STRING, ARRAY):
        those = np.flatnonzero(kinds == kind)
        if len(those):
            encoded = attributes.values(kind).take(pa.array(places[those])).dictionary_encode()
            yield those, np.arange(len(those)), kind, encoded


def _canonical(column: Column, option: Choice, kind: int, raw: Any) -> tuple[Any, bool]:
    """The canonical form of one distinct value (None if it has none); is it the same?"""
    if column.type != "texts":
        if kind != STRING:
            return None, False
        value = canonical_text(column, option.source, raw)
        return value, value == raw
    texts, lossless = _texts(kind, raw)
    if option.source.split and kind == STRING:
        texts = [part.strip() for text in texts for part in text.split(option.source.split)]
    mapped = [v for text in texts if (v := canonical_text(column, option.source, text))]
    return (tuple(mapped), lossless and mapped == texts) if mapped else (None, False)


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


def source_json(winners: list[Winner], owners: int) -> pa.StringArray:
    """JSON object of column to key for each owner, built once per distinct combination."""
    examples, index = combinations(((w.place, len(w.keys) + 1) for w in winners), owners)
    texts: list[str | None] = []
    shown = [(winner.column, winner.keys, winner.place[examples].tolist()) for winner in winners]
    for i in range(len(examples)):
        entry = {column: keys[place[i] - 1] for column, keys, place in shown if place[i]}
        texts.append(orjson.dumps(entry).decode() if entry else None)
    return pa.array(texts, pa.string()).take(pa.array(index))
