"""Columns that are read from JSON: which owners take which value of which source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.decode.columnar import Indices
from retraind.normalise.conventions import Column, Source
from retraind.normalise.holders import Decoded
from retraind.normalise.resolve import Resolved, Winner
from retraind.normalise.sources import inside, permitted


@dataclass(slots=True)
class Taken:
    """Which source each owner has a column from: a place in `keys`, from 1; 0 for not yet."""

    place: Any
    keys: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Read(Taken):
    """One column read from JSON: a value an owner (None: not yet), and where it came from."""

    values: list[Any] = field(default_factory=list)


def unread(owners: int) -> Read:
    """A column of which nothing is read yet."""
    return Read(np.zeros(owners, dtype=np.int64), values=[None] * owners)


def offers(
    resolved: Resolved, column: Column, found: Taken
) -> Iterator[tuple[Source, Indices, Decoded]]:
    """Each source that occurs, with the places in it that are wanted, in order.

    A source with missing list items yields to a later one that is whole.
    """
    holders = resolved.holders
    holed = np.zeros(holders.attributes.owners, dtype=bool)
    for source in holders.present(column.sources):
        allowed = permitted(holders, resolved.operations, source)
        decoded = None if allowed is False else holders.decoded(source.holder)
        if decoded is None:
            continue
        if source.answer is not None:
            has = holders.typed.usable(source.path.holder, "any")
            if has is None:
                continue
            shown = np.zeros(holders.attributes.owners, dtype=bool)
            shown[has[0]] = True
            allowed = shown & allowed
        found.keys.append(source.key)
        gaps = source.path.form == "list"
        wanted = (found.place[decoded.owners] == 0) | holed[decoded.owners]
        if not isinstance(allowed, bool):
            wanted &= allowed[decoded.owners]
        if gaps:
            wanted &= ~(holed & holders.incomplete)[decoded.owners]
        yield source, np.flatnonzero(wanted).astype(np.int32), decoded
        mine = found.place == len(found.keys)
        holed[mine] = holders.incomplete[mine] if gaps else False


def read(resolved: Resolved, column: Column, convert: Callable[[Any, Source], Any]) -> Read:
    """Each owner's value from the best source for which `convert` finds something."""
    found = unread(resolved.holders.attributes.owners)
    for source, places, decoded in offers(resolved, column, found):
        taken = []
        for owner, value in each_once(decoded, places, _of(source, convert)):
            found.values[owner] = value
            taken.append(owner)
        found.place[taken] = len(found.keys)
    return found


def _of(source: Source, convert: Callable[[Any, Source], Any]) -> Callable[[Any], Any]:
    """The conversion of what a source's holder has."""
    return lambda value: convert(inside(value, source.path), source)


def each_once(
    decoded: Decoded, places: Indices, convert: Callable[[Any], Any]
) -> Iterator[tuple[int, Any]]:
    """(owner, converted value) of those for which `convert` finds something.

    Each distinct text is converted once; nothing is found in one that is nested too deep to walk.
    """
    known: dict[int, Any] = {}
    codes, owners = decoded.code[places].tolist(), decoded.owners[places].tolist()
    for code, owner in zip(codes, owners, strict=True):
        if code not in known:
            try:
                known[code] = convert(decoded.value(code))
            except RecursionError:
                known[code] = None
        if known[code]:
            yield owner, known[code]


def add(resolved: Resolved, name: str, found: Taken, values: pa.Array) -> None:
    """Add a column and where its values came from."""
    resolved.columns[name] = values
    if found.keys:
        resolved.winners.append(Winner(name, found.keys, found.place))
