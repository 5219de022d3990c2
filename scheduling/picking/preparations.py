"""Which jobs CPU workers prepare next. Part of `plan`.

The line whose first job has waited the largest fraction of its SLO is served, whatever discipline decides on slots: a
preparation is short, and a job that is not prepared cannot go. Within the line the tenants take turns. One order of
`preparing.TURN` belongs to the job that has been overdue the longest, so nobody starves (docs/decisions/0044).

A preparation goes only to a free slot, or tries a cordoned worker that has rested. Nothing is staged behind another
preparation: nobody knows how long that one takes, and no order calls a preparation back. Of the workers with room the
one in the emptiest cluster is chosen, then the least node id. What is open in a cluster never exceeds its limit.

Seams: `is_due`, `room`, `overdue_turn`, `by_fraction`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import lcm

from contract.events import Event, PreparationOrdered
from contract.names import dispatch_id
from scheduling.picking import placement
from scheduling.picking.ranking import Rank, Ranker, Ranking
from scheduling.state import backpressure, preparing, sharing
from scheduling.state.jobs import Job
from scheduling.state.nodes import Group
from scheduling.state.pool import Entry, Line, State

REASON = "largest_fraction"


def is_due(state: State) -> bool:
    """Some job waits for a worker, and nobody holds the pool."""
    return state.preparing.requirement_class.waiting > 0 and not state.held


def ordered(state: State, batch: Sequence[Event]) -> Iterator[Event]:
    """Preparations that can begin now. `batch` is the growing list of the record's events."""
    if not is_due(state):
        return
    waiting = state.preparing.requirement_class
    groups = [group for group in waiting.groups if room(group)]
    order = Ranking(state, [waiting], by_fraction, REASON, shifts=False)
    while groups and (choice := order.first()) is not None:
        line, entry = overdue_turn(state) or (choice.line, sharing.turn(choice.line))
        group, node = choose(groups)
        yield _ordered(state, state.jobs[entry[1]], group, node, len(batch))
        order.dispatched(line, [waiting])
        groups = [group for group in groups if room(group)]


def by_fraction(state: State) -> Ranker:
    """Ranks a line by the wait fraction of its first job: exact, in integers, by a common multiple of all SLOs."""
    slos, now_ms = state.slos, state.now_ms
    common_ms = lcm(*slos.values())

    def rank(line: Line, entry: Entry) -> Rank:
        return (-(now_ms - entry[0]) * (common_ms // slos[line.tier]), entry[1])

    return rank


def overdue_turn(state: State) -> tuple[Line, Entry] | None:
    """The job that has been overdue the longest, if it is the turn of overdue jobs, and the job's line."""
    line = preparing.overdue(state) if state.preparing.since >= preparing.TURN - 1 else None
    return (line, line.entries[line.start]) if line is not None else None


def room(group: Group) -> int:
    """The workers of the group that could begin a preparation now, as a mask: those with a free slot, and cordoned ones
    that may be tried."""
    return group.free | group.trial if backpressure.takes_work(group.cluster) else 0


def choose(groups: Sequence[Group]) -> tuple[Group, str]:
    """The worker that gets the next preparation. At least one group, each with room."""
    best, *others = groups
    for group in others:
        if _goes_before(group, best):
            best = group
    return best, _first_of(best)


def _goes_before(one: Group, other: Group) -> bool:
    """A free slot goes before a try, then an emptier cluster before a fuller one, then the lesser node id."""
    if (one.free == 0) != (other.free == 0):
        return one.free != 0
    fuller = len(one.cluster.open) * other.cluster.slots - len(other.cluster.open) * one.cluster.slots
    return fuller < 0 or (fuller == 0 and _first_of(one) < _first_of(other))


def _first_of(group: Group) -> str:
    return placement.first_of(group, group.free or group.trial)


def _ordered(state: State, job: Job, group: Group, node: str, index: int) -> Event:
    return PreparationOrdered(
        job=job.job,
        preparation=dispatch_id(state.epoch, state.seq, index),
        node=node,
        session=state.nodes[node].session,
        cluster=group.cluster.name,
        waited_ms=state.now_ms - job.submitted_ms,
        slo_ms=state.slos[job.tier],
        limit=group.cluster.limit,
        open=backpressure.in_flight(group.cluster) + 1,
    )
