"""Time and threads of a test, simulated: one thing runs at a time, and the clock moves only when nothing can run.

    def test_an_hour_without_a_broker() -> None:
        time = SimulatedTime(seed=7)
        with TwinKafka(world=time).installed() as kafka:
            time.run(lambda: body(kafka))

Theory of operation. While `run` runs, what this thread takes from `threading` and `time` is simulated: a thread is a
greenlet, which goes on until it waits; a clock is ours; asyncio's loop waits by it. So nothing runs at the same time as
anything else, the order is drawn by the seed, and a seed repeats itself. Waiting costs nothing: an hour of an outage
takes as long as what happens in it. Threads that were there before keep the machine's clock.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from itertools import count
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

START_WALL_MS = 1_700_000_000_000
START_S = 1_000.0
"""What the monotonic clock shows at first."""
TURNS_MAX = 2_000_000
"""So many turns without the clock moving: something goes round and round."""

Result = TypeVar("Result")


class Stuck(AssertionError):
    """Everything waits, and nothing is left that could end a wait; or something never waits."""


class _Waiter:
    """Somebody who waits."""

    __slots__ = ("is_over", "is_woken", "who")

    def __init__(self, who: Any) -> None:
        self.who, self.is_over, self.is_woken = who, False, False


class SimulatedTime:
    """A world (tests.twin.world.World) with a clock of its own. One `run` each."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self._now_s = START_S
        self._wall_ahead_ms = 0
        self._ready: list[Any] = []
        """Greenlets that may go on."""
        self._timers: list[tuple[float, int, _Waiter]] = []
        self._numbers = count()
        self._watching: list[_Waiter] = []
        """Who waits for a change of a twin."""
        self._main: Any = None
        self._alive: set[Any] = set()
        self._failures: list[BaseException] = []
        self._turns = 0

    idle_s = 30.0

    # -- as World ----------------------------------------------------------------------------------------------------

    @property
    def lock(self) -> AbstractContextManager[object]:
        return nullcontext()

    def now_s(self) -> float:
        return self._now_s

    def wall_ms(self) -> int:
        return START_WALL_MS + int((self._now_s - START_S) * 1000) + self._wall_ahead_ms

    def wait(self, timeout_s: float) -> None:
        self.park(self._watching, timeout_s)

    def changed(self) -> None:
        self.wake_all(self._watching)

    # -- what a test does --------------------------------------------------------------------------------------------

    def run(self, main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of the coroutine. Raises what a thread raised, too."""
        with ExitStack() as simulated:
            self._begin(simulated)
            try:
                with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self)) as runner:
                    result = runner.run(main())
            finally:
                self._end()
        if self._failures:
            raise self._failures[0]
        return result

    def jump_wall(self, ahead_ms: int) -> None:
        """The wall clock, and no other, is set forward or back."""
        self._wall_ahead_ms += ahead_ms

    # -- waiting -----------------------------------------------------------------------------------------------------

    def park(self, waiting: list[_Waiter], timeout_s: float | None) -> bool:
        """Wait in this list until somebody wakes it, at most so long; whether somebody did."""
        me = _Waiter(getcurrent())
        waiting.append(me)
        if timeout_s is not None and timeout_s != float("inf"):
            heapq.heappush(self._timers, (self._now_s + max(0.0, timeout_s), next(self._numbers), me))
        if me.who is self._main:
            self.turn_until(lambda: me.is_over, None)
        else:
            self._main.switch()
        if not me.is_woken and me in waiting:
            waiting.remove(me)
        return me.is_woken

    def wake(self, waiting: list[_Waiter]) -> bool:
        """Whoever waits longest in this list goes on; whether anybody does."""
        while waiting:
            first = waiting.pop(0)
            if not first.is_over:
                first.is_woken = True
                self._over(first)
                return True
        return False

    def wake_all(self, waiting: list[_Waiter]) -> None:
        while self.wake(waiting):
            pass

    def turn_until(self, holds: Callable[[], bool], until_s: float | None) -> None:
        """For whoever is in `run`'s own greenlet: let all others run, and time go by, until it holds or it is so
        late."""
        while not holds():
            if self._ready:
                self._turns += 1
                if self._turns > TURNS_MAX:
                    raise Stuck(f"expected the clock to move, found {TURNS_MAX} turns at {self._now_s}")
                who = self._ready.pop(self.random.randrange(len(self._ready)))
                if not who.dead:
                    who.switch()
                continue
            due_s = min(self._next_timer_s(), until_s if until_s is not None else float("inf"))
            if due_s == float("inf"):
                raise Stuck("nothing can happen any more: everything waits without an end")
            if due_s > self._now_s:
                self._now_s, self._turns = due_s, 0
            while self._timers and self._timers[0][0] <= self._now_s:
                self._over(heapq.heappop(self._timers)[2])
            if until_s is not None and self._now_s >= until_s:
                return

    def turn_once(self) -> None:
        """Let everybody who can go on now do so once."""
        ready, self._ready = self._ready, []
        self.random.shuffle(ready)
        for who in ready:
            if not who.dead:
                who.switch()

    def spawn(self, work: Callable[[], object]) -> None:
        """Have another greenlet do the work soon."""

        def live() -> None:
            try:
                work()
            except GreenletExit:
                raise
            except BaseException as failure:  # `run` raises it at its end
                self._failures.append(failure)
            finally:
                self._alive.discard(getcurrent())

        who = greenlet(live, parent=self._main)
        self._alive.add(who)
        self._ready.append(who)

    def sleep(self, seconds: float) -> None:
        self.park([], seconds)

    def _over(self, waiter: _Waiter) -> None:
        if not waiter.is_over:
            waiter.is_over = True
            if waiter.who is not self._main:
                self._ready.append(waiter.who)

    def _next_timer_s(self) -> float:
        while self._timers and self._timers[0][2].is_over:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")

    # -- beginning and end -------------------------------------------------------------------------------------------

    def _begin(self, simulated: ExitStack) -> None:
        self._main = getcurrent()
        ours = threading.get_ident()

        def here(simulate: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
            """What other threads of the machine call stays what it is."""

            def call(*given: Any, **named: Any) -> Any:
                return (simulate if threading.get_ident() == ours else real)(*given, **named)

            return call

        clocks: dict[str, Callable[..., Any]] = {
            "monotonic": self.now_s,
            "monotonic_ns": lambda: int(self._now_s * 1e9),
            "time": lambda: self.wall_ms() / 1000,
            "sleep": self.sleep,
        }
        for name, simulate in clocks.items():
            simulated.enter_context(patch.object(time, name, here(simulate, getattr(time, name))))
        simulated.enter_context(patch.object(uuid, "uuid4", here(self._uuid, uuid.uuid4)))
        kinds: dict[str, Callable[..., Any]] = {
            "Thread": partial(GreenThread, self),
            "Event": partial(GreenEvent, self),
            "Semaphore": partial(GreenSemaphore, self),
            "Lock": lambda: GreenSemaphore(self, 1),
        }
        for name, simulate in kinds.items():
            simulated.enter_context(patch.object(threading, name, here(simulate, getattr(threading, name))))

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def _end(self) -> None:
        for who in list(self._alive):
            who.throw(GreenletExit)
        self._ready.clear()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, which lets the threads of its world run while it has nothing to do."""

    def __init__(self, world: SimulatedTime) -> None:
        self._world, self._is_woken = world, False
        self._one_at_a_time: defaultdict[Any, GreenSemaphore] = defaultdict(lambda: GreenSemaphore(world, 1))
        super().__init__(_Idle(self._idle))

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """In a greenlet of its own. An executor of the caller's does one thing at a time."""
        done: Future[Any] = Future()
        turn: AbstractContextManager[object] = nullcontext() if executor is None else self._one_at_a_time[executor]

        def work() -> None:
            with turn:
                if not done.set_running_or_notify_cancel():
                    return
                try:
                    done.set_result(func(*args))
                except Exception as error:  # whoever awaits the call hears of it
                    done.set_exception(error)

        self._world.spawn(work)
        return asyncio.wrap_future(done, loop=self)

    def _write_to_self(self) -> None:
        self._is_woken = True

    def _has_ready(self) -> bool:
        ready: Any = vars(self)["_ready"]
        return bool(ready)

    def _idle(self, timeout_s: float | None) -> None:
        if timeout_s is not None and timeout_s <= 0:
            self._world.turn_once()
        else:
            until_s = None if timeout_s is None else self._world.now_s() + timeout_s
            self._world.turn_until(lambda: self._is_woken or self._has_ready(), until_s)
        self._is_woken = False


class _Idle(selectors.SelectSelector):
    """Selects nothing: a simulated loop has no sockets."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[Any]:
        self._idle(timeout)
        return []


class GreenThread:
    """As threading.Thread."""

    def __init__(
        self,
        world: SimulatedTime,
        group: None = None,
        target: Callable[..., object] = lambda: None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._world, self._work = world, partial(target, *args, **(kwargs or {}))
        self.name, self.daemon = name or "thread", bool(daemon)
        self._ended = GreenEvent(world)

    def start(self) -> None:
        self._world.spawn(self._run)

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()


class GreenEvent:
    """As threading.Event."""

    def __init__(self, world: SimulatedTime) -> None:
        self._world, self._set = world, False
        self._waiting: list[_Waiter] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._world.wake_all(self._waiting)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._world.park(self._waiting, timeout)
        return self._set


class GreenSemaphore:
    """As threading.Semaphore, and with 1 as threading.Lock."""

    def __init__(self, world: SimulatedTime, value: int = 1) -> None:
        self._world, self._value = world, value
        self._waiting: list[_Waiter] = []

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        over_s = None if timeout is None or timeout < 0 else self._world.now_s() + timeout
        while self._value <= 0:
            left_s = None if over_s is None else over_s - self._world.now_s()
            if not blocking or (left_s is not None and left_s <= 0):
                return False
            self._world.park(self._waiting, left_s)
        self._value -= 1
        return True

    def release(self, n: int = 1) -> None:
        self._value += n
        for _ in range(n):
            self._world.wake(self._waiting)

    def locked(self) -> bool:
        return self._value <= 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
