"""A pick of `promise`: which line is served next while a batch dispatches, and which would be without its first job.

Time stands still within a batch, so of all that a pick looks at only little changes from one to the next: the line that
was served, the promise, and the means of the lines to which the shadow gave a chance. What was found of a part of a
line is kept with the part (`Part`), what was found of all parts of a tier with the tier (`_Tier`). One rule says when
it holds: the same jobs stand there, the promise did not fall, and no line's chances became rarer (`State.tightened`
counts the other times). A part whose jobs change becomes another Part, in another _Tier; nothing else forgets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import lcm

from scheduling.attempts.retries import policy_of
from scheduling.disciplines.promise_shadow import FADE, FLOOR, SHIFT, promise_of
from scheduling.picking.ranking import Choice
from scheduling.state.nodes import Group
from scheduling.state.pool import ClassPace, Entry, Line, LinePace, RequirementClass, State

GUARD = 8
"""Chances: a late job goes so many chances before the promise would be broken."""
AFFORD = 4
"""Those above must be able to lose a slot even if slots came so many times more slowly."""
TURN = 32
"""One pick of so many belongs to overdue jobs."""


class LinePart:
    """One part of a line, late or on time, from a job on, and what was found of it."""

    __slots__ = ("chance", "class_pace", "due", "head", "left", "line", "longest", "pace", "promise", "start", "tight")

    def __init__(self, line: Line, start: int, class_pace: ClassPace) -> None:
        self.line = line
        self.start = start
        self.head: Entry = line.entries[start]
        self.left = len(line.entries) - start
        self.class_pace = class_pace
        self.pace: LinePace = class_pace.lines[line.tier]
        self.due: bool | None = None
        """Of a late part: it was due at this promise, and with these two of its pace; None: not looked at."""
        self.promise = self.longest = 0
        self.tight: bool | None = None
        """Of a part on time: it had its last chance, with this mean of its pace; None: not looked at."""
        self.chance = 0

    def is_tight(self, limit_ms: int, chance: int, guard: int) -> bool:
        """A job of it would start later than the limit if, so many chances from now, the line was served one job every
        5/4 mean chances. Looked at are places 0, 1, 3, 7 and so on, and the last."""
        entries, start = self.line.entries, self.start
        each, guard, last = max(chance, 0), 4 * guard, self.left - 1
        if self.head[0] + limit_ms >= ((5 * last + guard) * each) >> (SHIFT + 2):
            return False  # the oldest would do even in the last place
        place = 0
        while True:
            if place > last:
                place = last
            if entries[start + place][0] + limit_ms < ((5 * place + guard) * each) >> (SHIFT + 2):
                return True
            if place == last:
                return False
            place = 2 * place + 1


class _Tier:
    """The parts of a tier's lines that are not empty."""

    __slots__ = (
        "calm_at",
        "first",
        "fresh",
        "is_overdue",
        "late",
        "load",
        "oldest",
        "slo_ms",
        "undue_at",
    )

    def __init__(self, slo_ms: int, late: list[LinePart], fresh: list[LinePart], overdue_ms: int) -> None:
        self.slo_ms = slo_ms
        self.late = late
        self.fresh = fresh
        self.load = 0
        """Jobs on time."""
        for part in fresh:
            self.load += part.left
        self.first = oldest(fresh) if fresh else None
        """The oldest that is on time."""
        self.oldest = oldest(late) if late else None
        """The oldest that is late."""
        self.is_overdue = self.oldest is not None and self.oldest.head[0] <= overdue_ms
        """Some job has waited `promise_max` SLOs."""
        self.undue_at = -1
        """`State.tightened` when no late part was due; -1: some was, or it is not known."""
        self.calm_at = -1
        """`State.tightened` when no part had its last chance."""


