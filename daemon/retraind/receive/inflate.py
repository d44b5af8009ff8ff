"""gzip under a limit: output is produced in small pieces, so that a bomb is stopped, not stored."""

from __future__ import annotations

import asyncio
import zlib

from retraind.errors import InvalidPayload, PayloadTooLarge
from retraind.receive.admit import Lease

MAGIC = b"\x1f\x8b"
_PIECE = 256 * 1024  # about a millisecond of work; the event loop runs in between
_MAX_MEMBERS = 64  # a stream of tiny members costs far more time than its bytes suggest
_GZIP_WBITS = 31


class Inflater:
    """Inflates one gzip body, fed chunk by chunk; every output byte is taken from `lease`."""

    def __init__(self, limit: int, lease: Lease) -> None:
        """`limit` is the largest output in bytes."""
        self._limit = limit
        self._lease = lease
        self._stream = zlib.decompressobj(_GZIP_WBITS)
        self._members = 1
        self._pieces: list[bytes] = []
        self._size = 0

    async def feed(self, chunk: bytes) -> None:
        """Raises InvalidPayload, PayloadTooLarge past the limit, Refused when memory is short."""
        pending = chunk
        while pending or not self._stream.eof:
            if self._stream.eof:
                self._next_member()
            try:
                piece = self._stream.decompress(pending, _PIECE)
            except zlib.error:
                raise InvalidPayload("The body is not valid gzip.") from None
            self._keep(piece)
            pending = self._stream.unconsumed_tail or self._stream.unused_data
            # All input may be consumed while output still waits inside zlib.
            if not pending and len(piece) < _PIECE:
                return
            await asyncio.sleep(0)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise PayloadTooLarge(
                f"The request is over {self._limit} bytes after decompression; "
                "send smaller batches or raise receivers.limits.request_bytes."
            )
        if piece:
            self._lease.grow(len(piece))
            self._pieces.append(piece)

    def _next_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise InvalidPayload(f"The body has more than {_MAX_MEMBERS} gzip members.")
        self._stream = zlib.decompressobj(_GZIP_WBITS)

    def finish(self) -> bytes:
        """The whole output. Raises InvalidPayload when the input ended early."""
        if not self._stream.eof:
            raise InvalidPayload("The gzip body is truncated.")
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
