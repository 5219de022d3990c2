"""First in, first out: the job goes that was submitted first, whatever its tier."""

from __future__ import annotations

from scheduling.disciplines.discipline import Ranked
from scheduling.picking.ranking import Ranker
from scheduling.state.pool import State


class Fifo(Ranked):
    name = "fifo"
    reason = "oldest"

    def ranker(self, state: State) -> Ranker:
        return lambda line, entry: entry
