"""What was said: messages in one form, their text, the tools they call, documents.

These columns are read from JSON, one value at a time; everything else is columnar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise import messages
from retraind.normalise.attributes import STRING
from retraind.normalise.conventions import Column, Source
from retraind.normalise.documents import documents_of
from retraind.normalise.holders import Decoded
from retraind.normalise.resolve import Resolved, Winner
from retraind.normalise.sources import inside, permitted

_INFERENCE = ("chat", "text_completion")


@dataclass(slots=True)
class Read:
    """One column read from JSON: a value an owner (None: not yet), and where it came from."""

    values: list[Any]
    place: Any
    keys: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Spoken(Read):
    """Messages as JSON texts, and what they say. Few have a system message or call tools."""

    texts: list[str | None] = field(default_factory=list)
    systems: dict[int, str] = field(default_factory=dict)
    tools: dict[int, list[str]] = field(default_factory=dict)


def fill(resolved: Resolved, table: tuple[Column, ...]) -> None:
    """Add the columns that are read from JSON, and what follows from them."""
    columns = {column.name: column for column in table}
    asked = _messages(resolved, columns["input_messages"], "input")
    answered = _messages(resolved, columns["output_messages"], "output")
    _add(resolved, "input_messages", asked, pa.array(asked.values, pa.string()))
    _add(resolved, "output_messages", answered, pa.array(answered.values, pa.string()))
    _texts(resolved, "input_text", asked)
    _texts(resolved, "output_text", answered)
    _system(resolved, columns["system_instructions"], asked)
    tools = [answered.tools.get(owner) for owner in range(len(answered.values))]
    resolved.columns["called_tools"] = pa.array(tools, pa.list_(pa.string()))
    _documents(resolved, columns["documents"], columns["input_documents"])


def _offers(
    resolved: Resolved, column: Column, found: Read
) -> Iterator[tuple[Source, list[int], Decoded]]:
    """Each source that occurs, with the places in it that are wanted, in order.

    A source with missing list items yields to a later one that is whole.
    """
    holders = resolved.holders
    holed = np.zeros(holders.attributes.owners, dtype=bool)
    for source in column.sources:
        allowed = permitted(holders, resolved.operations, source)
        decoded = None if allowed is False else holders.decoded(source.path)
        if decoded is None:
            continue
        found.keys.append(source.key)
        gaps = source.path.form == "list"
        wanted = (found.place[decoded.owners] == 0) | holed[decoded.owners]
        if not isinstance(allowed, bool):
            wanted &= allowed[decoded.owners]
        if gaps:
            wanted &= ~(holed & holders.incomplete)[decoded.owners]
        yield source, np.flatnonzero(wanted).tolist(), decoded
        mine = found.place == len(found.keys)
        holed[mine] = holders.incomplete[mine] if gaps else False


def _read(resolved: Resolved, column: Column, convert: Callable[[Any, Source], Any]) -> Read:
    """Each owner's value from the best source for which `convert` finds something."""
    owners = resolved.holders.attributes.owners
    found = Read([None] * owners, np.zeros(owners, dtype=np.int64))
    for source, places, decoded in _offers(resolved, column, found):
        for place in places:
            value = _safely(convert, decoded.value(place), source)
            if value:
                owner = int(decoded.owners[place])
                found.values[owner], found.place[owner] = value, len(found.keys)
    return found


def _safely(convert: Callable[[Any, Source], Any], value: Any, source: Source) -> Any:
    """The converted value; None for one that is nested too deep to walk."""
    try:
        return convert(inside(value, source.path), source)
    except RecursionError:
        return None


def _messages(resolved: Resolved, column: Column, direction: messages.Direction) -> Spoken:
    """The messages of every owner. This loop runs for every message stored: it is kept short."""
    owners = resolved.holders.attributes.owners
    found = Spoken([None] * owners, np.zeros(owners, dtype=np.int64), texts=[None] * owners)
    for source, places, decoded in _offers(resolved, column, found):
        taken: list[int] = []
        same: list[int] = []
        owned = decoded.owners[places].tolist()
        for place, owner in zip(places, owned, strict=True):
            value = decoded.value(place)
            if source.path.plain:
                text = messages.lone_text(value, direction)
                if text is not None:
                    found.values[owner], found.texts[owner] = decoded.texts[place], text
                    same.append(place)
                    taken.append(owner)
                    continue
            read = _safely(_converter(direction), value, source)
            if read:
                as_sent = source.path.plain and read is value
                found.values[owner] = decoded.texts[place] if as_sent else _json(read)
                if as_sent:
                    same.append(place)
                _note(found, owner, messages.said(read, direction))
                taken.append(owner)
        found.place[taken] = len(found.keys)
        if same and decoded.places is not None:
            kept = decoded.places[same]
            resolved.exact[kept[resolved.holders.attributes.kind[kept] == STRING]] = True
    return found


