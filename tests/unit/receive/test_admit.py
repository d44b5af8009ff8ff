"""Admission by bytes, with a clock moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from retraind.config.settings import ReceiverLimits
from retraind.errors import Refused
from retraind.receive.admit import Admission
from retraind.telemetry import Telemetry

MIB = 2**20


class Bench:
    """An admission of 64 MiB with its clock and switches."""

    def __init__(self, *, queue_wait: float = 2.0, jitter: float = 0.0) -> None:
        self.now = 0.0
        self.accepting = True
        self.telemetry = Telemetry()
        limits = ReceiverLimits(
            request_bytes=16 * MIB, in_flight_bytes=64 * MIB, queue_wait=queue_wait
        )
        self.admission = Admission(
            limits,
            self.telemetry,
            accepting=lambda: self.accepting,
            monotonic=lambda: self.now,
            jitter=lambda: jitter,
        )

    def held(self) -> float:
        value = self.telemetry.registry.get_sample_value("retraind_receiver_in_flight_bytes")
        assert value is not None
        return value

    async def queue(self, mebibytes: int) -> Callable[[], None]:
        """A complete body of that size; calling the result commits it."""
        lease = await self.admission.reserve(mebibytes * MIB)
        lease.queued()
        return lambda: lease.release(committed=True)


def test_bytes_are_held_and_given_back() -> None:
    async def main() -> None:
        bench = Bench()
        lease = await bench.admission.reserve(10 * MIB)
        assert bench.held() == 10 * MIB
        lease.grow(MIB)
        lease.shrink_to(5 * MIB)
        lease.shrink_to(8 * MIB)  # never grows
        assert bench.held() == 5 * MIB
        lease.release()
        lease.release()
        assert bench.held() == 0

    asyncio.run(main())


def test_growth_beyond_the_limit_is_refused_at_once() -> None:
    async def main() -> None:
        bench = Bench()
        lease = await bench.admission.reserve(60 * MIB)
        with pytest.raises(Refused) as caught:
            lease.grow(5 * MIB)
        assert caught.value.reason == "memory"
        assert bench.held() == 60 * MIB

    asyncio.run(main())


def test_large_requests_wait_in_order_and_small_ones_pass() -> None:
    async def main() -> None:
        bench = Bench()
        first = await bench.admission.reserve(60 * MIB)
        order = []

        async def waits(name: str, mebibytes: int) -> None:
            lease = await bench.admission.reserve(mebibytes * MIB)
            order.append(name)
            lease.release()

        tasks = [asyncio.create_task(waits("a", 50)), asyncio.create_task(waits("b", 2))]
        await asyncio.sleep(0)
        assert bench.admission.contended
        (await bench.admission.reserve(MIB)).release()  # fits and is small
        assert order == []
        first.release()
        await asyncio.gather(*tasks)
        assert order == ["a", "b"]
        assert bench.held() == 0

    asyncio.run(main())


def test_waiting_ends_in_a_refusal() -> None:
    async def main() -> None:
        bench = Bench(queue_wait=0.02)
        await bench.admission.reserve(64 * MIB)
        with pytest.raises(Refused) as caught:
            await bench.admission.reserve(MIB)
        assert caught.value.reason == "memory"
        assert not bench.admission.contended
        assert bench.held() == 64 * MIB

    asyncio.run(main())


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async def main() -> None:
        bench = Bench()
        first = await bench.admission.reserve(64 * MIB)
        waiting = asyncio.create_task(bench.admission.reserve(10 * MIB))
        granted_then_cancelled = asyncio.create_task(bench.admission.reserve(10 * MIB))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        first.release()  # grants the second, which is cancelled before it runs
        granted_then_cancelled.cancel()
        await asyncio.gather(waiting, granted_then_cancelled, return_exceptions=True)
        assert bench.held() == 0
        assert not bench.admission.contended

    asyncio.run(main())


def test_room_that_comes_with_the_timeout_is_not_lost() -> None:
    """The waiter is passed over between its timeout and its own turn to notice it."""

    async def main() -> None:
        bench = Bench(queue_wait=0.02)
        first = await bench.admission.reserve(64 * MIB)
        waiting = asyncio.create_task(bench.admission.reserve(10 * MIB))
        await asyncio.sleep(0)
        waiting.cancel()
        first.release()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert bench.held() == 0

    asyncio.run(main())


def test_flags() -> None:
    bench = Bench()
    bench.accepting = False
    with pytest.raises(Refused) as caught:
        bench.admission.check()
    assert caught.value.reason == "disk_low"
    bench.admission.draining = True
    with pytest.raises(Refused) as caught:
        bench.admission.check()
    assert caught.value.reason == "draining"


def test_estimated_wait_follows_the_drain_rate() -> None:
    """10 MiB/s observed and 40 MiB queued: 4 s, so a request is refused with a 4 s hint."""

    async def main() -> None:
        bench = Bench()
        commits = [await bench.queue(10) for _ in range(6)]
        for commit in commits[:2]:
            bench.now += 1.0
            commit()
        assert bench.admission.estimated_wait() == pytest.approx(4.0)
        with pytest.raises(Refused) as caught:
            bench.admission.check()
        assert caught.value.reason == "queue_full"
        assert caught.value.retry_after_seconds == pytest.approx(4.0)
        for commit in commits[2:]:
            bench.now += 1.0
            commit()
        bench.admission.check()
        assert bench.admission.estimated_wait() == 0

    asyncio.run(main())


def test_requests_of_one_commit_count_together() -> None:
    """Four times 8 MiB in one commit of a second is 32 MiB/s; 32 MiB more take a second."""

    async def main() -> None:
        bench = Bench()
        commits = [await bench.queue(8) for _ in range(8)]
        bench.now += 1.0
        for commit in commits[:4]:
            commit()
        assert bench.admission.estimated_wait() == pytest.approx(1.0)

    asyncio.run(main())


def test_a_slower_store_is_noticed() -> None:
    """A minute at 8 MiB/s, then half a minute at 1 MiB/s: the estimate is about 1 MiB/s."""

    async def main() -> None:
        bench = Bench(queue_wait=1000.0)
        queue = [await bench.queue(8) for _ in range(7)]
        for seconds in [1.0] * 60 + [8.0] * 4:
            bench.now += seconds
            queue.pop(0)()
            lease = await bench.admission.reserve(0)
            lease.grow(8 * MIB)
            lease.queued()
            queue.append(lambda lease=lease: lease.release(committed=True))
        assert bench.admission.estimated_wait() == pytest.approx(56.0, rel=0.25)

    asyncio.run(main())


def test_the_clients_deadline_counts() -> None:
    """20 MiB at 20 MiB/s: 1 s is within queue_wait, but not within half a second."""

    async def main() -> None:
        bench = Bench()
        commits = [await bench.queue(20) for _ in range(2)]
        bench.now += 1.0
        commits[0]()
        bench.admission.check()
        bench.admission.check(1.5)
        with pytest.raises(Refused) as caught:
            bench.admission.check(0.5)
        assert caught.value.reason == "queue_full"

    asyncio.run(main())


def test_a_stalled_store_is_noticed_without_any_rate() -> None:
    """Nothing was ever committed, and the only body has waited longer than queue_wait."""

    async def main() -> None:
        bench = Bench()
        await bench.queue(1)
        bench.now += 1.9
        bench.admission.check()
        bench.now += 0.2
        with pytest.raises(Refused) as caught:
            bench.admission.check()
        assert caught.value.reason == "queue_full"

    asyncio.run(main())


def test_small_commits_do_not_spoil_the_estimate() -> None:
    """A thousand commits of 1 KiB, 10 ms each, are no reason to refuse the next 16 MiB."""

    async def main() -> None:
        bench = Bench()
        for _ in range(1000):
            lease = await bench.admission.reserve(1024)
            lease.queued()
            bench.now += 0.01
            lease.release(committed=True)
        await bench.queue(16)
        bench.admission.check()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("waited", "jitter", "hint"), [(0.0, 0.0, 1.0), (0.0, 0.999, 1.2), (500.0, 0.0, 30.0)]
)
def test_the_retry_hint_is_bounded(waited: float, jitter: float, hint: float) -> None:
    """G10: between 1 s and 30 s, plus up to a fifth."""

    async def main() -> None:
        bench = Bench(jitter=jitter)
        await bench.queue(1)
        bench.now += waited
        refused = bench.admission.refusal("memory")
        assert refused.retry_after_seconds == pytest.approx(hint, rel=1e-3)

    asyncio.run(main())
