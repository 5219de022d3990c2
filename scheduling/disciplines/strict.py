"""Strict priority: the highest tier that has a job goes first, and lower tiers may wait for ever."""

from __future__ import annotations

from scheduling.disciplines.discipline import Ranked
from scheduling.picking.ranking import Ranker
from scheduling.state.pool import State


class Strict(Ranked):
    name = "strict"
    reason = "highest_tier"

    def ranker(self, state: State) -> Ranker:
        ranks = state.ranks
        return lambda line, entry: (ranks[line.tier], *entry)
