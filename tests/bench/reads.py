"""Does reading few gRPC messages at once limit the rate? `python -m tests.bench.reads`

The real receiver in front of an intake that stores nothing, 32 senders of 0.9 MB messages (512
spans of 1.8 KB), through a proxy that delays every byte. in_flight_bytes / request_bytes varies.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import grpc.aio
from tests.harness import EXPORT
from tests.receiver_harness import Receiver

from retraind.config.settings import ReceiverLimits
from retraind.model import ExportResult

SENDERS = 32
BYTES = 900_000
SECONDS = 6.0
MIB = 2**20


async def _forward(source: asyncio.StreamReader, to: asyncio.StreamWriter, delay: float) -> None:
    """Pass bytes on, each `delay` seconds after it came."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            at, data = await on_the_way.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                return to.close()
            to.write(data)
            await to.drain()

    async with asyncio.TaskGroup() as group:
        group.create_task(arrive())
        while data := await source.read(2**16):
            on_the_way.put_nowait((loop.time() + delay, data))
        on_the_way.put_nowait((loop.time() + delay, b""))


async def _rate(port: int, round_trip: float) -> float:
    """Requests a second of all senders."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ExceptionGroup, ConnectionError, asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                group.create_task(_forward(reader, far_writer, round_trip / 2))
                group.create_task(_forward(far_reader, writer, round_trip / 2))

    async def send(target: str, until: float) -> int:
        sent = 0
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            while time.monotonic() < until:
                await channel.unary_unary(EXPORT)(bytes(BYTES), timeout=30)
                sent += 1
        return sent

    proxy = await asyncio.start_server(connected, "127.0.0.1", 0)
    target = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    until = time.monotonic() + SECONDS
    counts = await asyncio.gather(*(send(target, until) for _ in range(SENDERS)))
    proxy.close()
    return sum(counts) / SECONDS


def main() -> None:
    for round_trip in (0.0, 0.02, 0.1):
        for at_once in (4, 16, 64):
            limits = ReceiverLimits(request_bytes=64 * MIB, in_flight_bytes=at_once * 64 * MIB)
            with Receiver(limits=limits) as receiver:
                receiver.intake.answer = ExportResult(accepted=512)
                port = int(receiver.grpc_target.rpartition(":")[2])
                rate = asyncio.run(_rate(port, round_trip))
                receiver.intake.reset()
            print(f"{round_trip * 1000:4.0f} ms, {at_once:2} at once: {rate:6.0f} requests/s")


if __name__ == "__main__":
    main()
