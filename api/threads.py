"""The threads in which the API asks one kind of server, or does one kind of work.

A server that stands still keeps every thread that asks it. So no call waits in a queue of the threads, which would grow
for as long as the server stands still: a call waits for a free thread itself, within its own patience, and when too
many wait a call is refused at once. One caller has a share of the threads: its further calls wait for one another, and
whoever else comes finds a thread.
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


class _Turns:
    """The threads that one caller may have at once, and how many of its calls wait for them or have one."""

    def __init__(self, threads: int) -> None:
        self.free = asyncio.Semaphore(threads)
        self.calls = 0


class AnsweringThreads:
    """Used in one event loop."""

    def __init__(
        self,
        threads: int,
        *,
        each_max: int = 0,
        waiting_max: int = WAITING_MAX,
        busy: Callable[[], Exception] = DatabaseSilent,
    ) -> None:
        """`each_max`: the threads that one caller may have at once; 0: all. `busy`: what a call raises that gets no
        answer in time, or may not wait."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="api")
        self._free = asyncio.Semaphore(threads)
        self._each_max = each_max or threads
        self._turns: dict[str, _Turns] = {}
        self._waiting_max = waiting_max
        self._busy = busy
        self.waiting = 0
        """Calls that wait for a thread now."""

    async def run(self, function: Callable[[], T], patience_s: float | None, who: str = "") -> T:
        """What the function returns. `busy()` when too many wait, or when it has not returned within `patience_s`. A
        function that has begun is not interrupted, and keeps its thread until it returns. `who` calls; empty: this
        process itself, which has no share."""
        if self.waiting >= self._waiting_max:
            raise self._busy()
        try:
            async with asyncio.timeout(patience_s):
                await self._take(who)
                return await asyncio.wrap_future(self._begin(function, who))
        except TimeoutError:
            raise self._busy() from None

    @property
    def is_full(self) -> bool:
        """Every thread is at work."""
        return self._free.locked()

    def close(self) -> None:
        """Calls under way go on; a process that ends does not wait for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _take(self, who: str) -> None:
        self.waiting += 1
        try:
            await self._take_turn(who)
            try:
                await self._free.acquire()
            except BaseException:  # a caller that was cancelled gives its turn back, whatever ended the wait
                self._end_turn(who)
                raise
        finally:
            self.waiting -= 1

    async def _take_turn(self, who: str) -> None:
        if not who:
            return
        turns = self._turns.setdefault(who, _Turns(self._each_max))
        turns.calls += 1
        try:
            await turns.free.acquire()
        except BaseException:  # a caller that was cancelled is counted no longer, whatever ended the wait
            self._forget(who, turns)
            raise

    def _end_turn(self, who: str) -> None:
        if who:
            turns = self._turns[who]
            turns.free.release()
            self._forget(who, turns)

    def _forget(self, who: str, turns: _Turns) -> None:
        turns.calls -= 1
        if not turns.calls:
            del self._turns[who]

    def _begin(self, function: Callable[[], T], who: str) -> Future[T]:
        loop = asyncio.get_running_loop()

        def give_back() -> None:
            self._free.release()
            self._end_turn(who)

        def end(_: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(give_back)

        begun = self._pool.submit(function)
        begun.add_done_callback(end)
        return begun
