"""Who goes next: the talk's order. The job that has waited the largest fraction of its tier's SLO is first.

Not capped at 1: under overload the waits of all tiers converge to the same multiple of their SLOs, and nothing
starves. Fractions are compared as integers (wait_a * slo_b), ties end in the job id. Within one line the order is the
same at all times, so only the heads of the lines are compared: a pick costs O(tiers x requirement classes).

Seam: `goes_before`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

import msgspec

from scheduling.lines import is_waiting
from scheduling.state import Line, State


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A job that could go, with what its rank is made of."""

    waited_ms: int
    slo_ms: int
    submitted_ms: int
    job: str


def goes_before(a: Candidate, b: Candidate) -> bool:
    """`a` has waited the larger fraction of its SLO, or the same and has the lesser id."""
    left = a.waited_ms * b.slo_ms
    right = b.waited_ms * a.slo_ms
    return left > right or (left == right and a.job < b.job)


def head_of(state: State, line: Line) -> Candidate:
    """The first of a line that is not empty."""
    return _candidate(state, line, line.heap[0])


def second_of(state: State, line: Line) -> Candidate | None:
    """The one behind the head, or None. Searches the heap from its top, past entries that are left over."""
    heap = line.heap
    reached: list[tuple[tuple[int, str], int]] = []
    for place in (1, 2):
        if place < len(heap):
            heappush(reached, (heap[place], place))
    while reached:
        entry, place = heappop(reached)
        if is_waiting(state, entry[1]) and entry[1] != heap[0][1]:
            return _candidate(state, line, entry)
        for below in (2 * place + 1, 2 * place + 2):
            if below < len(heap):
                heappush(reached, (heap[below], below))
    return None


def first(candidates: Iterable[Candidate], ahead: Callable[[Candidate, Candidate], bool]) -> Candidate | None:
    """The candidate that goes before all others; None when there is none."""
    best: Candidate | None = None
    for candidate in candidates:
        if best is None or ahead(candidate, best):
            best = candidate
    return best


def _candidate(state: State, line: Line, entry: tuple[int, str]) -> Candidate:
    submitted_ms, job = entry
    return Candidate(state.now_ms - submitted_ms, state.slos[line.tier], submitted_ms, job)
