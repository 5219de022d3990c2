"""Weighted fair: tiers share the slots by weight, by start-time fair queueing (Goyal, Vin and Cheng, 1996).

A tier has a tag: the virtual time at which its next pick starts. The least tag goes first; between equal tags, the
higher tier. Virtual time is the start tag of the last pick. A tag behind virtual time counts as that time, so a tier
saves nothing up while none of its jobs wait. A pick costs its tier 1 / weight; a retry is free.

Seam: `cost`.
"""

from __future__ import annotations

from math import lcm

from contract.events import JobDispatched
from scheduling.disciplines.discipline import Ranked
from scheduling.picking.ranking import Rank, Ranker
from scheduling.state.jobs import Job
from scheduling.state.nodes import Group
from scheduling.state.pool import Entry, FairTags, Line, State


class WeightedFair(Ranked):
    name = "weighted_fair"
    reason = "fair_share"
    shifts = True

    def ranker(self, state: State) -> Ranker:
        virtual, tags = state.fair.virtual, state.fair.tags
        ranks = state.ranks

        def rank(line: Line, entry: Entry) -> Rank:
            return (tags.get(line.tier, virtual), ranks[line.tier], *entry)

        return rank

    def adopted(self, state: State) -> None:
        state.fair = FairTags()

    def retired(self, state: State) -> None:
        state.fair = FairTags()

    def dispatched(self, state: State, job: Job, group: Group, event: JobDispatched) -> None:
        if event.attempt > 1:
            return
        fair = state.fair
        fair.virtual = start = fair.tags.get(job.tier, fair.virtual)
        fair.tags[job.tier] = start + cost(state, job.tier)
        fair.tags = {tier: tag for tier, tag in fair.tags.items() if tag > start}


def cost(state: State, tier: str) -> int:
    """What a pick costs the tier: 1 / weight, times a number that makes the cost whole for every tier.

    Where the policy sets no weights, a weight is 1 / slo_ms, so a pick costs slo_ms. A tier that the policy dropped has
    the least weight of all."""
    tiers = state.policy.tiers if state.policy is not None else {}
    weights = [entry.weight for entry in tiers.values() if entry.weight]
    if not weights:
        return state.slos[tier]
    known = tiers.get(tier)
    return lcm(*weights) // (known.weight if known is not None and known.weight else min(weights))
