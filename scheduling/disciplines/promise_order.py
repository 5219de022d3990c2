"""A pick of `promise`: which line is served next while a batch dispatches, and which would be without its first job.

This file is the rule, with nothing remembered between two picks. `promise_memory` makes the same picks and skips the
work whose answer cannot have changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import lcm

from scheduling.attempts.retries import policy_of
from scheduling.disciplines.promise_shadow import FADE, FLOOR, SHIFT, promise_of
from scheduling.picking.ranking import Choice
from scheduling.state.nodes import Group
from scheduling.state.pool import ClassPace, Entry, Line, LinePace, RequirementClass, State

GUARD = 8
"""Chances: a late job goes so many chances before the promise would be broken."""
AFFORD = 4
"""Higher tiers must be able to lose a slot even if slots came so many times more slowly."""
TURN = 32
"""One pick of so many belongs to overdue jobs."""


class LinePart:
    """One part of a line, late or on time, from a job on."""

    __slots__ = ("class_pace", "head", "left", "line", "pace", "start")

    def __init__(self, line: Line, start: int, class_pace: ClassPace) -> None:
        self.line = line
        self.start = start
        self.head: Entry = line.entries[start]
        self.left = len(line.entries) - start
        self.class_pace = class_pace
        self.pace: LinePace = class_pace.lines[line.tier]

    def is_tight(self, limit_ms: int, chance: int, guard: int) -> bool:
        """Some job of this part would start later than the limit, if the line waited `guard` chances and was then
        served one job every 5/4 mean chances.

        `limit_ms`: the longest wait allowed, less the current time. `chance`: the mean time between two chances of the
        line, << SHIFT. Looked at are places 0, 1, 3, 7 and so on, and the last one."""
        entries, start = self.line.entries, self.start
        each, guard, last = max(chance, 0), 4 * guard, self.left - 1
        if self.head[0] + limit_ms >= ((5 * last + guard) * each) >> (SHIFT + 2):
            return False  # the oldest job would start in time even from the last place
        place = 0
        while True:
            if place > last:
                place = last
            if entries[start + place][0] + limit_ms < ((5 * place + guard) * each) >> (SHIFT + 2):
                return True
            if place == last:
                return False
            place = 2 * place + 1


class TierParts:
    """The parts of a tier's lines that are not empty."""

    __slots__ = ("first", "fresh", "is_overdue", "late", "load", "oldest", "slo_ms")

    def __init__(self, slo_ms: int, late: list[LinePart], fresh: list[LinePart], overdue_ms: int) -> None:
        """`overdue_ms`: jobs submitted no later than this have waited `promise_max` SLOs."""
        self.slo_ms = slo_ms
        self.late = late
        self.fresh = fresh
        self.load = 0
        """Jobs on time."""
        for part in fresh:
            self.load += part.left
        self.first = oldest(fresh) if fresh else None
        """The part whose first job is the oldest on time."""
        self.oldest = oldest(late) if late else None
        """The part whose first job is the oldest late one."""
        self.is_overdue = self.oldest is not None and self.oldest.head[0] <= overdue_ms
        """Some job has waited `promise_max` SLOs."""


