"""A vector of any length as a few whole numbers, the same to the last bit however it is computed.

Sums of floats depend on their order, and a matrix product on how the library cuts the matrices. So
vectors and matrices are rounded to whole numbers so small that every sum in a product stays below
2^53, where floats are exact; and the cosine is read from a table.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retraind.drift.bins import FloatArray, IntArray

MAX_DIMENSIONS = 128
MAX_LENGTH = 8192
"""Dimensions of a model; with more the sums would not be exact."""
LENGTH_BITS, UNIT_BITS, REDUCED_BITS, TABLE_BITS = 20, 24, 22, 16
STATE = 1 << 24
"""A coordinate of 1 in fixed point."""
CLIP = 8.0
"""Whitened coordinates end here: one strange vector must not carry a window."""
_EXACT_BITS = 52


@dataclass(frozen=True, slots=True, eq=False)
class WholeMatrix:
    """A matrix [inputs, outputs] in whole numbers: its entries times 2^bits."""

    entries: IntArray
    bits: int

    def times(self, rows: FloatArray) -> FloatArray:
        """rows @ entries for whole numbers [n, inputs], exact."""
        product: FloatArray = rows @ self.entries.astype(np.float64)
        return product


def whole_matrix(matrix: FloatArray, longest_input: float) -> WholeMatrix:
    """As exact as products with whole vectors of at most that length allow."""
    longest = float(np.sqrt((matrix * matrix).sum(axis=0)).max())
    bits = math.floor(_EXACT_BITS - 1 - math.log2(longest * longest_input))
    bits = min(bits, 40)
    return WholeMatrix(np.rint(matrix * 2.0**bits).astype(np.int64), bits)


def unit_vectors(rows: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Directions in whole numbers times 2^-24 [n, d], lengths [n], and which rows have one [n].

    A row that is zero or has a value that is not finite has none, and is zero in the result.
    """
    values = np.array(rows, np.float64, order="C")
    largest = np.abs(values).max(axis=1, initial=0.0)
    usable = np.isfinite(largest) & (largest > 0)
    values[~usable] = 0.0
    largest = np.where(usable, largest, 1.0)
    whole = np.rint(values / largest[:, None] * 2.0**LENGTH_BITS)
    squares = (whole * whole).sum(axis=1)  # exact: at most 8192 times 2^40
    length = np.sqrt(np.where(usable, squares, 1.0))
    units = np.rint(whole / length[:, None] * 2.0**UNIT_BITS)
    return units, np.where(usable, length * largest / 2.0**LENGTH_BITS, 0.0), usable


def reduced(units: FloatArray, seed: bytes) -> FloatArray:
    """At most 128 coordinates, whole numbers times 2^-22; the units themselves when they are fewer.

    Sums with random signs, which keep distances (Achlioptas 2003). The signs are bits of SHAKE-128
    of the seed, so nothing has to be stored.
    """
    length = units.shape[1]
    if length <= MAX_DIMENSIONS:
        return np.rint(units * 2.0 ** (REDUCED_BITS - UNIT_BITS))
    bits = np.frombuffer(hashlib.shake_128(seed).digest(length * MAX_DIMENSIONS // 8), np.uint8)
    signs = 1.0 - 2.0 * np.unpackbits(bits).reshape(length, MAX_DIMENSIONS)
    scale = 2.0 ** (REDUCED_BITS - UNIT_BITS) / math.sqrt(MAX_DIMENSIONS)
    return np.rint((units @ signs) * scale)


def longest_reduced(length: int) -> float:
    """No vector of `reduced` is longer, for units of that many dimensions."""
    return 2.0**REDUCED_BITS * math.sqrt(length) * 1.01


def whitened(points: FloatArray, mean: IntArray, matrix: WholeMatrix) -> IntArray:
    """(points - mean) @ matrix in fixed point, shape (n, d), clipped at 8."""
    product = matrix.times(points - mean) * 2.0 ** -(matrix.bits + REDUCED_BITS)
    return np.rint(np.clip(product, -CLIP, CLIP) * STATE).astype(np.int64)


def cosines(points: FloatArray, matrix: WholeMatrix, phases: IntArray) -> IntArray:
    """cos(points @ matrix + phase) in fixed point, shape (n, features).

    The matrix gives turns instead of radians, phases are in 2^-16 turns.
    """
    turns = matrix.times(points) * 2.0 ** (TABLE_BITS - matrix.bits - REDUCED_BITS)
    place = np.rint(turns).astype(np.int64) + phases
    result: IntArray = _TABLE[place & ((1 << TABLE_BITS) - 1)]
    return result


_TABLE: IntArray = np.rint(
    np.cos(2 * np.pi * np.arange(1 << TABLE_BITS) / (1 << TABLE_BITS)) * STATE
).astype(np.int64)
