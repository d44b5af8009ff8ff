"""gzip under a limit, against Python's gzip module."""

from __future__ import annotations

import asyncio
import gzip
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retraind.config.settings import ReceiverLimits
from retraind.errors import InvalidPayload, PayloadTooLarge, Refused
from retraind.receive.admit import Admission
from retraind.receive.inflate import inflate
from retraind.telemetry import Telemetry

MIB = 2**20


def run(compressed: bytes, *, limit: int = 4 * MIB, memory: int = 16 * MIB) -> bytes:
    """Inflate and check that afterwards exactly the body is held, or nothing after an error."""

    async def main() -> bytes:
        limits = ReceiverLimits(request_bytes=limit, in_flight_bytes=memory, queue_wait=0.05)
        admission = Admission(limits, Telemetry(), accepting=lambda: True)
        lease = await admission.reserve(len(compressed))
        body = await inflate(compressed, admission, lease)
        assert lease.size == len(body)
        return body

    return asyncio.run(main())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(0, 9))
def test_any_content_comes_back(parts: list[bytes], level: int) -> None:
    """As one member and as several."""
    whole = b"".join(parts)
    assert run(gzip.compress(whole, level)) == whole
    assert run(b"".join(gzip.compress(part, level) for part in parts)) == whole


@pytest.mark.parametrize("size", [256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, MIB, 3 * MIB])
@pytest.mark.parametrize("noisy", [False, True])
def test_sizes_around_the_piece(size: int, noisy: bool) -> None:
    content = os.urandom(size) if noisy else bytes(size)
    assert run(gzip.compress(content, 1)) == content


def test_the_limit_itself_is_taken() -> None:
    assert len(run(gzip.compress(bytes(4 * MIB)))) == 4 * MIB
    with pytest.raises(PayloadTooLarge, match="request_bytes"):
        run(gzip.compress(bytes(4 * MIB + 1)))


def test_members_count_together() -> None:
    with pytest.raises(PayloadTooLarge):
        run(gzip.compress(bytes(3 * MIB)) * 2)


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=400), st.data())
def test_no_truncation_passes(content: bytes, data: st.DataObject) -> None:
    wire = gzip.compress(content)
    end = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(InvalidPayload):
        run(wire[:end])


def test_memory_is_refused() -> None:
    """A body within the limit of a request for which there is no room now."""
    with pytest.raises(Refused) as caught:
        run(gzip.compress(bytes(3 * MIB)), memory=2 * MIB)
    assert caught.value.reason == "memory"


def test_few_large_bodies_at_a_time() -> None:
    """While one large body is inflated another waits, and a small one does not."""

    async def main() -> None:
        limits = ReceiverLimits(request_bytes=4 * MIB, in_flight_bytes=8 * MIB, queue_wait=0.05)
        admission = Admission(limits, Telemetry(), accepting=lambda: True)

        async def one(compressed: bytes) -> bytes:
            return await inflate(compressed, admission, await admission.reserve(1024))

        async with admission.heavy():
            assert await one(gzip.compress(bytes(1000))) == bytes(1000)
            with pytest.raises(Refused):
                await one(gzip.compress(bytes(2 * MIB)))
        assert len(await one(gzip.compress(bytes(2 * MIB)))) == 2 * MIB

    asyncio.run(main())
