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
from retraind.normalise.coerce import is_cut, lacks_end
from retraind.normalise.conventions import Source
from retraind.normalise.detect import Bits, has, is_convention
from retraind.normalise.events import Events
from retraind.normalise.gather import gather
from retraind.normalise.messages import INPUT_EVENTS, OUTPUT_EVENTS
from retraind.normalise.paths import Path
from retraind.normalise.typed import Held, TypedValues, without_placeholders

_MESSAGE_EVENTS = pa.array(sorted(INPUT_EVENTS | OUTPUT_EVENTS))
_JSON_STARTS = frozenset(("{", "[", '"'))
_NOT_AN_OBJECT = None  # a list, or a text that may be JSON in turn


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
        self._indexed: Mask | None = None
        self._having: dict[str | None, list[int]] = {}

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

    def may_lead(self, codes: Indices, step: str) -> list[tuple[int, Any]]:
        """(code, value) of those of these distinct texts in which a JSON pointer that begins with
        a step may lead somewhere: most holders lack most of what the table asks for.
        """
        if self._indexed is None:
            self._indexed = np.zeros(int(self.code.max(initial=-1)) + 1, dtype=bool)
        asked = np.zeros(len(self._indexed), dtype=bool)
        asked[codes] = True
        for code in np.flatnonzero(asked & ~self._indexed).tolist():
            value = self.value(code)
            for name in value if type(value) is dict else (_NOT_AN_OBJECT,):
                self._having.setdefault(name, []).append(code)
        self._indexed |= asked
        found = [*self._having.get(step, ()), *self._having.get(_NOT_AN_OBJECT, ())]
        wanted = asked[found].tolist()
        return [(code, self._values[code]) for code, w in zip(found, wanted, strict=True) if w]

    def _read(self, code: int) -> Any:
        raw = self.distinct[code]
        if raw[:1] in _JSON_STARTS:
            try:
                return orjson.loads(raw)
            except orjson.JSONDecodeError as error:
                if raw[0] != '"' and lacks_end(error):
                    self._incomplete[self.owners[self.code == code]] = True
        return raw


class Listed(Decoded):
    """Values that were never texts: the message events of spans."""

    def __init__(self, owners: Indices, values: list[Any]) -> None:
        self.owners, self.places = owners, None
        self._indexed, self._having = None, {}
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
        self._texts: dict[tuple[str, str], pa.StringArray] = {}
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

    def says(self, key: str, wanted: str) -> Mask:
        """Owners that have this text under the key."""
        found = np.zeros(self.attributes.owners, dtype=bool)
        places = self.attributes.with_key(key)
        if places is not None:
            texts = self.attributes.strings.take(pa.array(places))
            equal = pc.fill_null(pc.equal(texts, wanted), False).to_numpy(zero_copy_only=False)
            found[self.attributes.owner[places[equal]]] = True
        return found

    def texts(self, path: Path) -> pa.StringArray | None:
        """A text that every span has: its name, status message or scope."""
        if self.around is None:
            return None
        key = (path.form, path.holder)
        if key not in self._texts:
            texts = {"name": self.around.names, "status.message": self.around.status_messages}
            found = self.around.scopes if path.form == "scope" else texts[path.holder]
            nothing = found.null_count == len(found)
            self._texts[key] = found if nothing else without_placeholders(found)
        return self._texts[key]

    def carried(self, path: Path, column_type: Any) -> tuple[Held, pa.Array] | None:
        """An attribute of the resource or of an event: the spans that have it, and the values."""
        if path.form == "resource":
            return self.resource(path.holder, column_type)
        return self.event(path, column_type)

    def resource(self, key: str, column_type: Any) -> tuple[Held, pa.Array] | None:
        """A resource attribute that is no list or map, as `carried` does."""
        if self.around is None:
            return None
        if self._typed_resources is None:
            self._typed_resources = TypedValues(self.around.resources)
        held = self._typed_resources.usable(key, column_type)
        if held is None:
            return None
        resources, places = held
        flat = self.around.resources.kind[places] < ARRAY
        resources, places = resources[flat], places[flat]
        place = np.full(self.around.resources.owners, -1, dtype=np.int32)
        place[resources] = np.arange(len(resources), dtype=np.int32)
        found = place[self.around.resource]
        spans = np.flatnonzero(found >= 0).astype(np.int32)
        return (spans, found[spans]), self._typed_resources.take(column_type, places)

    def event(self, path: Path, column_type: Any) -> tuple[Held, pa.Array] | None:
        """An attribute of the first event of a name that has it, as `carried` does."""
        if self.around is None or len(self.around.events.items) == 0:
            return None
        events = self.around.events
        if self._typed_events is None:
            self._typed_events = TypedValues(events.attributes)
        held = self._typed_events.usable(path.holder, column_type)
        if held is None:
            return None
        carriers, places = held
        named = events.named(path.event)[carriers]
        if not named.any():
            return None
        spans, first = np.unique(events.span[carriers[named]], return_index=True)
        values = self._typed_events.take(column_type, places[named][first])
        return (spans, np.arange(len(spans), dtype=np.int32)), values

    def moment(self, event: str) -> tuple[Held, pa.Array] | None:
        """The time of the first event of a name, in nanoseconds, as `carried` does."""
        if self.around is None or len(self.around.events.items) == 0:
            return None
        events = self.around.events
        places = np.flatnonzero(events.named(event))
        if len(places) == 0:
            return None
        spans, first = np.unique(events.span[places], return_index=True)
        times = events.items.field("time_unix_nano").take(pa.array(places[first]))
        return (spans, np.arange(len(spans), dtype=np.int32)), times.view(pa.int64())

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
        held = self.typed.usable(path.holder, "any") if path.form == "attribute" else None
        if held is None:
            return None
        owners, places = held
        return Decoded(owners, _json(self.attributes, places), self.incomplete, places)

    def _carried(self, path: Path) -> Decoded | None:
        found = self.carried(path, "text")
        if found is None:
            return None
        (owners, places), values = found
        return Decoded(owners, values.take(pa.array(places)), self.incomplete)

    def _events(self, name: str) -> Decoded | None:
        """The message events of each span (or those of one name) as {name, attributes}."""
        if self.around is None or len(self.around.events.items) == 0:
            return None
        events = self.around.events
        wanted = pa.array([name]) if name else _MESSAGE_EVENTS
        places = np.flatnonzero(pc.is_in(events.names, wanted).to_numpy(zero_copy_only=False))
        if len(places) == 0:
            return None
        attributes = events.attributes_json.take(pa.array(places)).to_pylist()
        names = events.names.take(pa.array(places)).to_pylist()
        spans = events.span[places]
        owners, starts = np.unique(spans, return_index=True)
        items = [
            {"name": event, "attributes": orjson.loads(text)}
            for event, text in zip(names, attributes, strict=True)
        ]
        for span, item in zip(spans.tolist(), items, strict=True):
            sent = item["attributes"].values()
            if any(isinstance(value, str) and is_cut(value) for value in sent):
                self.incomplete[span] = True
        ends = np.append(starts[1:], len(items))
        values = [items[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        return Listed(owners.astype(np.int32), values)


def _json(attributes: Attributes, places: Rows) -> pa.StringArray:
    """Attribute values as texts: strings as they are, other kinds as JSON."""
    strings = attributes.kind[places] == STRING
    if strings.all():
        return attributes.strings.take(pa.array(places))
    plain = attributes.strings.take(pa.array(places, mask=~strings))
    others = attributes.json_values(places)
    return pc.if_else(pa.array(strings), plain, others)
