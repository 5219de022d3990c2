"""What the discipline `promise` has seen: facts that are kept while it is in force (scheduling.disciplines.promise)."""

from __future__ import annotations

from collections import deque

import msgspec


class PromiseFacts(msgspec.Struct):
    """What the shadow of `promise` has seen (strict priority, replayed on the same slots). Kept only under
    `promise`."""

    worst: int = 0
    """The largest wait that the shadow gave in this period, in permille of the job's SLO."""
    worst_before: int = 0
    """The same for the period before."""
    period_start_ms: int = 0


class LinePace:
    """What `promise` has seen of a line, its late part included."""

    __slots__ = ("chance", "last_ms", "longest", "rank", "shadow")

    def __init__(self, rank: int) -> None:
        self.rank = rank
        """The tier's rank. An index, not a fact."""
        self.chance = -1
        """Mean time between two chances of the line, in ms << 6; -1: no two chances yet. The line has a chance when the
        shadow takes a slot and has nothing in a higher tier."""
        self.last_ms = -1
        """When the line had its last chance; -1: none since jobs wait."""
        self.longest = 0
        """Longest time between two chances, in ms << 10, fading."""
        self.shadow: deque[int] = deque()
        """Submit times of the line's jobs that the shadow has not dispatched, sorted."""


class ClassPace:
    """What `promise` has seen of a requirement class."""

    __slots__ = ("last_ms", "lines", "since", "slot")

    def __init__(self) -> None:
        self.slot = -1
        """Mean time between two slots that fit the class, in ms << 6; -1: no two slots yet."""
        self.last_ms = -1
        """When the last such slot was given away; -1: none since jobs wait."""
        self.since = 0
        """Picks that fitted the class since its last overdue pick."""
        self.lines: dict[str, LinePace] = {}
        """By tier, the highest first."""
