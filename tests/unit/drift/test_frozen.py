"""Bytes of frozen parts, and the split of a reference's sessions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retraind.drift.frozen import content_id, held_out, numbered, pack, unpack
from retraind.errors import StoreError

ARRAYS = {"b": np.arange(6, dtype=np.uint64).reshape(2, 3), "a": np.array([-1.5, 2.0])}


def test_what_is_packed_is_read_back() -> None:
    packed = pack("thing/v1", {"name": "x\ny", "size": 3}, ARRAYS)
    fields, arrays = unpack("thing/v1", packed)
    assert fields == {"name": "x\ny", "size": 3}
    assert {name: array.tolist() for name, array in arrays.items()} == {
        name: array.tolist() for name, array in ARRAYS.items()
    }
    assert arrays["b"].dtype == np.uint64


def test_bytes_depend_on_the_content_only() -> None:
    packed = pack("thing/v1", {"p": 1, "q": 2}, ARRAYS)
    big_endian = {"a": ARRAYS["a"].astype(">f8"), "b": np.asfortranarray(ARRAYS["b"])}
    assert pack("thing/v1", {"q": 2, "p": 1}, big_endian) == packed
    assert content_id(pack("thing/v1", {"p": 1, "q": 3}, ARRAYS)) != content_id(packed)


@pytest.mark.parametrize("damage", ["cut", "longer", "kind", "text"])
def test_damaged_bytes_are_an_error(damage: str) -> None:
    packed = pack("thing/v1", {}, ARRAYS)
    broken = {
        "cut": packed[:-1],
        "longer": packed + b"x",
        "kind": pack("thing/v2", {}, ARRAYS),
        "text": b"hello",
    }[damage]
    with pytest.raises(StoreError, match="cannot be read"):
        unpack("thing/v1", broken)


def test_sessions_are_split_by_their_id() -> None:
    ids = [f"session {i}" for i in range(20_000)]
    for one_in in (2, 5):
        rest = held_out(ids, one_in)
        assert stats.binomtest(int(rest.sum()), len(ids), 1 / one_in).pvalue > 1e-4
        assert held_out(ids[100:200], one_in).tolist() == rest[100:200].tolist()


def test_the_order_does_not_depend_on_that_of_the_rows() -> None:
    ids = [f"session {i}" for i in range(1000)]
    front = {ids[row] for row in numbered(ids)[:400].tolist()}
    backwards = ids[::-1]
    assert {backwards[row] for row in numbered(backwards)[:400].tolist()} == front
    part = held_out(sorted(front), 2)
    assert stats.binomtest(int(part.sum()), 400, 0.5).pvalue > 1e-4
    assert sorted(numbered(ids).tolist()) == list(range(1000))
