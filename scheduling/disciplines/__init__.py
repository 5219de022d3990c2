"""Who goes next: the queueing disciplines, each in a file of its own, behind one small interface (`discipline`).

Which one is in force is said by the policy and changed by its event. A discipline decides which line is served.
`scheduling.state.sharing` decides whose job of that line goes, and `scheduling.picking.look_ahead` may let a job with
the right version go before it.
"""

from __future__ import annotations

from contract.policy import Policy
from scheduling.attempts.retries import policy_of
from scheduling.disciplines.discipline import Discipline, ranks_of
from scheduling.disciplines.edf import Edf
from scheduling.disciplines.fifo import Fifo
from scheduling.disciplines.promise import Promise
from scheduling.disciplines.shortest_first import ShortestFirst
from scheduling.disciplines.strict import Strict
from scheduling.disciplines.wait_fraction import WaitFraction
from scheduling.disciplines.weighted_fair import WeightedFair
from scheduling.state import lines
from scheduling.state.pool import State

DISCIPLINES: dict[str, Discipline] = {
    discipline.name: discipline
    for discipline in (Promise(), WaitFraction(), Strict(), Edf(), Fifo(), WeightedFair(), ShortestFirst())
}
"""By name; the names are those of contract.policy.DISCIPLINES."""


def of(state: State) -> Discipline:
    """The discipline in force."""
    return DISCIPLINES[state.policy.discipline if state.policy is not None else "fifo"]


def adopt(state: State, before: Policy | None) -> None:
    """A policy was adopted; `before` was in force until now. Under another discipline or other tiers, facts begin
    anew."""
    after = policy_of(state)
    state.ranks = ranks_of(state)
    if before is not None and (before.discipline, before.tiers) == (after.discipline, after.tiers):
        return
    if before is not None:
        DISCIPLINES[before.discipline].retired(state)
    arrange(state)
    of(state).adopted(state)


def arrange(state: State) -> None:
    """Arrange the lines as the discipline in force wants them."""
    discipline = of(state)
    state.ranks = ranks_of(state)
    if discipline.splits or (state.splits, state.by_size) != (discipline.splits, discipline.by_size):
        lines.arrange(state, discipline.splits, discipline.by_size)
