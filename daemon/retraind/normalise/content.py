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
from retraind.normalise.coerce import is_placeholder, unquoted
from retraind.normalise.conventions import Column, Source
from retraind.normalise.documents import documents_of
from retraind.normalise.holders import Decoded
from retraind.normalise.parts import loaded
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
    _tools(resolved, columns["tool_definitions"])
    _object(resolved, columns["metadata"])


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
        decoded = None if allowed is False else holders.decoded(source.holder)
        if decoded is None:
            continue
        if source.answer is not None:
            has = holders.typed.usable(source.path.holder, "any")
            if has is None:
                continue
            allowed = (has >= 0) & allowed
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
        if source.answer is not None:
            return messages.answer_of(value | {"toolCalls": loaded(value.get("toolCalls"))})
        if source.path.pointer and source.path.pointer[-1] == "messages" and _only_texts(value):
            return None  # the text form of message objects
        if source.path.holder == "events" and isinstance(value, list):
            value = messages.exchange(value, direction)
        if messages.is_canonical(value):
            return value
        found = messages.messages_of(value, direction)
        hollow = source.path.plain and not any(message["parts"] for message in found)
        return None if hollow else found

    return convert


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _only_texts(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)


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
            value = [unquoted(loaded(item)) for item in value]
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


def _tools(resolved: Resolved, column: Column) -> None:
    """Tool definitions as one list; each may be JSON text, or lie under `tool.json_schema`."""

    def convert(value: Any, _: Source) -> Any:
        if not isinstance(value, list):
            return value if isinstance(value, dict) else None
        return [_definition(loaded(item)) for item in value]

    found = _read(resolved, column, convert)
    texts = [None if value is None else _json(value) for value in found.values]
    _add(resolved, column.name, found, pa.array(texts, pa.string()))


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
    texts = [None if value is None else _json(value) for value in found.values]
    _add(resolved, column.name, found, pa.array(texts, pa.string()))


def _members(value: Any) -> dict[str, Any]:
    """The members of an object that hold something; texts that are quoted without the quotes."""
    if not isinstance(value, dict):
        return {}
    plain = {name: unquoted(item) for name, item in value.items()}
    return {n: v for n, v in plain.items() if not (isinstance(v, str) and is_placeholder(v))}


def _each(documents: list[dict[str, Any]] | None, part: str) -> list[Any] | None:
    """One field of every document; NULL when no document has it."""
    if not documents:
        return None
    values = [document.get(part) for document in documents]
    return values if any(value is not None for value in values) else None
