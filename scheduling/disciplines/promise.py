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
from contract.inputs import Requirements
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
NEVER_MS = 1 << 62
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
    heads: list[tuple[int, Requirements, str, LinePace]] = []
    rank = len(ranks)
    for kind, pace in paces:
        if pace.last_ms >= 0:
            pace.slot = _mean(pace.slot, now_ms - pace.last_ms)
        pace.last_ms = now_ms
        for tier, line in pace.lines.items():
            if line.shadow and ranks[tier] <= rank:
                if ranks[tier] < rank:
                    rank = ranks[tier]
                    heads.clear()
                heads.append((line.shadow[0], kind.requirements, tier, line))
    if not heads:
        return
    submitted_ms, _, tier, taken = min(heads, key=lambda head: head[:2])
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


Part = tuple[Line, LinePace]
"""One part of a line, late or on time, and what is known of the line."""


class _Tier:
    """The lines of a tier whose classes have room."""

    __slots__ = ("fresh", "head", "late", "lines", "load", "oldest_ms", "slo_ms")

    def __init__(self, slo_ms: int, lines: list[Line]) -> None:
        self.slo_ms = slo_ms
        self.lines = [(line, late_of(line), pace_of(line).lines[line.tier]) for line in lines]
        self.look()

    def look(self) -> None:
        """At the lines as they are now."""
        self.late: list[Part] = []
        self.fresh: list[Part] = []
        self.load = 0
        """Jobs on time."""
        self.oldest_ms = NEVER_MS
        """Submit time of the oldest late job."""
        for line, late, pace in self.lines:
            if late.start < len(late.entries):
                self.late.append((late, pace))
                self.oldest_ms = min(self.oldest_ms, late.entries[late.start][0])
            if line.start < len(line.entries):
                self.fresh.append((line, pace))
                self.load += len(line.entries) - line.start
        self.head = oldest(self.fresh) if self.fresh else None
        """The line with the oldest job that is on time."""


