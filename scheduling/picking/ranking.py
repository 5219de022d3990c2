"""Which line is served next while a batch dispatches, and which line would be served without that line's job."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

from scheduling.state import sharing
from scheduling.state.nodes import Group
from scheduling.state.pool import Entry, Line, RequirementClass, State


class Choice(NamedTuple):
    line: Line
    reason: str
    """Why the discipline serves this line: one of the discipline's fixed words, recorded with the dispatch."""


class LineOrder(Protocol):
    """A discipline at work on the lines that have room."""

    def first(self) -> Choice | None:
        """The line to serve, or None when none is left."""

    def second(self, turn: Entry, group: Group) -> Line | None:
        """The line that this group would serve if `turn`, the job whose turn it is in the first line, were not there.
        Ask only about a job that goes to the group now."""

    def best(self, offers: Mapping[Line, Entry]) -> Line:
        """The line to serve, if each line had only the job that it offers here."""

    def dispatched(self, line: Line, rooms: Collection[RequirementClass]) -> None:
        """A job of the line was dispatched, and these classes still have room."""


def behind(order: LineOrder, line: Line, turn: Entry, group: Group) -> str:
    """The best job that could go to the group in place of `turn`, the job whose turn it is in the first line; or ""."""
    second = order.second(turn, group)
    if second is None:
        return ""
    entry = sharing.turn_after(line) if second is line else sharing.turn(second)
    return entry[1] if entry is not None else ""


Rank = tuple[Any, ...]
"""Integers and, last, the job id: no two ranks are equal, and the least goes first."""
Ranker = Callable[[Line, Entry], Rank]
"""The rank of a line whose first job is this."""


class Ranking:
    """The order of a discipline that ranks each line by its first job alone. The ranks are kept sorted."""

    def __init__(
        self,
        state: State,
        rooms: Collection[RequirementClass],
        ranker: Callable[[State], Ranker],
        reason: str,
        shifts: bool,
    ) -> None:
        """`shifts`: a dispatch may change the ranks of other lines too, so all lines are ranked again."""
        self._state, self._ranker, self._reason, self._shifts = state, ranker, reason, shifts
        self._rank_all(rooms)

    def _rank_all(self, rooms: Collection[RequirementClass]) -> None:
        self._rank = rank = self._ranker(self._state)
        lines = [line for requirement_class in rooms for line in requirement_class.lines.values() if len(line)]
        self._heads = sorted((rank(line, line.entries[line.start]), line) for line in lines)

    def first(self) -> Choice | None:
        return Choice(self._heads[0][1], self._reason) if self._heads else None

    def second(self, turn: Entry, group: Group) -> Line | None:
        line = self._heads[0][1]
        place = line.start + (line.entries[line.start] == turn)
        rest = self._rank(line, line.entries[place]) if place < len(line.entries) else None
        for rank, other in self._heads[1:]:
            if rest is not None and rest < rank:
                return line
            if group in other.requirement_class.groups:
                return other
        return line if rest is not None else None

    def best(self, offers: Mapping[Line, Entry]) -> Line:
        return min(offers, key=lambda line: self._rank(line, offers[line]))

    def dispatched(self, line: Line, rooms: Collection[RequirementClass]) -> None:
        if self._shifts:
            self._rank_all(rooms)
            return
        del self._heads[next(place for place, head in enumerate(self._heads) if head[1] is line)]
        if len(line):
            insort(self._heads, (self._rank(line, line.entries[line.start]), line))
        if any(head[1].requirement_class not in rooms for head in self._heads):
            self._heads = [head for head in self._heads if head[1].requirement_class in rooms]