def _note(found: Spoken, owner: int, said: messages.Said) -> None:
    found.texts[owner] = said.text
    if said.system is not None:
        found.systems[owner] = said.system
    if said.tools:
        found.tools[owner] = said.tools


def _converter(direction: messages.Direction) -> Callable[[Any, Source], Any]:
    def convert(value: Any, source: Source) -> Any:
        if value is None:
            return None
        if source.path.form == "events":
            return messages.of_events(value, direction)
        if source.path.form == "map" and isinstance(value, dict):
            return messages.answer_of({name: _again(item) for name, item in value.items()})
        return value if messages.is_canonical(value) else messages.messages_of(value, direction)

    return convert


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _again(value: Any) -> Any:
    """JSON inside JSON, as the AI SDK sends the calls of an answer."""
    if isinstance(value, str) and value[:2] == "[{":
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
    return value


def _add(resolved: Resolved, name: str, found: Read, values: pa.Array) -> None:
    resolved.columns[name] = values
    if found.keys:
        resolved.winners.append(Winner(name, found.keys, found.place))


def _texts(resolved: Resolved, name: str, found: Spoken) -> None:
    """Fill a text column from messages: before other sources on inference spans, else after."""
    if not found.keys:
        return
    spoken = pa.array(found.texts, pa.string())
    has = spoken.is_valid().to_numpy(zero_copy_only=False)
    own = resolved.columns[name].is_valid().to_numpy(zero_copy_only=False)
    inference = np.zeros(len(has), dtype=bool)
    for operation in _INFERENCE:
        inference |= resolved.operations.get(operation, False)
    use = has & (inference | ~own)
    if not use.any():
        return
    values = resolved.columns[name]
    resolved.columns[name] = spoken if use.all() else pc.if_else(pa.array(use), spoken, values)
    mine = next((w for w in resolved.winners if w.column == name), None)
    if mine is None:
        mine = Winner(name, [], np.zeros(len(has), dtype=np.int64))
        resolved.winners.append(mine)
    mine.place[use] = found.place[use] + len(mine.keys)
    mine.keys.extend(found.keys)


def _system(resolved: Resolved, column: Column, asked: Spoken) -> None:
    """Their own attribute first, else the system messages."""

    def convert(value: Any, source: Source) -> Any:
        if isinstance(value, str):
            return value
        return messages.all_text(messages.messages_of(value, "input"))

    own = _read(resolved, column, convert)
    base = len(own.keys)
    own.keys += asked.keys
    for owner, text in asked.systems.items():
        if own.values[owner] is None:
            own.values[owner], own.place[owner] = text, asked.place[owner] + base
    _add(resolved, column.name, own, pa.array(own.values, pa.string()))


def _documents(resolved: Resolved, output: Column, offered: Column) -> None:
    def convert(value: Any, source: Source) -> Any:
        if source.path.form == "events":
            value = [item["attributes"] for item in value]
        if isinstance(value, list):
            value = [_again_object(item) for item in value]
        return documents_of(value)

    for column in (output, offered):
        found = _read(resolved, column, convert)
        texts = [None if value is None else _json(value) for value in found.values]
        _add(resolved, column.name, found, pa.array(texts, pa.string()))
        if column is output:
            for name, part, kind in (
                ("document_ids", "id", pa.string()),
                ("document_scores", "score", pa.float64()),
            ):
                lists = [_each(documents, part) for documents in found.values]
                resolved.columns[name] = pa.array(lists, pa.list_(kind))


def _again_object(value: Any) -> Any:
    if isinstance(value, str) and value[:1] == "{":
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
    return value


def _each(documents: list[dict[str, Any]] | None, part: str) -> list[Any] | None:
    """One field of every document; NULL when no document has it."""
    if not documents:
        return None
    values = [document.get(part) for document in documents]
    return values if any(value is not None for value in values) else None
