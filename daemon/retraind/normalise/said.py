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
from retraind.normalise.reading import Read, add, each_once, offers, read
from retraind.normalise.resolve import Resolved, Winner

_INFERENCE = ("chat", "text_completion")


@dataclass(slots=True)
class Spoken(Read):
    """Messages as JSON texts, and what they say.

    `values` and `texts` hold what was read one by one. Lists that needed no reading are whole
    columns in `lone`: (owners, messages, texts). Few lists have a system message or call tools.
    """

    texts: list[str | None] = field(default_factory=list)
    lone: list[tuple[Indices, pa.StringArray, pa.StringArray]] = field(default_factory=list)
    systems: dict[int, str] = field(default_factory=dict)
    tools: dict[int, list[str]] = field(default_factory=dict)

    def column(self) -> pa.StringArray:
        """The messages of every owner."""
        return self._joined(self.values, [messages for _, messages, _ in self.lone])

    def text_column(self) -> pa.StringArray:
        """What the messages of every owner say."""
        return self._joined(self.texts, [texts for _, _, texts in self.lone])

    def _joined(self, read: list[Any], lone: list[pa.StringArray]) -> pa.StringArray:
        if len(lone) == 1 and len(lone[0]) == len(read):
            return lone[0]
        column = pa.array(read, pa.string())
        for (owners, _, _), values in zip(self.lone, lone, strict=True):
            place = np.full(len(read), -1, dtype=np.int32)
            place[owners] = np.arange(len(owners), dtype=np.int32)
            column = pc.coalesce(values.take(pa.array(place, mask=place < 0)), column)
        return column


def fill(resolved: Resolved, columns: dict[str, Column]) -> None:
    """Add the columns of messages and those that follow from them."""
    asked = _messages(resolved, columns["input_messages"], "input")
    answered = _messages(resolved, columns["output_messages"], "output")
    add(resolved, "input_messages", asked, asked.column())
    add(resolved, "output_messages", answered, answered.column())
    _texts(resolved, "input_text", asked)
    _texts(resolved, "output_text", answered)
    _system(resolved, columns["system_instructions"], asked)
    owners = len(answered.values)
    tools = (
        [answered.tools.get(owner) for owner in range(owners)]
        if answered.tools
        else [None] * owners
    )
    resolved.columns["called_tools"] = pa.array(tools, pa.list_(pa.string()))


def _messages(resolved: Resolved, column: Column, direction: messages.Direction) -> Spoken:
    """The messages of every owner."""
    owners = resolved.holders.attributes.owners
    found = Spoken([None] * owners, np.zeros(owners, dtype=np.int64), texts=[None] * owners)
    for source, wanted, decoded in offers(resolved, column, found):
        places = wanted
        if source.path.plain:
            is_lone = _take_lone(found, decoded, wanted, direction)
            _keep_once(resolved, decoded, wanted[is_lone])
            places = wanted[~is_lone]
        taken, same = _take_read(found, decoded, places, source, direction)
        found.place[taken] = len(found.keys)
        _keep_once(resolved, decoded, np.array(same, dtype=np.int32))
    return found


def _take_read(
    found: Spoken,
    decoded: Decoded,
    places: Indices,
    source: Source,
    direction: messages.Direction,
) -> tuple[list[int], list[int]]:
    """Read the lists one by one: the owners that have one, and the places of those kept as sent.

    Runs for most messages that libraries send in a form of their own.
    """
    convert = _converter(source, direction)

    def reading(value: Any) -> tuple[str | None, messages.Said] | None:
        """The messages as JSON (None: as they were sent), and what they say."""
        found = convert(value)
        if source.path.plain and found is value:
            return None, messages.said(found, direction)
        text = written(found) if found else None
        return None if text is None else (text, messages.said(found, direction))

    taken, same = [], []
    for place, owner, (text, said) in each_once(decoded, places, reading):
        found.texts[owner] = said.text
        if text is None:
            found.values[owner] = decoded.distinct[decoded.code[place]]
            same.append(place)
        else:
            found.values[owner] = text
        if said.system is not None:
            found.systems[owner] = said.system
        if said.tools:
            found.tools[owner] = said.tools
        taken.append(owner)
    return taken, same


def _take_lone(
    found: Spoken, decoded: Decoded, wanted: Indices, direction: messages.Direction
) -> Mask:
    """Take the lists that hold one text and nothing to decode: which of the wanted are such."""
    raw = decoded.array.take(pa.array(wanted))
    is_lone, texts = lone_texts(raw, direction)
    if is_lone.any():
        owners = decoded.owners[wanted[is_lone]]
        found.lone.append((owners, raw.filter(pa.array(is_lone)), texts))
        found.place[owners] = len(found.keys)
    return is_lone


def _keep_once(resolved: Resolved, decoded: Decoded, places: Indices) -> None:
    """Texts that a column shows as they were sent need not stay among the attributes."""
    if len(places) and decoded.places is not None:
        kept = decoded.places[places]
        resolved.exact[kept[resolved.holders.attributes.kind[kept] == STRING]] = True


def _converter(source: Source, direction: messages.Direction) -> Callable[[Any], Any]:
    """Messages from a decoded value of this source; None when there are none."""
    path = source.path

    def convert(value: Any) -> Any:
        if path.form == "events":
            return messages.of_events(value, direction)
        if source.answer is not None:
            return messages.answer_of(value | {"toolCalls": loaded(value.get("toolCalls"))})
        if path.pointer:
            value = follow(value, path.pointer)
            if path.pointer[-1] == "messages" and _only_texts(value):
                return None  # the text form of message objects
        if path.holder == "events" and isinstance(value, list):
            value = messages.exchange(value, direction)
        if messages.is_canonical(value):
            return value
        found = messages.messages_of(value, direction)
        hollow = path.plain and not any(message["parts"] for message in found)
        return None if hollow else found

    return convert


def _only_texts(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)


def _texts(resolved: Resolved, name: str, found: Spoken) -> None:
    """Fill a text column from messages: before other sources on inference spans, else after."""
    if not found.keys:
        return
    spoken = found.text_column()
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
    for owner, text in asked.systems.items():
        if own.values[owner] is None:
            own.values[owner], own.place[owner] = text, asked.place[owner] + base
    add(resolved, column.name, own, pa.array(own.values, pa.string()))
