"""What a discipline is: it says which line is served next, and may keep facts in the state.

A pick compares the heads of the lines that have room. Within one line the order does not change as time passes, so a
pick costs O(tiers x requirement classes) and nothing is sorted again.
"""

from __future__ import annotations

from collections.abc import Collection

from contract.events import JobDispatched
from scheduling.picking.ranking import LineOrder, Ranker, Ranking
from scheduling.state.jobs import Job
from scheduling.state.nodes import Group
from scheduling.state.pool import RequirementClass, State


class Discipline:
    """One rule that says who goes next. A discipline has no state: its facts lie in State, and its hooks write them."""

    name: str
    splits = False
    """Late jobs stand in lines beside those of jobs on time."""
    by_size = False
    """The first job of a line is the shortest, not the oldest."""

    def order(self, state: State, rooms: Collection[RequirementClass]) -> LineOrder:
        """In which order the lines of these classes are served from here on in this batch. The classes have room."""
        raise NotImplementedError

    def adopted(self, state: State) -> None:
        """This discipline decides from here on, or the tiers changed: its facts begin anew."""

    def retired(self, state: State) -> None:
        """Another discipline decides from here on: the facts of this one are dropped."""

    def entered(self, state: State, job: Job, first: bool) -> None:
        """The job was accepted (`first`), or waits for another attempt."""

    def dispatched(self, state: State, job: Job, group: Group, event: JobDispatched) -> None:
        """A job goes to a node of the group. Called while the job still stands in its line."""

    def ended(self, state: State, job: Job) -> None:
        """A queued job ended without being dispatched. Called after the job has left its line."""


class Ranked(Discipline):
    """A discipline that ranks each line by its first job alone."""

    reason: str
    """The discipline's one word for why a job was chosen."""
    shifts = False
    """A dispatch may change the ranks of other lines too."""

    def ranker(self, state: State) -> Ranker:
        """Ranks lines of this state, until the next event."""
        raise NotImplementedError

    def order(self, state: State, rooms: Collection[RequirementClass]) -> LineOrder:
        return Ranking(state, rooms, self.ranker, self.reason, self.shifts)


def ranks_of(state: State) -> dict[str, int]:
    """Rank of each tier ever named: the smaller its SLO the higher, ties by name; 0 is the highest."""
    tiers = sorted(state.slos, key=lambda tier: (state.slos[tier], tier))
    return {tier: place for place, tier in enumerate(tiers)}
