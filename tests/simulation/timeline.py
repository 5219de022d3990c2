"""Virtual time: one queue of things to come and one source of chance."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable


class Timeline:
    """Runs actions in the order of their times; equal times in the order they were planned. Times are true ms."""

    __slots__ = ("_number", "_queue", "chance", "now_ms", "steps")

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_ms = 0
        self.steps = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now_ms + max(0, delay_ms), self._number, action))

    def every(self, period_ms: int, action: Callable[[], bool]) -> None:
        """Runs `action` each period until it returns False."""

        def again() -> None:
            if action():
                self.after(period_ms, again)

        self.after(period_ms, again)

    def between(self, low: int, high: int) -> int:
        return int(low + self.chance.random() * (high - low + 1))

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability

    def step(self) -> bool:
        """Runs the next action. False when no action is planned."""
        if not self._queue:
            return False
        self.now_ms, _, action = heapq.heappop(self._queue)
        self.steps += 1
        action()
        return True
