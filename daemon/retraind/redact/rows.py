"""Content policy on normalised rows: a column, and every place its content came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.redact.columns import changed_where
from retraind.redact.edits import DROPPED, Edit, TokenHashes, at_pointer
from retraind.redact.places import Places, copies_of, members_of, places_of

JSON_COLUMNS = frozenset((
    "input_messages", "output_messages", "tool_definitions", "documents", "input_documents",
    "prompt_variables", "metadata", "request_parameters", "attributes", "resource", "events",
    "links", "body",
))  # fmt: skip
_REQUIRED = frozenset(("trace_id", "span_id", "event_name", "source", "kind"))

Json = Any


class RowPolicy:
    """The edits of columns, and what they mean for the JSON beside them."""

    def __init__(self, edits: Mapping[str, Edit]) -> None:
        self._columns: dict[str, Edit] = {}
        self._places: list[tuple[Places, Edit]] = []
        for column, edit in edits.items():
            places = places_of(column)
            self._places.append((places, edit))
            for name in places.columns:
                self._columns[name] = edit
        self._keys = {key: edit for each, edit in self._places for key in each.keys}
        self._pointers = [
            (holder, pointer, edit)
            for each, edit in self._places
            for holder, pointer in sorted(each.pointers)
        ]
        for holder, pointer, edit in self._pointers:  # the same, sent flat
            self._keys.setdefault(".".join((holder, *pointer)), edit)
        self._prefixes = [
            (re.compile(re.escape(prefix) + end), edit)
            for each, edit in self._places
            for prefixes, end in ((each.lists, r"\.[0-9]"), (each.maps, r"\."))
            for prefix in sorted(prefixes)
        ]
        self._endings = {name: edit for each, edit in self._places for name in each.endings}
        self._events = {name: edit for each, edit in self._places for name in each.events}
        self._event_keys = {place: edit for each, edit in self._places for place in each.event_keys}
        self._resource = {key: edit for each, edit in self._places for key in each.resource}
        self._roles = {role: edit for each, edit in self._places for role in each.roles}
        self._json = self._json_columns()

    def apply(self, table: pa.Table) -> pa.Table:
        """Rows of `spans`, `evaluations`, `logs` or `span_details` after the policy."""
        table = self._with_token_hashes(table)
        for name in table.column_names:
            column = table.column(name).combine_chunks()
            new = self._column(table, name, column)
            if new is not column:
                place = table.column_names.index(name)
                table = table.set_column(place, table.schema.field(name), new)
        return table

    def _with_token_hashes(self, table: pa.Table) -> pa.Table:
        """Fill the keyed hashes of words of the texts that are about to be dropped."""
        for name in ("input_text", "output_text"):
            edit, hashes = self._columns.get(name), name.replace("_text", "_token_hashes")
            dropped = edit is not None and edit.action == "drop" and edit.key
            if dropped and hashes in table.column_names:
                words = TokenHashes(edit.key)  # type: ignore[union-attr]
                found = [words.of(text) for text in table.column(name).to_pylist()]
                place = table.column_names.index(hashes)
                column = pa.array(found, table.schema.field(hashes).type)
                table = table.set_column(place, table.schema.field(hashes), column)
        return table

    def item(self, item: str | None) -> str | None:
        """A rejected item without its attributes' values; None when it was cut."""
        try:
            parsed = orjson.loads(item or "null")
        except orjson.JSONDecodeError:
            return None
        if isinstance(parsed, dict):
            parsed = {
                name: value
                for name, value in parsed.items()
                if isinstance(value, int) or name.endswith("_id")
            } | {"attributes": dict.fromkeys(parsed.get("attributes") or {})}
        return None if parsed is None else orjson.dumps(parsed).decode()

    def _column(self, table: pa.Table, name: str, column: pa.Array) -> pa.Array:
        if name in self._columns and name not in _REQUIRED:
            return _edited(column, name, self._columns[name])
        if name == "attributes" and "event_name" in table.column_names:
            return self._by_event(table, column, self._event)
        if name == "body":
            return self._by_event(table, column, self._body)
        if name in self._json:
            hint, change = self._json[name]
            return _json(column, hint, change)
        return column

    def _json_columns(self) -> dict[str, tuple[str | None, Callable[[Json], Json]]]:
        """How the JSON beside the columns changes, and which of it can."""
        hint = _hint_of(_holders(each for each, _ in self._places) | self._keys.keys())
        if self._endings:
            hint += f'|(?:{"|".join(sorted(self._endings))})":'
        found: dict[str, tuple[str | None, Callable[[Json], Json]]] = {
            "attributes": (hint, self._object),
            "links": (hint, self._links),
            "events": (None if self._events else hint, self._all_events),
            "resource": (_hint_of([*self._resource, *self._keys]), self._of_resource),
        }
        if self._roles:
            found["input_messages"] = (None, self._messages)
        return found | {name: (None, each) for name, each in self._copies().items()}

    # Objects of attributes

    def _object(self, value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        kept = {}
        for key, item in value.items():
            edit = self._edit_of(key, item)
            new = item if edit is None else edit.value(item)
            for holder, pointer, at in self._pointers:
                if holder == key and new is not DROPPED:
                    new = at_pointer(new, pointer, at)
            if new is not DROPPED:
                kept[key] = new
        return kept

    def _edit_of(self, key: str, item: Json) -> Edit | None:
        found = self._keys.get(key)
        if found is None:
            found = next((edit for pattern, edit in self._prefixes if pattern.match(key)), None)
        if found is None and isinstance(item, str | dict | list):
            found = self._endings.get(key.rpartition(".")[2])
        return found

    def _links(self, value: Json) -> Json:
        """Span links: a list of objects with attributes."""
        return [
            {**each, "attributes": self._object(each.get("attributes") or {})} for each in value
        ]

    def _all_events(self, value: Json) -> Json:
        return [
            {**each, "attributes": self._event(each.get("name"), each.get("attributes") or {})}
            for each in value
        ]

    def _event(self, name: str, attributes: Json) -> Json:
        if name in self._events:
            edited = self._events[name].value(attributes)
            return edited if isinstance(edited, dict) else {}
        kept = {}
        for key, item in self._object(attributes).items():
            edit = self._event_keys.get((name, key))
            new = item if edit is None else edit.value(item)
            if new is not DROPPED:
                kept[key] = new
        return kept

    def _of_resource(self, value: Json) -> Json:
        kept = {}
        for key, item in value.items():
            edit = self._resource.get(key) or self._keys.get(key)
            new = item if edit is None else edit.value(item)
            if new is not DROPPED:
                kept[key] = new
        return kept

    # Logs

    def _body(self, name: str, value: Json) -> Json:
        if name in self._events:
            return self._events[name].value(value)
        return self._event(name, value) if isinstance(value, dict) else value

    def _by_event(
        self, table: pa.Table, column: pa.Array, change: Callable[[str, Json], Json]
    ) -> pa.Array:
        names = table.column("event_name").to_pylist()
        return pa.array(
            [
                text if text is None else _reparsed(text, partial(change, name))
                for name, text in zip(names, column.to_pylist(), strict=True)
            ],
            pa.string(),
        )

    # JSON columns that show what another column was made of

    def _messages(self, value: Json) -> Json:
        """Messages, those of some roles with their parts changed or left out."""
        kept = []
        for message in value:
            edit = self._roles.get(str(message.get("role")))
            if edit is None:
                kept.append(message)
            elif edit.action != "drop":
                kept.append({**message, "parts": edit.value(message.get("parts"))})
        return kept

    def _copies(self) -> dict[str, Callable[[Json], Json]]:
        steps: dict[str, dict[tuple[str, ...], Edit]] = {}
        for holder, pointer, edit in self._pointers:
            for column, shown in copies_of(holder):
                if pointer[: len(shown)] == shown:
                    steps.setdefault(column, {})[pointer[len(shown) :]] = edit
        for key, edit in self._keys.items():
            for column, member in members_of(key):
                steps.setdefault(column, {})[(member,)] = edit

        def change(column: str) -> Callable[[Json], Json]:
            def edited(value: Json) -> Json:
                for pointer, edit in steps[column].items():
                    value = at_pointer(value, pointer, edit)
                return value

            return edited

        return {column: change(column) for column in steps}


def _hint_of(keys: Iterable[str]) -> str:
    """RE2: JSON objects that can have a key that begins so."""
    names = "|".join(re.escape(orjson.dumps(name).decode()[1:-1]) for name in sorted(keys))
    return f'"(?:{names})'


def _holders(places: Iterable[Places]) -> set[str]:
    found: set[str] = set()
    for each in places:
        found |= each.keys | each.lists | each.maps | {holder for holder, _ in each.pointers}
        found |= {key for _, key in each.event_keys}
    return found


def _json(column: pa.Array, hint: str | None, change: Callable[[Json], Json]) -> pa.Array:
    """JSON texts with their values changed; those that become nothing are NULL."""
    new = changed_where(column, hint, lambda raw: (_reparsed(raw.decode(), change) or "").encode())
    return new if new is column else _empty_to_null(new)


def _reparsed(text: str, change: Callable[[Json], Json]) -> str | None:
    """The JSON after a change; None when nothing is left, or nobody can tell what it holds."""
    try:
        value = orjson.loads(text)
        new = change(value)
        if new is DROPPED or (new in ({}, []) and value not in ({}, [])):
            return None
        return text if new == value else orjson.dumps(new).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):  # or nested too deep
        return None


def _empty_to_null(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.binary_length(texts), 0), pa.scalar(None, texts.type), texts)


def _edited(column: pa.Array, name: str, edit: Edit) -> pa.Array:
    """A whole column after the action."""
    if edit.action == "drop":
        return pa.nulls(len(column), column.type)
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        values = [
            None if texts is None else [None if t is None else edit.text(t) for t in texts]
            for texts in column.to_pylist()
        ]
        return pa.array(values, column.type)
    if not pa.types.is_string(column.type):
        return column
    hint = edit.finder.hint if edit.action == "redact" else None
    if name in JSON_COLUMNS and edit.action != "redact":
        return _json(column, None, edit.value)
    return changed_where(column, hint, edit.raw)
