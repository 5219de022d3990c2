"""The threads in which the API asks Postgres and the object store.

A server that stands still keeps every thread that asks it. So no call waits in a queue of the threads, which would grow
for as long as the server stands still: a call waits for a free thread itself, within its own patience, and when too
many wait a call is refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from runtime.postgres import DatabaseSilent

WAITING_MAX = 500
"""Calls that wait for a thread. Each holds its request, which has at most a body."""

T = TypeVar("T")


class AnsweringThreads:
    """Used in one event loop."""

    def __init__(self, threads: int, *, waiting_max: int = WAITING_MAX) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="api")
        self._free = asyncio.Semaphore(threads)
        self._waiting_max = waiting_max
        self.waiting = 0
        """Calls that wait for a thread now."""

    async def run(self, function: Callable[[], T], patience_s: float | None) -> T:
        """What the function returns. DatabaseSilent when too many wait, or when it has not returned within
        `patience_s`. A function that has begun is not interrupted, and keeps its thread until it returns."""
        if self.waiting >= self._waiting_max:
            raise DatabaseSilent
        try:
            async with asyncio.timeout(patience_s):
                await self._take()
                return await asyncio.wrap_future(self._begin(function))
        except TimeoutError:
            raise DatabaseSilent from None

    def close(self) -> None:
        """Calls under way go on; a process that ends does not wait for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _take(self) -> None:
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    def _begin(self, function: Callable[[], T]) -> Future[T]:
        loop = asyncio.get_running_loop()

        def give_back(_: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._free.release)

        begun = self._pool.submit(function)
        begun.add_done_callback(give_back)
        return begun
