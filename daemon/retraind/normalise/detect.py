"""Which conventions a span shows: by attribute keys, scope name and resource keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from retraind.normalise.attributes import Attributes
from retraind.normalise.conventions import CONVENTIONS, shown_by

Bits = np.ndarray[Any, np.dtype[np.int64]]

_NAMES = [convention.name for convention in CONVENTIONS]
_PLACE = {name: place for place, name in enumerate(_NAMES)}


def of_keys(attributes: Attributes) -> Bits:
    """For each owner the bits of the conventions that its attribute keys show."""
    found = np.zeros(attributes.owners, dtype=np.int64)
    shown = np.array([shown_by(key) for key in attributes.keys], dtype=np.int64)
    starts, ends = attributes.offsets[:-1], attributes.offsets[1:]
    filled = ends > starts
    if filled.any():
        found[filled] = np.bitwise_or.reduceat(shown[attributes.code], starts[filled])
    return found


def of_scopes(names: pa.StringArray) -> Bits:
    """For each scope the bits of the conventions that its name shows."""
    encoded = names.dictionary_encode()
    bits = [
        sum(1 << i for i, found in enumerate(CONVENTIONS) if found.has_scope(name))
        for name in encoded.dictionary.to_pylist()
    ]
    found: Bits = np.array([*bits, 0], dtype=np.int64)[encoded.indices.fill_null(len(bits))]
    return found


def of_resources(resources: Attributes) -> Bits:
    """For each resource the bits of the conventions that its keys show."""
    found = np.zeros(resources.owners, dtype=np.int64)
    for place, convention in enumerate(CONVENTIONS):
        for key in convention.resources:
            rows = resources.rows(key)
            if rows is not None:
                found[rows >= 0] |= 1 << place
    return found


def has(bits: Bits, name: str) -> Any:
    """True where a convention is shown."""
    return (bits >> _PLACE[name]) & 1 == 1


def is_convention(name: str) -> bool:
    """Whether there is a convention of this name to be recognised."""
    return name in _PLACE


def primary(bits: Bits) -> pa.StringArray:
    """The most certain convention of each span, NULL where none is shown."""
    lowest = bits & -bits
    distinct, place = np.unique(lowest, return_inverse=True)
    names = [_NAMES[value.bit_length() - 1] if value else None for value in distinct.tolist()]
    return pa.array(names, pa.string()).take(pa.array(place))
