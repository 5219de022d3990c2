"""What is still to come in a simulation, soonest first."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from heapq import heappop, heappush
from typing import Any

NEVER = 1 << 62
"""Later than every moment."""


class EventRank(IntEnum):
    """What happens first at one moment. Within a rank, what was put on the queue first happens first."""

    ENDED = 0
    """An attempt's time is over."""
    READY = 1
    """The inputs of a staged attempt have been fetched."""
    ORDERED = 2
    """An order reaches its node."""
    SAID = 3
    """Somebody else speaks to the scheduler."""
    MOVED = 4
    """A machine joins, leaves or is lost."""
    LAPSED = 5
    """The lease of a lost node lapses."""
    BEAT = 6
    """A heartbeat corrects what is believed to be loaded."""


class EventQueue:
    """Calls what was put on the queue, by time, then by rank."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._put = 0

    def later(self, at_ms: int, rank: EventRank, act: Callable[..., None], *given: Any) -> None:
        """`act(at_ms, *given)` will be called at this moment."""
        self._put += 1
        heappush(self._heap, (at_ms, rank, self._put, act, given))

    @property
    def next_ms(self) -> int:
        """When the next call is due; NEVER when none is."""
        return self._heap[0][0] if self._heap else NEVER

    def happen(self) -> None:
        """Makes the next call. IndexError when none is due."""
        at_ms, _, _, act, given = heappop(self._heap)
        act(at_ms, *given)
