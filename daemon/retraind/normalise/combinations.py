"""Which combinations of values occur in several columns, so that each is worked on once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def combinations(columns: Iterable[tuple[Any, int]], rows: int) -> tuple[list[int], Any]:
    """A row that shows each distinct combination, and for each row which combination it is.

    `columns` are (codes from 0, how many codes there are).
    """
    signature = np.zeros(rows, dtype=np.int64)
    size = 1
    for codes, base in columns:
        if size * base >= 2**62:
            distinct, signature = np.unique(signature, return_inverse=True)
            size = len(distinct)
        signature = signature * base + codes
        size *= base
    _, first, which = np.unique(signature, return_index=True, return_inverse=True)
    return first.tolist(), which