class PromiseOrder:
    """The order of `promise` on the lines of classes that have room."""

    def __init__(self, state: State, rooms: Collection[RequirementClass]) -> None:
        self._state = state
        self._promise_max = policy_of(state).promise_max
        self._first: Choice | None = None
        """Known until a job is dispatched."""
        self._next: LinePart | None = None
        """The part of the first line without its first job, and its tier then, where `second` has looked at them."""
        self._without: _Tier | None = None
        self._take(rooms)

    def _take(self, rooms: Collection[RequirementClass]) -> None:
        self._rooms = list(rooms)
        self._fits_all: dict[Group, bool] = {}
        """Whether all these classes fit a group."""
        self._tiers: dict[str, _Tier] = {}
        """The highest first."""
        for tier in self._state.ranks:
            late: list[LinePart] = []
            fresh: list[LinePart] = []
            for requirement_class in rooms:
                pace, line = requirement_class.pace, requirement_class.lines.get(tier)
                if pace is None or line is None or tier not in pace.lines:
                    continue  # no job of it has been met since the discipline was adopted
                if len(line):
                    fresh.append(LinePart(line, line.start, pace))
                if line.late is not None and len(line.late):
                    late.append(LinePart(line.late, line.late.start, pace))
            if late or fresh:
                self._tiers[tier] = self._tier(self._state.slos[tier], late, fresh)
        self._common_ms = lcm(*(tier.slo_ms for tier in self._tiers.values()))

    def _tier(self, slo_ms: int, late: list[LinePart], fresh: list[LinePart]) -> _Tier:
        return _Tier(slo_ms, late, fresh, self._state.now_ms - self._promise_max * slo_ms)

    def first(self) -> Choice | None:
        if self._first is None:
            self._first = self._choose(self._tiers.values())
        return self._first

    def second(self, turn: Entry, group: Group) -> Line | None:
        choice = self.first()
        if choice is None:
            return None
        tiers = self._tiers
        if choice.line.entries[choice.line.start] == turn:
            self._next = self._part(choice.line, choice.line.start + 1)
            self._without = self._with(choice.line, self._next)
            tiers = {**tiers, choice.line.tier: self._without}
        if not self._fits(group):
            fitting = {name: (_fitting(tier.late, group), _fitting(tier.fresh, group)) for name, tier in tiers.items()}
            tiers = {name: self._tier(tiers[name].slo_ms, *parts) for name, parts in fitting.items() if any(parts)}
        second = self._choose(tiers.values())
        return second.line if second is not None else None

    def _part(self, line: Line, start: int) -> LinePart | None:
        pace = line.requirement_class.pace
        return LinePart(line, start, pace) if pace is not None and start < len(line.entries) else None

    def _with(self, line: Line, part: LinePart | None) -> _Tier:
        """The line's tier, with this part in place of the line's."""
        tier = self._tiers[line.tier]
        return self._tier(tier.slo_ms, _replaced(tier.late, line, part), _replaced(tier.fresh, line, part))

    def _fits(self, group: Group) -> bool:
        fits = self._fits_all.get(group)
        if fits is None:
            fits = self._fits_all[group] = all(group in requirement_class.groups for requirement_class in self._rooms)
        return fits

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
        self._first = None
        if len(rooms) != len(self._rooms):
            self._take(rooms)
        elif self._without is None:
            self._tiers[line.tier] = self._with(line, self._part(line, line.start))
        else:
            self._tiers[line.tier] = self._without
            if self._next is not None:
                self._next.start = line.start  # the room before a line's first entry may have been given back
        self._next = self._without = None

    def _choose(self, tiers: Collection[_Tier]) -> Choice | None:
        """The line to serve, of these."""
        state = self._state
        facts, now_ms, tightened = state.promise, state.now_ms, state.tightened
        worst, promise = max(facts.worst, facts.worst_before), promise_of(facts)
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
            if tier.late and tier.undue_at != tightened:
                due = self._due_of(tier, promise)
                if due:
                    return Choice(oldest(due).line, "due")
                tier.undue_at = tightened
            first = tier.first
            if first is None:
                continue
            if high is None:
                high = first.line
            elif tier.calm_at != tightened:
                tight = self._last_chances(tier)
                if tight:
                    return Choice(oldest(tight).line, "last_chance")
                tier.calm_at = tightened
            load += tier.load
            left_ms = first.head[0] + min(FLOOR, worst) * slo_ms // 1000 - now_ms
            if ((load + 1) * AFFORD * max(first.class_pace.slot, 0)) >> SHIFT > left_ms:
                break
        if high is not None:
            return Choice(high, "on_time")
        return self._catch_up(tiers)

    # Where the same jobs stand gets no tighter while the limit does not fall and the mean chance does not rise, and no
    # less tight the other way round: most parts need no second look.

    def _due_of(self, tier: _Tier, promise: int) -> list[LinePart]:
        """Late parts that must go now: kept are the promise, and before it the longest interval without a chance."""
        found = []
        for part in tier.late:
            longest, chance = part.pace.longest, part.pace.chance
            if part.due:
                known = promise <= part.promise and longest >= part.longest and chance >= part.chance
            else:
                known = promise >= part.promise and longest <= part.longest and chance <= part.chance
            if not known or part.due is None:
                limit_ms = promise * tier.slo_ms // 1000
                limit_ms -= min(longest >> FADE, limit_ms - tier.slo_ms)
                part.due = part.is_tight(limit_ms - self._state.now_ms, chance, GUARD)
                part.promise, part.longest, part.chance = promise, longest, chance
            if part.due:
                found.append(part)
        return found

    def _last_chances(self, tier: _Tier) -> list[LinePart]:
        """Parts on time of which a job would be late soon."""
        found = []
        for part in tier.fresh:
            chance = part.pace.chance
            if part.tight is None or (chance < part.chance if part.tight else chance > part.chance):
                part.tight = part.is_tight(tier.slo_ms - self._state.now_ms, chance, 1)
                part.chance = chance
            if part.tight:
                found.append(part)
        return found

    def _overdue(self, tiers: Collection[_Tier]) -> Line | None:
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

    def _catch_up(self, tiers: Collection[_Tier]) -> Choice | None:
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


def _fitting(parts: list[LinePart], group: Group) -> list[LinePart]:
    return [part for part in parts if group in part.line.requirement_class.groups]


def _replaced(parts: list[LinePart], line: Line, part: LinePart | None) -> list[LinePart]:
    """These, with this one in place of the line's; without it where there is none."""
    return [new for old in parts if (new := part if old.line is line else old) is not None]
