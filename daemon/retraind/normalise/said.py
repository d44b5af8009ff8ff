"""Messages in one form, what they say, and the tools they call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import Indices
from retraind.normalise import messages
from retraind.normalise.attributes import STRING, Mask
from retraind.normalise.coerce import written
from retraind.normalise.conventions import Column, Source
from retraind.normalise.holders import Decoded
from retraind.normalise.lone import lone_texts
from retraind.normalise.parts import loaded
from retraind.normalise.paths import follow
from retraind.normalise.reading import Taken, add, offers, read
from retraind.normalise.resolve import Resolved, Winner

_INFERENCE = ("chat", "text_completion")


# What is known of a list of messages: itself as JSON, and what `messages.Said` says.
_MESSAGES, _TEXT, _SYSTEM, _TOOLS = range(4)
_TYPES = (pa.string(), pa.string(), pa.string(), pa.list_(pa.string()))


@dataclass(slots=True)
class Spoken(Taken):
    """Messages and what they say, in pieces: some owners, and a column of each of `_TYPES`.

    Of an owner in several pieces the last counts.
    """

    pieces: list[tuple[Indices, list[pa.Array]]] = field(default_factory=list)

    def take(self, owners: Indices, columns: list[pa.Array]) -> None:
        """Take what these owners have from the newest source."""
        self.place[owners] = len(self.keys)
        self.pieces.append((owners, columns))

    def column(self, number: int) -> pa.Array:
        """One of `_TYPES` for every owner."""
        if not self.pieces:
            return pa.nulls(len(self.place), _TYPES[number])
        columns = [piece[number] for _, piece in self.pieces]
        if len(columns) == 1 and len(columns[0]) == len(self.place):
            return columns[0]
        place = np.full(len(self.place), -1, dtype=np.int32)
        owners = np.concatenate([owners for owners, _ in self.pieces])
        place[owners] = np.arange(len(owners), dtype=np.int32)
        return pa.concat_arrays(columns).take(pa.array(place, mask=place < 0))


def fill(resolved: Resolved, columns: dict[str, Column]) -> None:
    """Add the columns of messages and those that follow from them."""
    asked = _messages(resolved, columns["input_messages"], "input")
    answered = _messages(resolved, columns["output_messages"], "output")
    add(resolved, "input_messages", asked, asked.column(_MESSAGES))
    add(resolved, "output_messages", answered, answered.column(_MESSAGES))
    _texts(resolved, "input_text", asked)
    _texts(resolved, "output_text", answered)
    _system(resolved, columns["system_instructions"], asked)
    resolved.columns["called_tools"] = answered.column(_TOOLS)


def _messages(resolved: Resolved, column: Column, direction: messages.Direction) -> Spoken:
    """The messages of every owner."""
    found = Spoken(np.zeros(resolved.holders.attributes.owners, dtype=np.int64))
    for source, wanted, decoded in offers(resolved, column, found):
        places = wanted
        if source.path.plain:
            is_lone = _take_lone(found, decoded, wanted, direction)
            _keep_once(resolved, decoded, wanted[is_lone])
            places = wanted[~is_lone]
        if len(places):
            same = _take_read(found, decoded, places, source, direction)
            _keep_once(resolved, decoded, same)
    return found


def _take_read(
    found: Spoken,
    decoded: Decoded,
    places: Indices,
    source: Source,
    direction: messages.Direction,
) -> Indices:
    """Read the lists one by one, each distinct one once: the places of those kept as sent.

    Runs for most messages that libraries send in a form of their own.
    """
    convert, plain = _converter(source, direction), source.path.plain
    codes, which = np.unique(decoded.code[places], return_inverse=True)
    row = np.full(len(codes), -1, dtype=np.int32)
    rows: list[tuple[str, str | None, str | None, list[str] | None]] = []
    as_sent: list[bool] = []
    for number, code in enumerate(codes.tolist()):
        value = decoded.value(code)
        try:
            read = convert(value)
            if not read:
                continue
            same = plain and read is value
            text = decoded.distinct[code] if same else written(read)
            if text is None:
                continue
            rows.append((text, *messages.said(read, direction)))
        except RecursionError:  # nested too deep to walk
            continue
        row[number] = len(as_sent)
        as_sent.append(same)
    if not rows:
        return places[:0]
    row = row[which]
    has = row >= 0
    if not has.all():
        row, places = row[has], places[has]
    columns = [pa.array(c, t) for c, t in zip(zip(*rows, strict=True), _TYPES, strict=True)]
    found.take(decoded.owners[places], [column.take(pa.array(row)) for column in columns])
    kept: Indices = places[np.array(as_sent)[row]]
    return kept


def _take_lone(
    found: Spoken, decoded: Decoded, wanted: Indices, direction: messages.Direction
) -> Mask:
    """Take the lists that hold one text and nothing to decode: which of the wanted are such."""
    raw = decoded.array
    if len(wanted) < len(raw):
        raw = raw.take(pa.array(wanted))
    is_lone, texts = lone_texts(raw, direction)
    if len(texts):
        lists = raw if len(texts) == len(raw) else raw.filter(pa.array(is_lone))
        nothing = [pa.nulls(len(texts), _TYPES[number]) for number in (_SYSTEM, _TOOLS)]
        found.take(decoded.owners[wanted[is_lone]], [lists, texts, *nothing])
    return is_lone


def _keep_once(resolved: Resolved, decoded: Decoded, places: Indices) -> None:
    """Texts that a column shows as they were sent need not stay among the attributes."""
    if len(places) and decoded.places is not None:
        kept = decoded.places[places]
        resolved.exact[kept[resolved.holders.attributes.kind[kept] == STRING]] = True


def _converter(source: Source, direction: messages.Direction) -> Callable[[Any], Any]:
    """Messages from a decoded value of this source; None when there are none."""
    path = source.path
    if path.form == "events":
        return lambda value: messages.of_events(value, direction)
    if source.answer is not None:
        return lambda value: messages.answer_of(
            value | {"toolCalls": loaded(value.get("toolCalls"))}
        )
    pointer, plain, of_log = path.pointer, path.plain, path.holder == "events"
    may_be_texts = pointer is not None and pointer[-1:] == ("messages",)

    def convert(value: Any) -> Any:
        if pointer:
            value = follow(value, pointer)
            if value is None or (may_be_texts and _only_texts(value)):
                return None  # the text form of message objects
        if of_log and isinstance(value, list):
            value = messages.exchange(value, direction)
        if messages.is_canonical(value):
            return value
        found = messages.messages_of(value, direction)
        hollow = plain and not any(message["parts"] for message in found)
        return None if hollow else found

    return convert


def _only_texts(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)


def _texts(resolved: Resolved, name: str, found: Spoken) -> None:
    """Fill a text column from messages: before other sources on inference spans, else after."""
    if not found.keys:
        return
    spoken = found.column(_TEXT)
    has = spoken.is_valid().to_numpy(zero_copy_only=False)
    own = resolved.columns[name].is_valid().to_numpy(zero_copy_only=False)
    inference = np.zeros(len(has), dtype=bool)
    for operation in _INFERENCE:
        inference |= resolved.operations.get(operation, False)
    # Where there are messages, a call's text is theirs, even when they hold none.
    use = (found.place > 0) & inference | has & ~own
    if not use.any():
        return
    values = resolved.columns[name]
    resolved.columns[name] = spoken if use.all() else pc.if_else(pa.array(use), spoken, values)
    mine = next((w for w in resolved.winners if w.column == name), None)
    if mine is None:
        mine = Winner(name, [], np.zeros(len(has), dtype=np.int64))
        resolved.winners.append(mine)
    mine.place[use] = np.where(has[use], found.place[use] + len(mine.keys), 0)
    mine.keys.extend(found.keys)


def _system(resolved: Resolved, column: Column, asked: Spoken) -> None:
    """Their own attribute first, else the system messages."""

    def convert(value: Any, _: Source) -> Any:
        if isinstance(value, str):
            return value
        return messages.all_text(messages.messages_of(value, "input"))

    own = read(resolved, column, convert)
    base = len(own.keys)
    own.keys += asked.keys
    values, systems = pa.array(own.values, pa.string()), asked.column(_SYSTEM)
    use = pc.and_(values.is_null(), systems.is_valid()).to_numpy(zero_copy_only=False)
    own.place[use] = asked.place[use] + base
    add(resolved, column.name, own, pc.coalesce(values, systems))
