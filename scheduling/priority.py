"""Who goes next: the talk's order. The job that has waited the largest fraction of its tier's SLO is first.

Not capped at 1: under overload the waits of all tiers converge to the same multiple of their SLOs, and nothing
starves. Fractions are compared as integers: waited_a / slo_a > waited_b / slo_b exactly when waited_a * slo_b >
waited_b * slo_a, and so exactly when waited_a * (L / slo_a) > waited_b * (L / slo_b) for a common multiple L of the
SLOs. Ties end in the job id. Within one line the order is the same at all times, so only the heads of the lines are
compared: a pick costs O(tiers x requirement classes) and nothing is sorted again as time passes.

Seam: `urgency`.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import lcm

from scheduling.lines import is_waiting
from scheduling.state import Line, State

Candidate = tuple[int, str, int, Line]
"""(minus its urgency, job, submitted_ms, line): the least goes first. Jobs differ, so lines are never compared."""


def urgency(waited_ms: int, slo_ms: int, common_ms: int) -> int:
    """The wait fraction times `common_ms`, which every tier's SLO divides: exact, and of any size."""
    return waited_ms * (common_ms // slo_ms)


def common_of(state: State) -> int:
    """The least common multiple of the tiers' SLOs in ms."""
    return lcm(*state.slos.values())


def candidate(state: State, line: Line, entry: tuple[int, str], common_ms: int) -> Candidate:
    """A job of the line, by its heap entry, with its rank at this moment."""
    submitted_ms, job = entry
    return (-urgency(state.now_ms - submitted_ms, state.slos[line.tier], common_ms), job, submitted_ms, line)


def second_of(state: State, line: Line) -> tuple[int, str] | None:
    """The heap entry of the job right behind the line's head, or None. Searches past entries that are left over."""
    heap = line.heap
    if len(heap) == 1:
        return None
    if len(heap) == 2 or heap[1] < heap[2]:
        next_place = 1
    else:
        next_place = 2
    if is_waiting(state, heap[next_place][1]):
        return heap[next_place]
    head = heap[0][1]
    reached = sorted((heap[place], place) for place in (1, 2) if place < len(heap))
    while reached:
        entry, place = heappop(reached)
        if entry[1] != head and is_waiting(state, entry[1]):
            return entry
        for below in (2 * place + 1, 2 * place + 2):
            if below < len(heap):
                heappush(reached, (heap[below], below))
    return None
