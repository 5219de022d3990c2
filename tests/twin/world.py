"""How threads of a test wait for each other and what time it is: by the machine's clock, unless a test simulates it.

`tests.twin.simulated` has the other kind of world, whose clock is its own.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from typing import Protocol

LONGEST_WAIT_S = 3600.0


class World(Protocol):
    """What a twin asks of the world it is in."""

    @property
    def idle_s(self) -> float:
        """How long a poll that nobody waits for may last, however short its time-out: each one costs something."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while a twin's state is read or changed. May be taken again by who has it."""

    def now_s(self) -> float:
        """Monotonic."""

    def wall_ms(self) -> int:
        """Since 1970."""

    def wait(self, timeout_s: float) -> None:
        """With the lock held: wait until something has changed, at most this long. The lock is free meanwhile."""

    def changed(self) -> None:
        """With the lock held: something has changed. Whoever waits looks again."""


class MachineWorld:
    """Threads of the machine, and the machine's clock."""

    idle_s = 0.0

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())

    @property
    def lock(self) -> AbstractContextManager[object]:
        return self._changed

    def now_s(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return int(time.time() * 1000)

    def wait(self, timeout_s: float) -> None:
        self._changed.wait(max(0.0, min(timeout_s, LONGEST_WAIT_S)))

    def changed(self) -> None:
        self._changed.notify_all()
