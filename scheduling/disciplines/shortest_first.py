"""Shortest job first, by the run time recorded as expected when the job was accepted; jobs of which none is known go
last. The best mean wait there is; long jobs may wait for ever."""

from __future__ import annotations

from scheduling.disciplines.discipline import Ranked
from scheduling.picking.ranking import Ranker
from scheduling.state.pool import State


class ShortestFirst(Ranked):
    name = "shortest_first"
    reason = "shortest"
    by_size = True

    def ranker(self, state: State) -> Ranker:
        return lambda line, entry: entry
