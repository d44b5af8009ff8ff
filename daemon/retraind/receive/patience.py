"""How long a sender may take: unhurried while there is room, briefly while others wait for it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from retraind.receive.admit import Admission, Lease

SLOW_READ_SECONDS = 1.0
"""From then on a read that holds a large reservation ends as soon as another request waits."""


class Patience:
    """Bounds the reading of one body: `async with Patience(...)`.

    Raises TimeoutError after `seconds`, and Refused when a large lease has to yield before that:
    otherwise a few senders that announce much and send nothing would shut out everybody else.
    """

    __slots__ = ("_admission", "_lease", "_timeout", "_timer", "_yielded")

    def __init__(self, admission: Admission, lease: Lease, seconds: float) -> None:
        self._admission = admission
        self._lease = lease
        self._timeout = asyncio.timeout(seconds)
        self._timer: asyncio.TimerHandle | None = None
        self._yielded = False

    async def __aenter__(self) -> None:
        if self._admission.is_large(self._lease.size):
            self._look_again_in(SLOW_READ_SECONDS)
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, exc, traceback)
        except TimeoutError:
            if self._yielded:
                raise self._admission.refusal("memory") from None
            raise

    def _look_again_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._yield_if_contended, loop)

    def _yield_if_contended(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._admission.contended:
            self._yielded = True
            self._timeout.reschedule(loop.time())
        else:
            self._look_again_in(SLOW_READ_SECONDS / 4)
