"""The one way from the event loop into a pool's host: every callback, timer and task of a host goes through its guard.

asyncio logs what a callback raises and goes on, and whatever the callback left half done stays so. The guard ends the
host at the first exception. After the end nothing of the host runs any more: no late delivery report, no timer, no
task. And nobody outside keeps its state alive: the loop, the threads and the broker's client hold a number, and the
guard alone knows what that number stands for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from runtime.telemetry import without_words
from streams.ledger.outputs import PoolRest


class HostEnded(NamedTuple):
    """Why a host has ended, and when its pool may be opened anew."""

    reason: str
    rest: PoolRest
    facts: dict[str, Any]


class PoolEnds(Exception):
    """Raised anywhere in a host: the host ends. The reason is in words of ours."""

    def __init__(self, reason: str, rest: PoolRest = PoolRest.BRIEF, **facts: Any) -> None:
        super().__init__(reason)
        self.ended = HostEnded(reason, rest, facts)


class Timer:
    """Runs its work once, unless it is cancelled or the host has ended before."""

    def __init__(self, handle: asyncio.TimerHandle, forget: Callable[[], object]) -> None:
        self._handle, self._forget = handle, forget

    def cancel(self) -> None:
        self._handle.cancel()
        self._forget()


class HostGuard:
    """The guard of one host. Make it on the event loop, on which it runs everything."""

    def __init__(self, on_ended: Callable[[HostEnded], None]) -> None:
        """`on_ended` hears of the first exception, after the guard has closed. It does not hear of `close`."""
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._on_ended: Callable[[HostEnded], None] | None = on_ended
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count()
        self._works: dict[int, Callable[..., None]] = {}
        """What callbacks and timers are to run, by the number that is given away in its place."""

    def run(self, work: Callable[..., None], *given: Any) -> None:
        """Run the work now, unless the host has ended."""
        if self.closed:
            return
        try:
            work(*given)
        except Exception as failure:  # ends this pool and no other
            self._end(failure)

    def of(self, work: Callable[..., None]) -> Callable[..., None]:
        """The work as a callback for somebody on the event loop."""
        return partial(self._run_again, self._number_of(work))

    def from_thread(self, work: Callable[..., None]) -> Callable[..., None]:
        """The work as a callback for another thread, to be called once: it runs soon, on the event loop."""
        number = self._number_of(work)

        def call(*given: Any) -> None:
            if not self.closed and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._run_once, number, *given)

        return call

    def soon(self, work: Callable[[], None]) -> None:
        self._loop.call_soon(self._run_once, self._number_of(work))

    def later(self, delay_s: float, work: Callable[[], None]) -> Timer:
        number = self._number_of(work)
        return Timer(self._loop.call_later(delay_s, self._run_once, number), lambda: self._works.pop(number, None))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run the coroutine as a task. `close` cancels it."""
        if self.closed:
            coroutine.close()
            return
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def close(self) -> None:
        """Let nothing in any more."""
        self.closed, self._on_ended = True, None
        self._works.clear()
        for task in self._tasks:
            task.cancel()

    def _number_of(self, work: Callable[..., None]) -> int:
        number = next(self._numbers)
        if not self.closed:
            self._works[number] = work
        return number

    def _run_again(self, number: int, *given: Any) -> None:
        work = self._works.get(number)
        if work is not None:
            self.run(work, *given)

    def _run_once(self, number: int, *given: Any) -> None:
        work = self._works.pop(number, None)
        if work is not None:
            self.run(work, *given)

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
