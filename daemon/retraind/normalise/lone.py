"""Lists of one message with one text, told apart without decoding them.

Most stored messages are such lists. When their JSON is spelled in one of the usual ways and the
text needs no unescaping, the text is the middle of it, cut out of the whole column at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise.attributes import Mask
from retraind.normalise.messages import Direction
from retraind.normalise.text import lengths, parts

_QUOTE, _BACKSLASH = 0x22, 0x5C
_ROLE = {"input": "user", "output": "assistant"}


def _spellings(role: str) -> list[tuple[str, str]]:
    """(what comes before the text, what comes after it): compact, and as json.dumps writes it."""
    start = f'[{{"role":"{role}","parts":[{{"type":"text","content":"'
    turned = f'[{{"role":"{role}","parts":[{{"content":"'
    return [
        (start, '"}]}]'),
        (start.replace(":", ": ").replace(",", ", "), '"}]}]'),
        (turned, '","type":"text"}]}]'),
        (turned.replace(":", ": ").replace(",", ", "), '", "type": "text"}]}]'),
    ]


_SPELLINGS = {direction: _spellings(role) for direction, role in _ROLE.items()}


def lone_texts(raw: pa.StringArray, direction: Direction) -> tuple[Mask, pa.StringArray]:
    """Which of the JSON texts are such lists, and the text of each of those."""
    quotes, escapes = _count(raw, _QUOTE), _count(raw, _BACKSLASH)
    lone = np.zeros(len(raw), dtype=bool)
    found = pa.nulls(len(raw), pa.string())
    for before, after in _SPELLINGS[direction]:
        likely = ~lone & (escapes == 0) & (quotes == before.count('"') + after.count('"'))
        if not likely.any():
            continue
        longer = lengths(raw) > len(before) + len(after)
        matches = pc.and_(pc.starts_with(raw, before), pc.ends_with(raw, after))
        hit = likely & longer & matches.to_numpy(zero_copy_only=False)
        cut = pc.binary_slice(raw.cast(pa.binary()), len(before), -len(after)).cast(pa.string())
        found = cut if hit.all() else pc.if_else(pa.array(hit), cut, found)
        lone |= hit
    return lone, found if lone.all() else found.filter(pa.array(lone))


def _count(raw: pa.StringArray, byte: int) -> Any:
    """How often a byte occurs in each text."""
    offsets, data = parts(raw)
    first = int(offsets[0])
    places = np.flatnonzero(data[first : int(offsets[-1])] == byte)
    return np.diff(np.searchsorted(places, offsets - first))
