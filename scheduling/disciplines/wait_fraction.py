"""The talk's order: the job that has waited the largest fraction of its tier's SLO goes first.

The fraction is not capped at 1: under overload the waits of all tiers move towards the same multiple of their SLOs. A
job of a tier with SLO L that has waited w goes before a job with SLO S that came within the last w x S / L. So nothing
starves while load x (1 - S / L), summed over the other tiers, is below 1. Under a greater load without end the
fractions of the other tiers grow faster than the job's own, and the job waits for ever. So the policy document must say
`may_starve`
(docs/decisions/0008; tests/properties/scheduling/test_starvation.py shows both).

Fractions are compared as integers: waited_a / slo_a > waited_b / slo_b exactly when waited_a * slo_b >
waited_b * slo_a, and so exactly when waited_a * (L / slo_a) > waited_b * (L / slo_b) for a common multiple L of the
SLOs.

Seam: `urgency`.
"""

from __future__ import annotations

from math import lcm

from scheduling.disciplines.discipline import Ranked
from scheduling.picking.ranking import Rank, Ranker
from scheduling.state.pool import Entry, Line, State


class WaitFraction(Ranked):
    name = "wait_fraction"
    reason = "largest_fraction"

    def ranker(self, state: State) -> Ranker:
        slos, now_ms = state.slos, state.now_ms
        common_ms = lcm(*slos.values())

        def rank(line: Line, entry: Entry) -> Rank:
            return (-urgency(now_ms - entry[0], slos[line.tier], common_ms), entry[1])

        return rank


def urgency(waited_ms: int, slo_ms: int, common_ms: int) -> int:
    """The wait fraction times `common_ms`, which every tier's SLO divides: exact, and of any size."""
    return waited_ms * (common_ms // slo_ms)
