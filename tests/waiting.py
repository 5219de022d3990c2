"""How tests wait: for something to become true, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

LOOK_EVERY_S = 0.02

Found = TypeVar("Found")


def until(holds: Callable[[], Found], what: str = "what the test waits for", within_s: float = 60.0) -> Found:
    """What `holds()` gives once that is true. AssertionError that says `what` when it is not within the time."""
    deadline_s = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline_s, f"expected within {within_s:g} s: {what}"
        time.sleep(LOOK_EVERY_S)
    return found


async def until_async(
    holds: Callable[[], Found], what: str = "what the test waits for", within_s: float = 60.0
) -> Found:
    """As `until`, on an event loop that goes on meanwhile."""
    deadline_s = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline_s, f"expected within {within_s:g} s: {what}"
        await asyncio.sleep(LOOK_EVERY_S / 10)
    return found


async def within(within_s: float, work: Awaitable[Found]) -> Found:
    """What `work` gives. TimeoutError when that takes longer."""
    async with asyncio.timeout(within_s):
        return await work
