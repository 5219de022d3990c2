"""How tests wait: for something to become true, never for a time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

LOOK_EVERY_S = 0.02
PATIENCE_S = float(os.environ.get("TESTS_PATIENCE_S", "60"))
"""How long a test waits that does not say how long. `python -m tests.mutants` makes it short: there most waits are in
vain."""

Found = TypeVar("Found")


def until(holds: Callable[[], Found], what: str = "what the test waits for", within_s: float = PATIENCE_S) -> Found:
    """Waits until `holds()` gives something true, and returns that. AssertionError names `what` when the time is
    over."""
    deadline_s = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline_s, f"expected within {within_s:g} s: {what}"
        time.sleep(LOOK_EVERY_S)
    return found


async def until_async(
    holds: Callable[[], Found], what: str = "what the test waits for", within_s: float = PATIENCE_S
) -> Found:
    """Like `until`, for an event loop that goes on meanwhile."""
    deadline_s = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline_s, f"expected within {within_s:g} s: {what}"
        await asyncio.sleep(LOOK_EVERY_S / 10)
    return found


async def within(within_s: float, work: Awaitable[Found]) -> Found:
    """The result of `work`. TimeoutError when `work` takes longer."""
    async with asyncio.timeout(within_s):
        return await work
