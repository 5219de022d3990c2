"""A body that is too large to be kept: read in blocks, counted, and given on before the next block is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from api.problems import Problem

BODY_S = 30.0
SENT_BYTES_A_S = 64 * 1024
"""A body has BODY_S, and a second for so many of its bytes. What we do with its blocks meanwhile does not count."""


async def blocks_of(request: Request, size: int, block_bytes: int) -> AsyncIterator[bytes]:
    """The body of a request that has so many bytes, in blocks of `block_bytes`; the last may be shorter. No more than a
    block and what came with its end is in memory. Problem 422 for a body of another size, 408 for one that comes too
    slowly, 400 for one that ends in the middle."""
    claimed = request.headers.get("Content-Length", "")
    if claimed and claimed != str(size):
        raise _other_length(size, claimed[:20])
    whole_s = left_s = BODY_S + size / SENT_BYTES_A_S
    stream, clock = request.stream(), asyncio.get_running_loop().time
    taken, block = 0, bytearray()
    while True:
        begun_s = clock()
        try:
            async with asyncio.timeout(left_s):
                sent = await anext(stream, None)
        except TimeoutError:
            raise Problem(
                408,
                "body-too-slow",
                f"expected {size} bytes within {whole_s:.0f} s, found a part of them; send them again",
                headers={"Connection": "close"},
            ) from None
        except ClientDisconnect:
            raise Problem(400, "body-cut-off", "the connection ended before the body did; send it again") from None
        left_s -= clock() - begun_s
        if sent is None:
            break
        taken += len(sent)
        if taken > size:
            raise _other_length(size, "more")
        block += sent
        while len(block) >= block_bytes:
            yield bytes(block[:block_bytes])
            del block[:block_bytes]
    if taken < size:
        raise _other_length(size, str(taken))
    if block:
        yield bytes(block)


def _other_length(size: int, found: str) -> Problem:
    return Problem(
        422,
        "other-length",
        f"expected a body of {size} bytes, as the upload said, found {found}",
        headers={"Connection": "close"},
    )
