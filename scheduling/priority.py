"""Who goes next: the talk's order. The job that has waited the largest fraction of its tier's SLO is first.

Not capped at 1: under overload the waits of all tiers converge to the same multiple of their SLOs, and nothing
starves. Fractions are compared as integers: waited_a / slo_a > waited_b / slo_b exactly when waited_a * slo_b >
waited_b * slo_a, and so exactly when waited_a * (L / slo_a) > waited_b * (L / slo_b) for a common multiple L of the
SLOs. Ties end in the job id. Within one line the order is the same at all times, so only the heads of the lines are
compared: a pick costs O(tiers x requirement classes) and nothing is sorted again as time passes.

Seam: `urgency`.
"""

from __future__ import annotations

from math import lcm

from scheduling.state import Entry, Line, State

Candidate = tuple[int, str, int, Line]
"""(minus its urgency, job, submitted_ms, line): the least goes first. Jobs differ, so lines are never compared."""


def urgency(waited_ms: int, slo_ms: int, common_ms: int) -> int:
    """The wait fraction times `common_ms`, which every tier's SLO divides: exact, and of any size."""
    return waited_ms * (common_ms // slo_ms)


def common_of(state: State) -> int:
    """The least common multiple of the tiers' SLOs in ms."""
    return lcm(*state.slos.values())


def candidate(state: State, line: Line, entry: Entry, common_ms: int) -> Candidate:
    """A job of the line, by its entry, with its rank at this moment."""
    submitted_ms, job = entry
    return (-urgency(state.now_ms - submitted_ms, state.slos[line.tier], common_ms), job, submitted_ms, line)
