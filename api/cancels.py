"""Cancels that the broker has: the same cancel again writes nothing further to `jobs`, where each stays for ever."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from cachetools import TTLCache

from api.shares import Together

KEPT_S = 60.0
"""Long enough for the views to show that the job is cancelling, which the handler looks at first."""
KEPT_MAX = 10_000


class Cancels:
    """Of one process. Used in one event loop."""

    def __init__(self) -> None:
        self._acknowledged: TTLCache[str, None] = TTLCache(KEPT_MAX, KEPT_S)
        self._together: Together[None] = Together()

    async def once(self, job: str, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Returns when the broker has a cancel of this job. Raises what `write` raises; then the next one writes."""
        if job in self._acknowledged:
            return
        await self._together.run(job, write)
        self._acknowledged[job] = None
