"""One hash of how a model was asked: system instructions, tools and sampling parameters."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from retraind.normalise.combinations import combinations

_COLUMNS = ("system_instructions", "tool_definitions", "temperature", "top_p", "max_tokens")
_DIGITS = 16


def fingerprints(columns: dict[str, Any]) -> pa.StringArray:
    """16 hex digits of SHA-256 over the columns above, once per distinct combination.

    NULL where none of them is there. Two spans with equal values have the same fingerprint,
    whatever convention they came in.
    """
    owners = len(columns[_COLUMNS[0]])
    present = []
    for name in _COLUMNS:
        if columns[name].null_count < owners:
            encoded = columns[name].dictionary_encode()
            code = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False) + np.int64(1)
            entries = [None, *encoded.dictionary.to_pylist()]
            present.append((name, entries, code))
    codes = ((code, len(entries)) for _, entries, code in present)
    examples, place = combinations(codes, owners)
    texts = [
        _hash({name: entries[code[example]] for name, entries, code in present})
        for example in examples
    ]
    return pa.array(texts, pa.string()).take(pa.array(place))


def _hash(parts: dict[str, Any]) -> str | None:
    said = {name: value for name, value in parts.items() if value is not None}
    if not said:
        return None
    content = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
