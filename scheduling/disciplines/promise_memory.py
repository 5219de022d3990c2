"""The picks of `promise_order`, without looking again at what cannot have changed since the last pick of the batch.

Time stands still within a batch. A pick changes one line, the facts of the shadow, and nothing else. So three things
are remembered: the choice until a job is dispatched, the parts of all lines but the one that was served, and for each
part whether it is tight. The last is the only answer that facts may overtake; `RememberedPart.is_stale` says when.
tests/unit/scheduling/test_promise_order.py compares every answer with the plain order's.
"""

from __future__ import annotations

from collections.abc import Collection

from scheduling.disciplines.promise_order import LinePart, PromiseOrder, TierParts
from scheduling.picking.ranking import Choice
from scheduling.state.nodes import Group
from scheduling.state.pool import ClassPace, Line, RequirementClass, State


class RememberedPart(LinePart):
    """A part of a line that knows its last answer."""

    __slots__ = ("_answer", "_chance", "_limit_ms")

    def __init__(self, line: Line, start: int, class_pace: ClassPace) -> None:
        super().__init__(line, start, class_pace)
        self._answer: bool | None = None
        self._limit_ms = self._chance = 0

    def is_tight(self, limit_ms: int, chance: int, guard: int) -> bool:
        if self.is_stale(limit_ms, chance):
            self._answer = super().is_tight(limit_ms, chance, guard)
            self._limit_ms, self._chance = limit_ms, chance
        return self._answer is True

    def is_stale(self, limit_ms: int, chance: int) -> bool:
        """The remembered answer may be wrong now.

        `is_tight` is monotone: a lower limit or a larger mean chance can only turn it on, the opposite only off. So an
        answer holds while both moved in its direction. The guard of a part never changes."""
        if self._answer is None:
            return True
        if self._answer:
            return limit_ms > self._limit_ms or chance < self._chance
        return limit_ms < self._limit_ms or chance > self._chance


class RememberingOrder(PromiseOrder):
    """The same order as PromiseOrder."""

    def __init__(self, state: State, rooms: Collection[RequirementClass]) -> None:
        self._first: Choice | None = None
        """None: not chosen since the last dispatch."""
        self._next: tuple[LinePart | None, TierParts] | None = None
        """The first line's part without its first job, and its tier then; None: `second` has not asked for them."""
        super().__init__(state, rooms)

    def first(self) -> Choice | None:
        if self._first is None:
            self._first = super().first()
        return self._first

    def dispatched(self, line: Line, rooms: Collection[RequirementClass]) -> None:
        if len(rooms) != len(self._rooms):
            self._look_at(rooms)
        elif self._next is None:
            self._tiers[line.tier] = self._with_part(line, self._part_from(line, line.start))
        else:
            part, self._tiers[line.tier] = self._next
            if part is not None:
                part.start = line.start  # the room before a line's first entry may have been given back
        self._first = self._next = None

    def _look_at(self, rooms: Collection[RequirementClass]) -> None:
        self._fits_all: dict[Group, bool] = {}
        super()._look_at(rooms)

    def _part(self, line: Line, start: int, pace: ClassPace) -> LinePart:
        return RememberedPart(line, start, pace)

    def _without_head(self, line: Line) -> TierParts:
        part = self._part_from(line, line.start + 1)
        tier = self._with_part(line, part)
        self._next = part, tier
        return tier

    def _all_fit(self, group: Group) -> bool:
        fits = self._fits_all.get(group)
        if fits is None:
            fits = self._fits_all[group] = super()._all_fit(group)
        return fits