class PromiseOrder:
    """The order of `promise` on the lines of classes that have room."""

    def __init__(self, state: State, rooms: Collection[RequirementClass]) -> None:
        self._state = state
        self._promise_max = policy_of(state).promise_max
        self._look_at(rooms)

    def first(self) -> Choice | None:
        return self._choose(self._tiers.values())

    def second(self, turn: Entry, group: Group) -> Line | None:
        choice = self.first()
        if choice is None:
            return None
        tiers = self._tiers
        if choice.line.entries[choice.line.start] == turn:
            tiers = {**tiers, choice.line.tier: self._without_head(choice.line)}
        second = self._choose(self._fitting(tiers, group))
        return second.line if second is not None else None

    def best(self, offers: Mapping[Line, Entry]) -> Line:
        tiers = []
        for tier in self._tiers.values():
            late, fresh = [[part for part in parts if part.line in offers] for parts in (tier.late, tier.fresh)]
            if late or fresh:
                offering = self._tier(tier.slo_ms, late, fresh)
                offering.load = tier.load
                tiers.append(offering)
        choice = self._choose(tiers)
        if choice is None:
            raise ValueError("expected lines that offer a job, found none")
        return choice.line

    def dispatched(self, line: Line, rooms: Collection[RequirementClass]) -> None:
        self._look_at(rooms)

    def _look_at(self, rooms: Collection[RequirementClass]) -> None:
        """Find the parts of these classes' lines, by tier."""
        self._rooms = list(rooms)
        self._tiers: dict[str, TierParts] = {}
        """The highest first."""
        for tier in self._state.ranks:
            late: list[LinePart] = []
            fresh: list[LinePart] = []
            for requirement_class in rooms:
                pace, line = requirement_class.pace, requirement_class.lines.get(tier)
                if pace is None or line is None or tier not in pace.lines:
                    continue  # the discipline was adopted after the last job of this line had gone
                if len(line):
                    fresh.append(self._part(line, line.start, pace))
                if line.late is not None and len(line.late):
                    late.append(self._part(line.late, line.late.start, pace))
            if late or fresh:
                self._tiers[tier] = self._tier(self._state.slos[tier], late, fresh)
        self._common_ms = lcm(*(tier.slo_ms for tier in self._tiers.values()))

    def _part(self, line: Line, start: int, pace: ClassPace) -> LinePart:
        return LinePart(line, start, pace)

    def _tier(self, slo_ms: int, late: list[LinePart], fresh: list[LinePart]) -> TierParts:
        return TierParts(slo_ms, late, fresh, self._state.now_ms - self._promise_max * slo_ms)

    def _without_head(self, line: Line) -> TierParts:
        """The line's tier, if the first job of the line were not there."""
        return self._with_part(line, self._part_from(line, line.start + 1))

    def _part_from(self, line: Line, start: int) -> LinePart | None:
        """None: the line has no job from there on."""
        pace = line.requirement_class.pace
        return self._part(line, start, pace) if pace is not None and start < len(line.entries) else None

    def _with_part(self, line: Line, part: LinePart | None) -> TierParts:
        """The line's tier, with this part in place of the line's."""
        tier = self._tiers[line.tier]
        return self._tier(tier.slo_ms, _replaced(tier.late, line, part), _replaced(tier.fresh, line, part))

    def _fitting(self, tiers: Mapping[str, TierParts], group: Group) -> Collection[TierParts]:
        """These tiers with only the lines whose class fits the group."""
        if self._all_fit(group):
            return tiers.values()
        fitting = []
        for tier in tiers.values():
            late, fresh = _of_group(tier.late, group), _of_group(tier.fresh, group)
            if late or fresh:
                fitting.append(self._tier(tier.slo_ms, late, fresh))
        return fitting

    def _all_fit(self, group: Group) -> bool:
        return all(group in requirement_class.groups for requirement_class in self._rooms)

    def _choose(self, tiers: Collection[TierParts]) -> Choice | None:
        """The line to serve, of these."""
        now_ms, facts = self._state.now_ms, self._state.promise
        worst = max(facts.worst, facts.worst_before)
        for tier in tiers:
            if tier.is_overdue:
                overdue = self._overdue(tiers)
                if overdue is not None:
                    return Choice(overdue, "overdue")
                break
        high: Line | None = None
        load = 0
        for tier in tiers:
            slo_ms = tier.slo_ms
            if tier.late:
                due = self._due(tier)
                if due:
                    return Choice(oldest(due).line, "due")
            first = tier.first
            if first is None:
                continue
            if high is None:
                high = first.line
            else:
                tight = [part for part in tier.fresh if part.is_tight(slo_ms - now_ms, part.pace.chance, 1)]
                if tight:
                    return Choice(oldest(tight).line, "last_chance")
            load += tier.load
            left_ms = first.head[0] + min(FLOOR, worst) * slo_ms // 1000 - now_ms
            if ((load + 1) * AFFORD * max(first.class_pace.slot, 0)) >> SHIFT > left_ms:
                break
        if high is not None:
            return Choice(high, "on_time")
        return self._catch_up(tiers)

    def _due(self, tier: TierParts) -> list[LinePart]:
        """Late parts that must go now, or a job waits longer than it was promised.

        The limit leaves room for the longest time that the line was seen to go without a chance; it is no less than the
        SLO."""
        promise_ms = promise_of(self._state.promise) * tier.slo_ms // 1000
        due = []
        for part in tier.late:
            limit_ms = max(promise_ms - (part.pace.longest >> FADE), tier.slo_ms) - self._state.now_ms
            if part.is_tight(limit_ms, part.pace.chance, GUARD):
                due.append(part)
        return due

    def _overdue(self, tiers: Iterable[TierParts]) -> Line | None:
        """The line whose late head has waited the longest beyond `promise_max` SLOs, where it is its class's turn."""
        found: list[tuple[int, str, Line]] = []
        for tier in tiers:
            if not tier.is_overdue:
                continue
            for part in tier.late:
                over_ms = part.head[0] + self._promise_max * tier.slo_ms
                if over_ms <= self._state.now_ms and part.class_pace.since >= TURN - 1:
                    found.append((over_ms, part.head[1], part.line))
        return min(found, key=lambda entry: entry[:2])[2] if found else None

    def _catch_up(self, tiers: Iterable[TierParts]) -> Choice | None:
        """Nothing is on time: the largest wait fraction."""
        best: tuple[int, str] | None = None
        line: Line | None = None
        for tier in tiers:
            if tier.oldest is not None:
                submitted_ms, job = tier.oldest.head
                head = (submitted_ms - self._state.now_ms) * (self._common_ms // tier.slo_ms), job
                if best is None or head < best:
                    best, line = head, tier.oldest.line
        return Choice(line, "catch_up") if line is not None else None


def oldest(parts: list[LinePart]) -> LinePart:
    """The part whose first job is the oldest."""
    best = parts[0]
    for part in parts:
        if part.head < best.head:
            best = part
    return best


def _of_group(parts: list[LinePart], group: Group) -> list[LinePart]:
    return [part for part in parts if group in part.line.requirement_class.groups]


def _replaced(parts: list[LinePart], line: Line, part: LinePart | None) -> list[LinePart]:
    """These parts, with `part` in place of the line's, or without the line's where `part` is None."""
    return [new for old in parts if (new := part if old.line is line else old) is not None]
