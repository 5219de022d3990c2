"""A second, naive implementation of `promise`, after the reference of its research (docs/decisions/0008).

Lists are made anew from the rows at each pick; only the shadow and the means are kept. A line is (tier rank, class).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

FLOOR, GUARD, AFFORD, SHIFT, FADE, TURN, PERIOD = 1000, 8, 4, 6, 10, 32, 24


@dataclass
class Pace:
    chance: int = -1
    last: int = -1
    longest: int = 0
    shadow: list[int] = field(default_factory=list)


@dataclass
class Slots:
    mean: int = -1
    last: int = -1
    since: int = 0


def mean(old: int, interval: int) -> int:
    return interval << SHIFT if old < 0 else old + interval - (old >> SHIFT)


@dataclass
class Choice:
    tier: int
    kind: str
    is_late: bool
    reason: str


class NaivePromise:
    def __init__(self, slos: list[int], cap: int) -> None:
        """The SLOs of the tiers, highest tier first."""
        self.slos, self.cap = slos, cap
        self.paces: dict[tuple[int, str], Pace] = {}
        self.kinds: dict[str, Slots] = {}
        self.worst = self.worst_before = self.period_start = 0

    def entered(self, tier: int, kind: str, submitted: int, first: bool) -> None:
        self.kinds.setdefault(kind, Slots())
        pace = self.paces.setdefault((tier, kind), Pace())
        if first:
            insort(pace.shadow, submitted)

    def ended(self, tier: int, kind: str, submitted: int, waiting_kinds: set[str]) -> None:
        """A queued job ended; `waiting_kinds` are the classes that still have jobs that wait."""
        pace = self.paces.get((tier, kind))
        if pace is not None and submitted in pace.shadow:
            pace.shadow.remove(submitted)
        self._settle(kind, waiting_kinds)

    def _settle(self, kind: str, waiting_kinds: set[str]) -> None:
        if kind in waiting_kinds:
            return
        if kind in self.kinds:
            self.kinds[kind].last = -1
        for (_, other), pace in self.paces.items():
            if other == kind:
                pace.last, pace.shadow = -1, []
        if not waiting_kinds:
            most = self.cap * 1000
            self.worst, self.worst_before = min(self.worst, most), min(self.worst_before, most)

    def put_off(self, tier: int, submitted: int, now: int) -> None:
        """A due job was passed over: from now on at least that job's wait is promised."""
        self.worst = max(self.worst, (now - submitted) * 1000 // self.slos[tier])

    def dispatched(
        self, kind: str, reason: str, now: int, fits: Callable[[str], bool], before: set[str], after: set[str]
    ) -> None:
        """A job of the class went to a slot. `before` and `after` are the classes that had jobs waiting before and
        after that."""
        self._shadow(now, fits)
        for name, slots in self.kinds.items():
            if fits(name) and name in before:
                slots.since += 1
        if reason == "overdue":
            self.kinds[kind].since = 0
        self._settle(kind, after)

    def _shadow(self, now: int, fits: Callable[[str], bool]) -> None:
        for name, slots in self.kinds.items():
            if fits(name):
                if slots.last >= 0:
                    slots.mean = mean(slots.mean, now - slots.last)
                slots.last = now
        heads = [
            (tier, pace.shadow[0], kind) for (tier, kind), pace in self.paces.items() if fits(kind) and pace.shadow
        ]
        if not heads:
            return
        tier, submitted, kind = min(heads)
        del self.paces[tier, kind].shadow[0]
        span = PERIOD * max(self.slos)
        if now - self.period_start >= span:
            self.worst_before = self.worst if now - self.period_start < 2 * span else 0
            self.worst, self.period_start = 0, now
        self.worst = max(self.worst, (now - submitted) * 1000 // self.slos[tier])
        for (other, name), pace in self.paces.items():
            if fits(name) and other <= tier:
                if pace.last >= 0:
                    interval = now - pace.last
                    pace.chance = mean(pace.chance, interval)
                    pace.longest = max(interval << FADE, pace.longest - (pace.longest >> FADE))
                pace.last = now

    def choose(
        self, rows: Iterable[tuple[int, str, int, str]], now: int, offers: set[tuple[int, str, bool]] | None = None
    ) -> Choice:
        """The line to serve. Each row is (tier, class, submitted, job) of a job that some slot could take. Only one of
        the lines in `offers` (tier, class, late part) may be served."""
        late: dict[tuple[int, str], list[tuple[int, str]]] = {}
        fresh: dict[tuple[int, str], list[tuple[int, str]]] = {}
        for tier, kind, submitted, job in sorted(rows):
            part = late if now - submitted > self.slos[tier] else fresh
            part.setdefault((tier, kind), []).append((submitted, job))
        everyone = [(tier, len(jobs)) for (tier, _), jobs in fresh.items()]
        if offers is not None:
            late = {key: jobs for key, jobs in late.items() if (*key, True) in offers}
            fresh = {key: jobs for key, jobs in fresh.items() if (*key, False) in offers}
        overdue = [
            (jobs[0][0] + self.cap * self.slos[tier], jobs[0][1], tier, kind)
            for (tier, kind), jobs in late.items()
            if self.kinds[kind].since >= TURN - 1 and jobs[0][0] + self.cap * self.slos[tier] <= now
        ]
        if overdue:
            return Choice(*min(overdue)[2:], True, "overdue")
        worst = max(self.worst, self.worst_before)
        due = min(
            (
                (tier, jobs[0], kind)
                for (tier, kind), jobs in late.items()
                if self._is_due(tier, kind, jobs, now, max(worst, FLOOR))
            ),
            default=None,
        )
        if due and not any(tier < due[0] for tier, _ in fresh):
            return Choice(due[0], due[2], True, "due")
        high: Choice | None = None
        load = 0
        for tier in range(len(self.slos)):
            if due and due[0] == tier and high is not None:
                return Choice(tier, due[2], True, "due")
            heads = sorted((jobs[0], kind) for (other, kind), jobs in fresh.items() if other == tier)
            if not heads:
                continue
            (submitted, _), kind = heads[0]
            if high is None:
                high = Choice(tier, kind, False, "on_time")
            else:
                for _, name in heads:
                    if self._is_tight(self.paces[tier, name], fresh[tier, name], self.slos[tier], now, 1):
                        return Choice(tier, name, False, "last_chance")
            load += sum(jobs for other, jobs in everyone if other == tier)
            left = submitted + min(1000, worst) * self.slos[tier] // 1000 - now
            if ((load + 1) * AFFORD * max(self.kinds[kind].mean, 0)) >> SHIFT > left:
                break
        if high is not None:
            return high

        def behind(key: tuple[int, str]) -> tuple[Any, ...]:
            submitted, job = late[key][0]
            return -Fraction(now - submitted, self.slos[key[0]]), job

        return Choice(*min(late, key=behind), True, "catch_up")

    def _is_due(self, tier: int, kind: str, jobs: list[tuple[int, str]], now: int, promise: int) -> bool:
        limit = promise * self.slos[tier] // 1000
        pace = self.paces[tier, kind]
        limit -= min(pace.longest >> FADE, limit - self.slos[tier])
        return self._is_tight(pace, jobs, limit, now, GUARD)

    def _is_tight(self, pace: Pace, jobs: list[tuple[int, str]], limit: int, now: int, guard: int) -> bool:
        places = {min(2**power - 1, len(jobs) - 1) for power in range(len(jobs).bit_length() + 1)}
        chance = max(pace.chance, 0)
        return any(jobs[place][0] + limit - now < ((5 * place + 4 * guard) * chance) >> (SHIFT + 2) for place in places)
