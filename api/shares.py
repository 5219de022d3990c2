"""How much of one thing each caller has now: requests, questions, whatever can run out.

A share says how much at once, never how much a day. What is taken is given back, and who has nothing is forgotten, so
the memory is bounded by what is in use.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

T = TypeVar("T")

ASKER: ContextVar[str] = ContextVar("asker", default="")
"""The tenant whose request the running task serves, as `api.callers` found it. Empty: none, or not known yet."""


class CallerShares:
    """Used in one event loop."""

    def __init__(self, each_max: int) -> None:
        """`each_max`: the most that one caller has at once."""
        self._each_max = each_max
        self._taken: Counter[str] = Counter()

    def take(self, who: str) -> bool:
        """False: the caller has all of its share. True: it has one more now, until `give_back`."""
        if self._taken[who] >= self._each_max:
            return False
        self._taken[who] += 1
        return True

    def give_back(self, who: str) -> None:
        """Once for each `take` that was True."""
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]


class Together(Generic[T]):
    """Calls of one name at the same moment are one call, whose outcome all share. Used in one event loop."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[T]] = {}

    async def run(self, name: str, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the call returns or raises. It goes on when one of those who wait for it goes away."""
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(begin())
            task.add_done_callback(lambda ended: self._end(name, ended))
        return await asyncio.shield(task)

    def _end(self, name: str, ended: asyncio.Task[T]) -> None:
        del self._running[name]
        if not ended.cancelled():
            ended.exception()  # asyncio would log what everybody went away from
