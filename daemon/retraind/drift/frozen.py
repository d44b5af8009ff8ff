"""Parts that are frozen with a reference: which sessions make them, and how they are stored.

What is fitted to sessions (a vocabulary, a whitening) must not be compared with those same
sessions, or every window looks new. So some of a reference's sessions make the parts, and the other
ones, held out, are what windows are compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from retraind.errors import StoreError

Reason = Literal["reference_too_small", "not_comparable", "too_few_sessions", "constant"]
_MAGIC = b"retraind frozen 1\n"


@dataclass(frozen=True, slots=True)
class NotTested:
    """There is no p-value, and why: `reason` for programs, `detail` for people."""

    reason: Reason
    detail: str


def session_numbers(session_ids: Iterable[str]) -> npt.NDArray[np.uint64]:
    """A uniform 64-bit number of each session id, shape (n,); the same in every process."""
    digests = b"".join(
        hashlib.blake2b(each.encode("utf-8", "replace"), digest_size=8).digest()
        for each in session_ids
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def held_out(session_ids: Iterable[str], one_in: int) -> npt.NDArray[np.bool_]:
    """True for the sessions, one in so many, that are compared and do not make parts."""
    rest: npt.NDArray[np.bool_] = session_numbers(session_ids) % np.uint64(one_in) == 0
    return rest


def numbered(session_ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Rows by their session's number: a random order that does not depend on that of the rows.

    A part of fixed size is taken from its front. The bit that makes the halves orders last, so both
    halves are in such a part.
    """
    numbers = session_numbers(session_ids)
    return np.lexsort((numbers, numbers >> np.uint64(1)))


def pack(kind: str, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Numbers, texts and arrays as bytes, the same for equal content on every machine.

    A line of JSON with the fields and, for each array, its name, type and shape; then the arrays in
    that order, little-endian.
    """
    little = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        for name, array in sorted(arrays.items())
    }
    shapes = [(name, array.dtype.str, array.shape) for name, array in little.items()]
    header = orjson.dumps(
        {"kind": kind, "fields": dict(fields), "arrays": shapes}, option=orjson.OPT_SORT_KEYS
    )
    return b"".join((_MAGIC, header, b"\n", *(array.tobytes() for array in little.values())))


def unpack(kind: str, packed: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Fields and arrays of `pack`. Raises StoreError when these are not the bytes of that kind."""
    try:
        magic, line, rest = packed.split(b"\n", 2)
        header = orjson.loads(line)
        if magic + b"\n" != _MAGIC or header["kind"] != kind:
            raise ValueError(f"not a {kind}")
        arrays, start = {}, 0
        for name, dtype, shape in header["arrays"]:
            count = int(np.prod(shape, dtype=np.int64))
            flat = np.frombuffer(rest, dtype, count, start)
            arrays[name] = flat.reshape(shape).astype(flat.dtype.newbyteorder("="), copy=False)
            start += flat.nbytes
        if start != len(rest):
            raise ValueError("its length is wrong")
    except (ValueError, KeyError, TypeError) as problem:
        raise StoreError(f"the frozen part of a reference cannot be read: {problem}") from problem
    return header["fields"], arrays


def content_id(packed: bytes) -> str:
    """128-bit hash of packed parts: what a state must carry to be compared with them."""
    return hashlib.blake2b(packed, digest_size=16).hexdigest()
