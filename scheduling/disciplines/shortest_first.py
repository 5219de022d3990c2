"""Shortest job first, by the run time that was expected when the job was accepted. Jobs without an expected run time go
last. No rule has a better mean wait; long jobs may wait for ever."""

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
