"""The default: as many as possible on time, and nobody waits longer than strict priority would have made somebody wait.

A *shadow* replays strict priority on the very same slots; it needs only times of arrival. The worst wait it has had, in
multiples of the SLO, is the *promise*. A line is **late** and **on time** in two parts. A pick, the highest tier first:
late jobs that must go now or break the promise (`due`); else the highest job that is on time, or a lower one at its
last chance if those above can afford a slot; else, with nothing on time, the largest wait fraction (`catch_up`). One of
TURN picks belongs to jobs that have waited `promise_max` SLOs (`overdue`), which bounds every wait whatever the higher
tiers do. The rule, its bound and where its numbers come from: docs/decisions/0008.

The shadow takes its slot when the dispatch is evolved, so a pick sees it as it was after the slot before.

Seams: `promise_of`, `shadow_slot`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection
from math import lcm

from contract.events import JobDispatched
from scheduling.disciplines.discipline import Discipline
from scheduling.lines import entry_of
from scheduling.ranking import Choice, Order
from scheduling.retries import policy_of
from scheduling.state import Entry, Group, Job, Kind, KindPace, Line, LinePace, PromiseFacts, State

FLOOR = 1000
"""Permille of the SLO: nobody is promised less than his SLO."""
GUARD = 8
"""Chances: a late job goes so many chances before the promise would be broken."""
AFFORD = 4
"""Those above must be able to lose a slot even if slots came so many times more slowly."""
SHIFT = 6
"""Means are over about 2**6 intervals."""
FADE = 10
"""The longest interval between chances fades by 2**-10 a chance."""
TURN = 32
"""One pick of so many belongs to overdue jobs."""
PERIOD = 24
"""Longest SLOs: for one to two such periods the worst is remembered."""


class Promise(Discipline):
    name = "promise"
    splits = True

    def order(self, state: State, rooms: Collection[Kind]) -> Order:
        return PromiseOrder(state, rooms)

    def adopted(self, state: State) -> None:
        self.retired(state)
        queued = (job for job in state.jobs.values() if job.open is None)
        for job in sorted(queued, key=lambda job: entry_of(state, job)):
            self.entered(state, job, job.attempts == 0)

    def retired(self, state: State) -> None:
        state.promise = PromiseFacts()
        for kind in state.kinds.values():
            kind.pace = None

    def entered(self, state: State, job: Job, first: bool) -> None:
        kind = state.lines[job.version, job.tier].kind
        pace = kind.pace
        if pace is None:
            pace = kind.pace = KindPace()
        line = pace.lines.get(job.tier)
        if line is None:
            line = pace.lines[job.tier] = LinePace()
        if first:
            shadow = line.shadow
            if not shadow or shadow[-1] <= job.submitted_ms:
                shadow.append(job.submitted_ms)
            else:
                insort(shadow, job.submitted_ms)

    def dispatched(self, state: State, job: Job, group: Group, event: JobDispatched) -> None:
        paces = [(kind, kind.pace) for kind in state.kinds.values() if kind.pace is not None and group in kind.groups]
        shadow_slot(state, paces)
        for kind, pace in paces:
            if kind.waiting:
                pace.since += 1
        kind = state.lines[job.version, job.tier].kind
        if event.reason == "overdue" and kind.pace is not None:
            kind.pace.since = 0
        if kind.waiting == 1:  # the job that goes
            _settle(state, kind)

    def ended(self, state: State, job: Job) -> None:
        kind = state.lines[job.version, job.tier].kind
        line = kind.pace.lines.get(job.tier) if kind.pace is not None else None
        if line is not None:
            place = bisect_left(line.shadow, job.submitted_ms)
            if place < len(line.shadow) and line.shadow[place] == job.submitted_ms:
                del line.shadow[place]
        if not kind.waiting:
            _settle(state, kind)


def _settle(state: State, kind: Kind) -> None:
    """Nothing of the class waits any more: idle time is no interval, and the shadow is done too."""
    pace = kind.pace
    if pace is not None:
        pace.last_ms = -1
        for line in pace.lines.values():
            line.last_ms = -1
            line.shadow.clear()
    if not any(other.waiting for other in state.kinds.values() if other is not kind):
        most, facts = policy_of(state).promise_max * 1000, state.promise
        facts.worst, facts.worst_before = min(facts.worst, most), min(facts.worst_before, most)


def _mean(old: int, interval_ms: int) -> int:
    return interval_ms << SHIFT if old < 0 else old + interval_ms - (old >> SHIFT)


def shadow_slot(state: State, paces: Collection[tuple[Kind, KindPace]]) -> None:
    """The shadow uses a slot that fits these classes: strict priority, oldest first."""
    now_ms, ranks, facts = state.now_ms, state.ranks, state.promise
    heads = []
    for kind, pace in paces:
        if pace.last_ms >= 0:
            pace.slot = _mean(pace.slot, now_ms - pace.last_ms)
        pace.last_ms = now_ms
        for tier, line in pace.lines.items():
            if line.shadow:
                heads.append((ranks[tier], line.shadow[0], kind.order, tier, line))
    if not heads:
        return
    rank, submitted_ms, _, tier, taken = min(heads, key=lambda head: head[:3])
    taken.shadow.popleft()
    span_ms = PERIOD * max(state.slos.values())
    since_ms = now_ms - facts.period_start_ms
    if since_ms >= span_ms:
        facts.worst_before = facts.worst if since_ms < 2 * span_ms else 0
        facts.worst, facts.period_start_ms = 0, now_ms
    facts.worst = max(facts.worst, (now_ms - submitted_ms) * 1000 // state.slos[tier])
    for _, pace in paces:
        for name, line in pace.lines.items():
            if ranks[name] <= rank:
                if line.last_ms >= 0:
                    interval_ms = now_ms - line.last_ms
                    line.chance = _mean(line.chance, interval_ms)
                    line.longest = max(interval_ms << FADE, line.longest - (line.longest >> FADE))
                line.last_ms = now_ms


def promise_of(facts: PromiseFacts) -> int:
    """What every job is promised at the worst, in permille of its SLO."""
    return max(facts.worst, facts.worst_before, FLOOR)


class _Tier:
    """The lines of a tier whose classes have room."""

    __slots__ = ("fresh", "head", "late", "lines", "load", "slo_ms")

    def __init__(self, slo_ms: int, lines: list[Line]) -> None:
        self.slo_ms = slo_ms
        self.lines = lines
        self.look()

    def look(self) -> None:
        """At the lines as they are now."""
        self.late = [part for line in self.lines if len(part := late_of(line))]
        self.fresh = [line for line in self.lines if len(line)]
        self.head = oldest(self.fresh) if self.fresh else None
        """The line with the oldest job that is on time."""
        self.load = sum(map(len, self.fresh))
        """Jobs on time."""


class PromiseOrder:
    """The order of `promise` on the lines of classes that have room."""

    def __init__(self, state: State, rooms: Collection[Kind]) -> None:
        self._state = state
        self._tight: dict[Line, tuple[int, int, bool]] = {}
        """Of a line: limit and chance at the last look at it, and what it was. Time stands still within a batch."""
        self._first: Choice | None = None
        """Known until a job is dispatched."""
        self._ranks = state.ranks
        self._take(rooms)

    def _take(self, rooms: Collection[Kind]) -> None:
        self._rooms = list(rooms)
        self._tiers: dict[str, _Tier] = {}
        """The highest first."""
        for tier in self._ranks:
            lines = [line for kind in rooms if (line := kind.lines.get(tier)) is not None]
            if lines:
                self._tiers[tier] = _Tier(self._state.slos[tier], lines)

    def first(self) -> Choice | None:
        if self._first is None:
            self._first = self._choose(list(self._tiers.values()))
        return self._first

    def second(self, turn: Entry, group: Group) -> Line | None:
        choice = self.first()
        if choice is None:
            return None
        line, tiers = choice.line, list(self._tiers.values())
        if not all(group in kind.groups for kind in self._rooms):
            tiers = [_Tier(t.slo_ms, [line for line in t.lines if group in line.kind.groups]) for t in tiers]
        skip = line.entries[line.start] == turn
        if skip:
            self._skip(line, tiers, 1)
        second = self._choose(tiers)
        if skip:
            self._skip(line, tiers, -1)
        return second.line if second is not None else None

    def _skip(self, line: Line, tiers: list[_Tier], by: int) -> None:
        """The first job of the line is not there, or is there again."""
        line.start += by
        self._tight.pop(line, None)
        for tier in tiers:
            if tier.lines and tier.lines[0].tier == line.tier:
                tier.look()

    def dispatched(self, line: Line, rooms: Collection[Kind]) -> None:
        self._first = None
        self._tight.pop(line, None)
        if len(rooms) != len(self._rooms):
            self._take(rooms)
        elif line.tier in self._tiers:
            self._tiers[line.tier].look()

    def _choose(self, tiers: list[_Tier]) -> Choice | None:
        """The line to serve, of these."""
        state = self._state
        facts, now_ms = state.promise, state.now_ms
        worst, promise = max(facts.worst, facts.worst_before), promise_of(facts)
        if any(kind.pace is not None and kind.pace.since >= TURN - 1 for kind in self._rooms):
            overdue = self._overdue(tiers)
            if overdue is not None:
                return Choice(overdue, "overdue")
        high: Line | None = None
        load = 0
        for tier in tiers:
            slo_ms = tier.slo_ms
            due = [line for line in tier.late if self._is_due(line, slo_ms, promise)]
            if due:
                return Choice(oldest(due), "due")
            head = tier.head
            if head is None:
                continue
            if high is None:
                high = head
            else:
                tight = [line for line in tier.fresh if self._is_tight(line, slo_ms, 1)]
                if tight:
                    return Choice(oldest(tight), "last_chance")
            load += tier.load
            left_ms = head.entries[head.start][0] + min(FLOOR, worst) * slo_ms // 1000 - now_ms
            if ((load + 1) * AFFORD * max(pace_of(head).slot, 0)) >> SHIFT > left_ms:
                break
        if high is not None:
            return Choice(high, "on_time")
        return self._catch_up(tiers)

    def _overdue(self, tiers: list[_Tier]) -> Line | None:
        """The line whose late head has waited the longest beyond `promise_max` SLOs, where it is its class's turn."""
        promise_max = policy_of(self._state).promise_max
        found: list[tuple[int, str, Line]] = []
        for tier in tiers:
            for late in tier.late:
                submitted_ms, job = late.entries[late.start]
                over_ms = submitted_ms + promise_max * tier.slo_ms
                if over_ms <= self._state.now_ms and pace_of(late).since >= TURN - 1:
                    found.append((over_ms, job, late))
        return min(found, key=lambda entry: entry[:2])[2] if found else None

    def _catch_up(self, tiers: list[_Tier]) -> Choice | None:
        """Nothing is on time: the largest wait fraction."""
        common_ms = lcm(*(tier.slo_ms for tier in tiers))
        late = [
            ((entry[0] - self._state.now_ms) * (common_ms // tier.slo_ms), entry[1], line)
            for tier in tiers
            for line in tier.late
            if (entry := line.entries[line.start])
        ]
        return Choice(min(late, key=lambda entry: entry[:2])[2], "catch_up") if late else None

    def _is_due(self, late: Line, slo_ms: int, promise: int) -> bool:
        """A late job must go now: kept are the promise, and before it the longest interval without a chance."""
        limit_ms = promise * slo_ms // 1000
        longest_ms = pace_of(late).lines[late.tier].longest >> FADE
        return self._is_tight(late, limit_ms - min(longest_ms, limit_ms - slo_ms), GUARD)

    def _is_tight(self, line: Line, limit_ms: int, guard: int) -> bool:
        """A job of the line would start more than the limit after it was submitted if, so many chances from now, the
        line was served one job every 5/4 mean chances. Looked at are places 0, 1, 3, 7 and so on, and the last."""
        chance = pace_of(line).lines[line.tier].chance
        known = self._tight.get(line)
        if known is not None and known[0] == limit_ms and known[1] == chance:
            return known[2]
        entries, spare_ms = line.entries, limit_ms - self._state.now_ms
        place, step, last, guard = line.start, 1, len(entries) - 1, 4 * guard
        each = max(chance, 0)
        while True:
            if place > last:
                place = last
            after = 5 * (place - line.start) + guard
            tight = entries[place][0] + spare_ms < (after * each) >> (SHIFT + 2)
            if tight or place == last:
                break
            place += step
            step *= 2
        self._tight[line] = (limit_ms, chance, tight)
        return tight


def late_of(line: Line) -> Line:
    """The late part of a line."""
    if line.late is None:
        raise ValueError(f"expected a late line beside that of tier {line.tier}, found none")
    return line.late


def pace_of(line: Line) -> KindPace:
    """What is known of the line's class, which has met a job."""
    if line.kind.pace is None:
        raise ValueError(f"expected the pace of class {line.kind.requirements}, found none")
    return line.kind.pace


def oldest(lines: list[Line]) -> Line:
    """The line whose first job is the oldest."""
    if len(lines) == 1:
        return lines[0]
    return min(lines, key=lambda line: line.entries[line.start])
