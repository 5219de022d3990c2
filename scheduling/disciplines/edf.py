"""Earliest deadline first: the job goes whose SLO runs out soonest, or ran out longest ago. Nothing starves: the
deadline of every job becomes the earliest one."""

from __future__ import annotations

from scheduling.disciplines.discipline import Ranked
from scheduling.picking.ranking import Ranker
from scheduling.state.pool import State


class Edf(Ranked):
    name = "edf"
    reason = "earliest_deadline"

    def ranker(self, state: State) -> Ranker:
        slos = state.slos
        return lambda line, entry: (entry[0] + slos[line.tier], entry[1])
