"""The one way from the event loop into what hosts a pool: its callbacks, timers and tasks.

asyncio logs what a callback raises and goes on, with whatever the callback left half done. Here the first exception
ends the host, and after the end nothing of it runs any more: no late delivery report, no timer, no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from runtime.telemetry import without_words
from streams.ledger.outputs import PoolRest


class HostEnded(NamedTuple):
    """Why a host has ended, and when its pool may be opened anew."""

    reason: str
    rest: PoolRest
    facts: dict[str, Any]


class PoolEnds(Exception):
    """Raised on any way into a host: it ends, for this reason in words of ours."""

    def __init__(self, reason: str, rest: PoolRest = PoolRest.BRIEF, **facts: Any) -> None:
        super().__init__(reason)
        self.ended = HostEnded(reason, rest, facts)


class HostGuard:
    """One host's. Make it on the event loop, on which everything that it runs is run."""

    def __init__(self, on_ended: Callable[[HostEnded], None]) -> None:
        """`on_ended` hears of the first exception, once the guard is closed; not after `close`."""
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._on_ended: Callable[[HostEnded], None] | None = on_ended
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Callable[..., None], *given: Any) -> None:
        """Run it now, unless the host has ended."""
        if self.closed:
            return
        try:
            work(*given)
        except Exception as failure:
            self._end(failure)

    def of(self, work: Callable[..., None]) -> Callable[..., None]:
        """The same as a callback for somebody on the event loop."""
        return partial(self.run, work)

    def from_thread(self, work: Callable[..., None]) -> Callable[..., None]:
        """The same as a callback for a thread: it runs soon, on the event loop."""

        def call(*given: Any) -> None:
            if not self.closed and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self.run, work, *given)

        return call

    def soon(self, work: Callable[[], None]) -> None:
        self._loop.call_soon(self.run, work)

    def later(self, delay_s: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_s, self.run, work)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it as a task, which `close` cancels."""
        if self.closed:
            coroutine.close()
            return
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def close(self) -> None:
        self.closed, self._on_ended = True, None
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if isinstance(failure, Exception):
            self._end(failure)

    def _end(self, failure: Exception) -> None:
        on_ended = self._on_ended
        if on_ended is None:
            return
        self.close()
        if isinstance(failure, PoolEnds):
            on_ended(failure.ended)
        else:
            on_ended(HostEnded("a pool's host failed", PoolRest.BRIEF, {"found": without_words(failure)}))
