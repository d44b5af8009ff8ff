"""gzip under a limit: output comes in small pieces, so that a bomb is stopped and never stored."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from io import BytesIO

from retraind.errors import InvalidPayload, PayloadTooLarge
from retraind.receive.admit import Admission, Lease

MAGIC = b"\x1f\x8b"
_PIECE = 256 * 1024  # about a millisecond of work; the event loop runs in between
_HEAVY = 1024 * 1024  # output over this is inflated by a few requests at a time
_MAX_MEMBERS = 64  # a stream of tiny members costs far more time than its bytes suggest
_GZIP_WBITS = 31


async def inflate(compressed: bytes, admission: Admission, lease: Lease) -> bytes:
    """The content of a gzip body of one or more members; `lease` then holds exactly its size.

    Raises InvalidPayload, PayloadTooLarge past limits.request_bytes, Refused when memory is short.
    """
    limit = admission.limits.request_bytes
    body = BytesIO()  # one growing buffer: pieces and their join would take it twice
    size = 0
    async with AsyncExitStack() as heavy:
        for piece in _pieces(compressed):
            size += len(piece)
            if size > limit:
                raise PayloadTooLarge(
                    f"The request is over {limit} bytes after decompression; "
                    "send smaller batches or raise receivers.limits.request_bytes."
                )
            if size > _HEAVY >= size - len(piece):
                await heavy.enter_async_context(admission.heavy())
            lease.grow(len(piece))
            body.write(piece)
            if len(piece) == _PIECE:
                await asyncio.sleep(0)
    lease.shrink_to(size)
    return body.getvalue()


def _pieces(compressed: bytes) -> Iterator[bytes]:
    """Output of at most _PIECE bytes at a time. Raises InvalidPayload."""
    pending = compressed
    for _ in range(_MAX_MEMBERS):
        stream = zlib.decompressobj(_GZIP_WBITS)
        while not stream.eof:
            try:
                piece = stream.decompress(pending, _PIECE)
            except zlib.error:
                raise InvalidPayload("The body is not valid gzip.") from None
            pending = stream.unconsumed_tail
            if not (pending or piece or stream.eof):
                raise InvalidPayload("The gzip body is truncated.")
            yield piece
        pending = stream.unused_data
        if not pending:
            return
    raise InvalidPayload(f"The body has more than {_MAX_MEMBERS} gzip members.")
