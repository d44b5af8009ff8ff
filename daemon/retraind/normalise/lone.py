"""Lists of messages that say one text, told apart without decoding them.

Most stored messages are such lists. Where JSON has nothing to unescape, its strings lie between
its quotes: the text is the string where writers usually have it, cut out of the whole column at
once. What stands around it is the same in most lists, so each spelling is read once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise import messages
from retraind.normalise.attributes import Mask
from retraind.normalise.text import parts, string_array

_QUOTE, _BACKSLASH = 0x22, 0x5C
# How many quotes a list has: role, part and text alone, or a reason to finish, too.
_QUOTES = (14, 18)
# How many of them come before the text: keys as the conventions order them, or by the alphabet.
_BEFORE = (13, 9)
# In bytes; where more stands before or after the text, there is more than one text.
_LONGEST = 100


def lone_texts(raw: pa.StringArray, direction: messages.Direction) -> tuple[Mask, pa.StringArray]:
    """Which of the JSON texts are such lists, and the text of each of those."""
    quotes, first = _places(raw, _QUOTE)
    _, escapes = _places(raw, _BACKSLASH)
    likely = np.isin(np.diff(first), _QUOTES) & (np.diff(escapes) == 0)
    lone = np.zeros(len(raw), dtype=bool)
    found: list[tuple[Any, pa.StringArray]] = []
    for before in _BEFORE:
        rows = np.flatnonzero(likely & ~lone)
        if len(rows) == 0:
            break
        opening = quotes[first[rows] + before - 1]
        closing = quotes[first[rows] + before]
        rows, texts = _between(raw, rows, opening + 1, closing, direction)
        if len(rows):
            lone[rows] = True
            found.append((rows, texts))
    if not found:
        return lone, pa.array([], pa.string())
    if len(found) == 1:
        return lone, found[0][1]
    order = np.argsort(np.concatenate([rows for rows, _ in found]))
    return lone, pa.concat_arrays([texts for _, texts in found]).take(pa.array(order))


def _between(
    raw: pa.StringArray, rows: Any, begin: Any, end: Any, direction: messages.Direction
) -> tuple[Any, pa.StringArray]:
    """Of these rows those that say what stands from `begin` to `end`, and that."""
    offsets, data = parts(raw)
    bounds = np.column_stack([offsets[rows], begin, end, offsets[rows + 1]])
    before, text, after = np.diff(bounds).T
    short = (before < _LONGEST) & (text > 0) & (after < _LONGEST)
    rows = rows[short]
    if len(rows) == 0:
        return rows, pa.array([], pa.string())
    # Four pieces a row over the same bytes: before, text, after, and what lies up to the next row.
    pieces = string_array(bounds[short].ravel(), data)
    place = np.arange(0, len(pieces), 4)
    around = pc.binary_join_element_wise(
        pieces.take(pa.array(place)), pieces.take(pa.array(place + 2)), "x"
    ).dictionary_encode()
    says = np.array([_says_x(json, direction) for json in around.dictionary.to_pylist()])
    good = says[around.indices.to_numpy()]
    return rows[good], pieces.take(pa.array(place[good] + 1))


def _says_x(json: str, direction: messages.Direction) -> bool:
    """Whether a list is as it should be stored and says nothing but "x"."""
    try:
        value = orjson.loads(json)
    except orjson.JSONDecodeError:
        return False
    return messages.is_canonical(value) and messages.said(value, direction) == ("x", None, None)


def _places(raw: pa.StringArray, byte: int) -> tuple[Any, Any]:
    """Where a byte stands, and how many of them come before each text (and at the end)."""
    offsets, data = parts(raw)
    start = int(offsets[0])
    places = np.flatnonzero(data[start : int(offsets[-1])] == byte) + start
    return places, np.searchsorted(places, offsets)
