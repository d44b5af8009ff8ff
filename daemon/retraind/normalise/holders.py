"""What a source's path leads to: columns where it can, decoded JSON where it must.

Decoding happens once for each value of a holder, and only for holders that occur.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.decode.columnar import Indices
from retraind.normalise.attributes import ARRAY, STRING, Attributes, Mask, Rows
from retraind.normalise.conventions import Source
from retraind.normalise.detect import Bits, has, is_convention
from retraind.normalise.events import Events
from retraind.normalise.gather import gather
from retraind.normalise.messages import INPUT_EVENTS, OUTPUT_EVENTS
from retraind.normalise.paths import Path
from retraind.normalise.typed import TypedValues, without_placeholders

_MESSAGE_EVENTS = pa.array(sorted(INPUT_EVENTS | OUTPUT_EVENTS))
_JSON_STARTS = frozenset(("{", "[", '"'))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs to a span besides its attributes, one entry a span unless it says otherwise."""

    events: Events
    names: pa.StringArray
    status_messages: pa.StringArray
    scopes: pa.StringArray
    resources: Attributes  # one owner a resource
    resource: Indices
    shown: Bits
    started: Any  # np.ndarray[int64], nanoseconds


class Decoded:
    """Texts of some owners, read as JSON where they are: each distinct text once, when asked for.

    The text of `owners[i]` is `array[i]`, which is `distinct[code[i]]`. `places` are the attributes
    they were, where each was one. `incomplete` is told of JSON that was cut.
    """

    def __init__(
        self, owners: Indices, array: pa.StringArray, incomplete: Mask, places: Rows | None = None
    ) -> None:
        self.owners = owners
        self.array = array
        self.places = places
        self._incomplete = incomplete
        self._values: dict[int, Any] = {}

    @cached_property
    def _encoded(self) -> pa.DictionaryArray:
        return self.array.dictionary_encode()

    @cached_property
    def code(self) -> Indices:
        """For each owner the place of its text among the distinct ones."""
        codes: Indices = self._encoded.indices.to_numpy()
        return codes

    @cached_property
    def distinct(self) -> list[str]:
        """The distinct texts."""
        return self._encoded.dictionary.to_pylist()  # type: ignore[no-any-return]

    def value(self, code: int) -> Any:
        """One of the distinct texts as JSON, or as it is when it is none."""
        if code not in self._values:
            self._values[code] = self._read(code)
        return self._values[code]

    def _read(self, code: int) -> Any:
        raw = self.distinct[code]
        if raw[:1] in _JSON_STARTS:
            try:
                return orjson.loads(raw)
            except orjson.JSONDecodeError as error:
                # Other errors are no JSON at all, as Python's own spelling of a list.
                if raw[0] != '"' and "end of data" in error.msg:
                    self._incomplete[self.owners[self.code == code]] = True
        return raw


class Listed(Decoded):
    """Values that were never texts: the message events of spans."""

    def __init__(self, owners: Indices, values: list[Any]) -> None:
        self.owners, self.places = owners, None
        self.code = np.arange(len(owners), dtype=np.int32)
        self._values = dict(enumerate(values))


