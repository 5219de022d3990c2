"""The shadow of `promise`: strict priority replayed on the very same slots, and what every line gets there.

The shadow needs only times of arrival. It takes its slot when a dispatch is evolved, so a pick sees the shadow as it
was after the slot before.
"""

from __future__ import annotations

from collections.abc import Collection

from contract.inputs import Requirements
from scheduling.attempts.retries import policy_of
from scheduling.state.jobs import Job
from scheduling.state.pool import ClassPace, LinePace, PromiseFacts, RequirementClass, State

FLOOR = 1000
"""Permille of the SLO: no job is promised a wait shorter than its SLO."""
SHIFT = 6
"""A mean is over about 2**6 intervals."""
FADE = 10
"""The longest interval between chances fades by 2**-10 a chance."""
PERIOD = 24
"""A period is so many times the longest SLO; the worst wait is remembered for one to two periods."""


def pace_of(state: State, requirement_class: RequirementClass, tier: str) -> LinePace:
    """What `promise` has seen of the line; made when first asked for. A class keeps its lines in the order of rank."""
    pace = requirement_class.pace
    if pace is None:
        pace = requirement_class.pace = ClassPace()
    line = pace.lines.get(tier)
    if line is None:
        line = LinePace(state.ranks[tier])
        known = sorted((*pace.lines.items(), (tier, line)), key=lambda entry: entry[1].rank)
        pace.lines = dict(known)
    return line


def put_off(state: State, due: Job) -> None:
    """A job that had to go was passed over, because no slot had loaded its version: the promise is raised to its
    wait."""
    waited = (state.now_ms - due.submitted_ms) * 1000 // state.slos[due.tier]
    state.promise.worst = max(state.promise.worst, waited)


def settle(state: State, requirement_class: RequirementClass) -> None:
    """No job of the class waits any more: idle time is no interval, and the shadow's lines are empty too."""
    pace = requirement_class.pace
    if pace is not None:
        pace.last_ms = -1
        for line in pace.lines.values():
            line.last_ms = -1
            line.shadow.clear()
    if not any(other.waiting for other in state.classes.values() if other is not requirement_class):
        most, facts = policy_of(state).promise_max * 1000, state.promise
        facts.worst, facts.worst_before = min(facts.worst, most), min(facts.worst_before, most)


def _mean(old: int, interval_ms: int) -> int:
    return interval_ms << SHIFT if old < 0 else old + interval_ms - (old >> SHIFT)


def shadow_slot(state: State, paces: Collection[tuple[RequirementClass, ClassPace]]) -> None:
    """The shadow uses a slot that fits these classes: strict priority, oldest first."""
    now_ms, facts = state.now_ms, state.promise
    rank = len(state.ranks)
    best: tuple[int, int, Requirements] | None = None
    taken, taken_tier = None, ""
    for requirement_class, pace in paces:
        if pace.last_ms >= 0:
            pace.slot = _mean(pace.slot, now_ms - pace.last_ms)
        pace.last_ms = now_ms
        for tier, line in pace.lines.items():
            if line.rank > rank:
                break
            if line.shadow:
                head = (line.rank, line.shadow[0], requirement_class.requirements)
                if best is None or head < best:
                    best, rank, taken, taken_tier = head, line.rank, line, tier
                break
    if taken is None:
        return
    waited_ms = now_ms - taken.shadow.popleft()
    span_ms = PERIOD * max(state.slos.values())
    since_ms = now_ms - facts.period_start_ms
    if since_ms >= span_ms:
        facts.worst_before = facts.worst if since_ms < 2 * span_ms else 0
        facts.worst, facts.period_start_ms = 0, now_ms
    facts.worst = max(facts.worst, waited_ms * 1000 // state.slos[taken_tier])
    for _, pace in paces:
        for line in pace.lines.values():
            if line.rank > rank:
                break
            if line.last_ms >= 0:
                interval_ms = now_ms - line.last_ms
                line.chance = _mean(line.chance, interval_ms)
                line.longest = max(interval_ms << FADE, line.longest - (line.longest >> FADE))
            line.last_ms = now_ms


def promise_of(facts: PromiseFacts) -> int:
    """The longest wait that every job is promised, in permille of its SLO."""
    return max(facts.worst, facts.worst_before, FLOOR)
