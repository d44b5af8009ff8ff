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
class Read:
    """One column read from JSON: a value an owner (None: not yet), and where it came from."""

    values: list[Any]
    place: Any
    keys: list[str] = field(default_factory=list)


def offers(
    resolved: Resolved, column: Column, found: Read
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
    owners = resolved.holders.attributes.owners
    found = Read([None] * owners, np.zeros(owners, dtype=np.int64))
    for source, places, decoded in offers(resolved, column, found):
        known: dict[int, Any] = {}
        codes, holders = decoded.code[places].tolist(), decoded.owners[places].tolist()
        for code, owner in zip(codes, holders, strict=True):
            if code not in known:
                known[code] = safely(convert, decoded.value(code), source)
            if known[code]:
                found.values[owner], found.place[owner] = known[code], len(found.keys)
    return found


def safely(convert: Callable[[Any, Source], Any], value: Any, source: Source) -> Any:
    """The converted value; None for one that is nested too deep to walk."""
    try:
        return convert(inside(value, source.path), source)
    except RecursionError:
        return None


def add(resolved: Resolved, name: str, found: Read, values: pa.Array) -> None:
    """Add a column and where its values came from."""
    resolved.columns[name] = values
    if found.keys:
        resolved.winners.append(Winner(name, found.keys, found.place))