class PromiseOrder:
    """The order of `promise` on the lines of classes that have room."""

    def __init__(self, state: State, rooms: Collection[Kind]) -> None:
        self._state = state
        self._due: dict[Line, tuple[int, int, int, bool]] = {}
        """Of a late part: promise, longest and chance at the last look at it, and whether it was due."""
        self._last: dict[Line, tuple[int, bool]] = {}
        """Of a part on time: chance at the last look at it, and whether it had its last chance."""
        self._first: Choice | None = None
        """Known until a job is dispatched."""
        self._without: _Tier | None = None
        """The tier of the first line as it will be once its first job is gone, where that is known."""
        self._take(rooms)

    def _take(self, rooms: Collection[Kind]) -> None:
        self._rooms = list(rooms)
        self._tiers: dict[str, _Tier] = {}
        """The highest first."""
        for tier in self._state.ranks:
            lines = [line for kind in rooms if (line := kind.lines.get(tier)) is not None and is_met(line)]
            if lines:
                self._tiers[tier] = _Tier(self._state.slos[tier], lines)

    def first(self) -> Choice | None:
        if self._first is None:
            self._first = self._choose(self._tiers.values())
        return self._first

    def second(self, turn: Entry, group: Group) -> Line | None:
        choice = self.first()
        if choice is None:
            return None
        line, tiers = choice.line, self._tiers
        skip = line.entries[line.start] == turn
        line.start += skip
        if not all(group in kind.groups for kind in self._rooms):
            fitting = {name: [line for line, _, _ in t.lines if group in line.kind.groups] for name, t in tiers.items()}
            tiers = {name: _Tier(tiers[name].slo_ms, lines) for name, lines in fitting.items() if lines}
        elif skip:
            self._without = _Tier(tiers[line.tier].slo_ms, [line for line, _, _ in tiers[line.tier].lines])
            tiers = {**tiers, line.tier: self._without}
        if skip:
            self._forget(line)
        second = self._choose(tiers.values())
        line.start -= skip
        if skip:
            self._forget(line)
        return second.line if second is not None else None

    def _forget(self, line: Line) -> None:
        """Other jobs stand in the line now."""
        self._due.pop(line, None)
        self._last.pop(line, None)

    def dispatched(self, line: Line, rooms: Collection[Kind]) -> None:
        self._first = None
        self._forget(line)
        if len(rooms) != len(self._rooms):
            self._take(rooms)
        elif self._without is not None:
            self._tiers[line.tier] = self._without
        elif line.tier in self._tiers:
            self._tiers[line.tier].look()
        self._without = None

    def _choose(self, tiers: Collection[_Tier]) -> Choice | None:
        """The line to serve, of these."""
        state = self._state
        facts, now_ms = state.promise, state.now_ms
        worst, promise = max(facts.worst, facts.worst_before), promise_of(facts)
        for kind in self._rooms:
            if kind.pace is not None and kind.pace.since >= TURN - 1:
                overdue = self._overdue(tiers)
                if overdue is not None:
                    return Choice(overdue, "overdue")
                break
        high: Line | None = None
        load = 0
        for tier in tiers:
            slo_ms = tier.slo_ms
            due = self._due_of(tier, promise)
            if due:
                return Choice(oldest(due), "due")
            head = tier.head
            if head is None:
                continue
            if high is None:
                high = head
            else:
                tight = self._last_chances(tier)
                if tight:
                    return Choice(oldest(tight), "last_chance")
            load += tier.load
            left_ms = head.entries[head.start][0] + min(FLOOR, worst) * slo_ms // 1000 - now_ms
            if ((load + 1) * AFFORD * max(pace_of(head).slot, 0)) >> SHIFT > left_ms:
                break
        if high is not None:
            return Choice(high, "on_time")
        return self._catch_up(tiers)

    # Within a batch time stands still, so a line in which the same jobs stand gets no tighter while its limit does not
    # fall and its mean chance does not rise, and no less tight the other way round: most lines need no second look.

    def _due_of(self, tier: _Tier, promise: int) -> list[Part]:
        """Late parts that must go now: kept are the promise, and before it the longest interval without a chance."""
        found = []
        for part in tier.late:
            line, pace = part
            longest, chance = pace.longest, pace.chance
            known = self._due.get(line)
            if known is not None:
                promise_then, longest_then, chance_then, due = known
                if due:
                    if promise <= promise_then and longest >= longest_then and chance >= chance_then:
                        found.append(part)
                        continue
                elif promise >= promise_then and longest <= longest_then and chance <= chance_then:
                    continue
            limit_ms = promise * tier.slo_ms // 1000
            limit_ms -= min(longest >> FADE, limit_ms - tier.slo_ms)
            due = self._is_tight(line, limit_ms, chance, GUARD)
            self._due[line] = (promise, longest, chance, due)
            if due:
                found.append(part)
        return found

    def _last_chances(self, tier: _Tier) -> list[Part]:
        """Parts on time of which a job would be late soon."""
        found = []
        for part in tier.fresh:
            line, pace = part
            chance = pace.chance
            known = self._last.get(line)
            if known is None or (chance > known[0] if not known[1] else chance < known[0]):
                known = self._last[line] = (chance, self._is_tight(line, tier.slo_ms, chance, 1))
            if known[1]:
                found.append(part)
        return found

    def _overdue(self, tiers: Collection[_Tier]) -> Line | None:
        """The line whose late head has waited the longest beyond `promise_max` SLOs, where it is its class's turn."""
        promise_max = policy_of(self._state).promise_max
        found: list[tuple[int, str, Line]] = []
        for tier in tiers:
            if tier.oldest_ms + promise_max * tier.slo_ms > self._state.now_ms:
                continue
            for late, _ in tier.late:
                submitted_ms, job = late.entries[late.start]
                over_ms = submitted_ms + promise_max * tier.slo_ms
                if over_ms <= self._state.now_ms and pace_of(late).since >= TURN - 1:
                    found.append((over_ms, job, late))
        return min(found, key=lambda entry: entry[:2])[2] if found else None

    def _catch_up(self, tiers: Collection[_Tier]) -> Choice | None:
        """Nothing is on time: the largest wait fraction."""
        common_ms = lcm(*(tier.slo_ms for tier in tiers))
        late = [
            ((entry[0] - self._state.now_ms) * (common_ms // tier.slo_ms), entry[1], line)
            for tier in tiers
            for line, _ in tier.late
            if (entry := line.entries[line.start])
        ]
        return Choice(min(late, key=lambda entry: entry[:2])[2], "catch_up") if late else None

    def _is_tight(self, line: Line, limit_ms: int, chance: int, guard: int) -> bool:
        """A job of the line would start more than the limit after it was submitted if, so many chances from now, the
        line was served one job every 5/4 mean chances. Looked at are places 0, 1, 3, 7 and so on, and the last."""
        entries, start, spare_ms = line.entries, line.start, limit_ms - self._state.now_ms
        each, guard, last = max(chance, 0), 4 * guard, len(entries) - 1 - start
        if entries[start][0] + spare_ms >= ((5 * last + guard) * each) >> (SHIFT + 2):
            return False  # the oldest would do even in the last place
        place = 0
        while True:
            if place > last:
                place = last
            if entries[start + place][0] + spare_ms < ((5 * place + guard) * each) >> (SHIFT + 2):
                return True
            if place == last:
                return False
            place = 2 * place + 1


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


def is_met(line: Line) -> bool:
    """A job of the line has been met since the discipline was adopted."""
    return line.kind.pace is not None and line.tier in line.kind.pace.lines


def oldest(parts: list[Part]) -> Line:
    """The line whose first job is the oldest."""
    if len(parts) == 1:
        return parts[0][0]
    return min((line for line, _ in parts), key=lambda line: line.entries[line.start])