class Holders:
    """Access to every holder of a batch of spans."""

    def __init__(self, attributes: Attributes, around: Surroundings | None) -> None:
        self.attributes = attributes
        self.typed = TypedValues(attributes)
        self.around = around
        self.incomplete: Mask = np.zeros(attributes.owners, dtype=bool)
        self._typed_events: TypedValues | None = None
        self._typed_resources: TypedValues | None = None
        self._shown: dict[str, Mask | None] = {}
        self._decoded: dict[tuple[str, str, str], Decoded | None] = {}

    def present(self, sources: Iterable[Source]) -> list[Source]:
        """The sources without those whose attribute no span has. Most are such: this is quick."""
        codes = self.attributes.codes
        return [s for s in sources if s.path.form != "attribute" or s.path.holder in codes]

    def shows(self, name: str) -> Mask | None:
        """Spans that carry this key or show this convention, None when no span does."""
        if name not in self._shown:
            self._shown[name] = self._who_shows(name)
        return self._shown[name]

    def _who_shows(self, name: str) -> Mask | None:
        if self.around is not None and is_convention(name):
            mask: Mask = has(self.around.shown, name)
            return mask if mask.any() else None
        rows = self.attributes.rows(name)
        return None if rows is None else rows >= 0

    def texts(self, path: Path) -> pa.StringArray | None:
        """A text that every span has: its name, status message or scope."""
        if self.around is None:
            return None
        texts = {"name": self.around.names, "status.message": self.around.status_messages}
        found = self.around.scopes if path.form == "scope" else texts[path.holder]
        return found if found.null_count == len(found) else without_placeholders(found)

    def carried(self, path: Path, column_type: Any) -> tuple[Rows, pa.Array] | None:
        """An attribute of the resource or of an event."""
        if path.form == "resource":
            return self.resource(path.holder, column_type)
        return self.event(path, column_type)

    def resource(self, key: str, column_type: Any) -> tuple[Rows, pa.Array] | None:
        """A resource attribute that is no list or map: for each span the place of its value or -1,
        and the values.
        """
        if self.around is None:
            return None
        if self._typed_resources is None:
            self._typed_resources = TypedValues(self.around.resources)
        rows = self._typed_resources.usable(key, column_type)
        if rows is None:
            return None
        kinds = self.around.resources.kind[rows]
        rows = np.where((rows >= 0) & (kinds < ARRAY), rows, -1).astype(np.int32)
        values = self._typed_resources.take(column_type, rows)
        place = np.where(rows >= 0, np.arange(len(rows), dtype=np.int32), -1)
        return place[self.around.resource].astype(np.int32), values

    def event(self, path: Path, column_type: Any) -> tuple[Rows, pa.Array] | None:
        """An attribute of the first event of a name that has it, as `resource` does."""
        if self.around is None or len(self.around.events.items) == 0:
            return None
        events = self.around.events
        if self._typed_events is None:
            self._typed_events = TypedValues(events.attributes)
        rows = self._typed_events.usable(path.holder, column_type)
        if rows is None:
            return None
        named = pc.equal(events.names, path.event).to_numpy(zero_copy_only=False)
        carriers = np.flatnonzero(named & (rows >= 0))
        if len(carriers) == 0:
            return None
        found, first = _first_of_each(events.span[carriers], self.attributes.owners)
        return found, self._typed_events.take(column_type, rows[carriers[first]])

    def moment(self, event: str) -> tuple[Rows, pa.Array] | None:
        """The time of the first event of a name, in nanoseconds, as `resource` does."""
        if self.around is None or len(self.around.events.items) == 0:
            return None
        events = self.around.events
        places = np.flatnonzero(pc.equal(events.names, event).to_numpy(zero_copy_only=False))
        if len(places) == 0:
            return None
        found, first = _first_of_each(events.span[places], self.attributes.owners)
        times = events.items.field("time_unix_nano").take(pa.array(places[first]))
        return found, times.view(pa.int64())

    def decoded(self, path: Path) -> Decoded | None:
        """The holder of a path as Python values; None when no span has it."""
        key = (path.form, path.event, path.holder)
        if key not in self._decoded:
            self._decoded[key] = self._decode(path)
        return self._decoded[key]

    def _decode(self, path: Path) -> Decoded | None:
        if path.form == "events":
            return self._events(path.holder)
        if path.form in ("list", "map"):
            found = gather(self.attributes, path.holder, indexed=path.form == "list")
            if found is None:
                return None
            self.incomplete[found.owners[found.holes]] = True
            return Decoded(found.owners, found.texts, self.incomplete)
        if path.form in ("event", "resource"):
            return self._carried(path)
        rows = self.typed.usable(path.holder, "any") if path.form == "attribute" else None
        if rows is None:
            return None
        owners = np.flatnonzero(rows >= 0).astype(np.int32)
        places = rows[owners]
        return Decoded(owners, _json(self.attributes, places), self.incomplete, places)

    def _carried(self, path: Path) -> Decoded | None:
        found = self.carried(path, "text")
        if found is None:
            return None
        place, values = found
        owners = np.flatnonzero(place >= 0).astype(np.int32)
        texts = values.take(pa.array(place[owners]))
        return Decoded(owners, texts, self.incomplete)

    def _events(self, name: str) -> Decoded | None:
        """The message events of each span (or those of one name) as {name, attributes}."""
        if self.around is None or len(self.around.events.items) == 0:
            return None
        events = self.around.events
        wanted = pa.array([name]) if name else _MESSAGE_EVENTS
        places = np.flatnonzero(pc.is_in(events.names, wanted).to_numpy(zero_copy_only=False))
        if len(places) == 0:
            return None
        attributes = events.attributes.json().take(pa.array(places)).to_pylist()
        names = events.names.take(pa.array(places)).to_pylist()
        spans = events.span[places]
        owners, starts = np.unique(spans, return_index=True)
        items = [
            {"name": event, "attributes": orjson.loads(text) if text else {}}
            for event, text in zip(names, attributes, strict=True)
        ]
        ends = np.append(starts[1:], len(items))
        values = [items[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        return Listed(owners.astype(np.int32), values)


def _first_of_each(spans: Indices, owners: int) -> tuple[Rows, Any]:
    """For each of all spans its place among those that occur, or -1; and where each is first."""
    occurring, first = np.unique(spans, return_index=True)
    found = np.full(owners, -1, dtype=np.int32)
    found[occurring] = np.arange(len(occurring), dtype=np.int32)
    return found, first


def _json(attributes: Attributes, places: Rows) -> pa.StringArray:
    """Attribute values as texts: strings as they are, other kinds as JSON."""
    strings = attributes.kind[places] == STRING
    if strings.all():
        return attributes.strings.take(pa.array(places))
    plain = attributes.strings.take(pa.array(places, mask=~strings))
    others = attributes.json_values(places)
    return pc.if_else(pa.array(strings), plain, others)
