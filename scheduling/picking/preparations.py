"""Which jobs CPU workers prepare next. Part of `plan`.

The line whose first job has waited the largest fraction of its SLO is served, whatever discipline decides on slots: a
preparation is short, and a job that is not prepared cannot go. Within the line the tenants take turns. A preparation
goes to the worker that can begin soonest: one with a free slot, else one with the fewest preparations for each slot;
then to the emptiest cluster; then to the least node id. What is open in a cluster never exceeds its limit.

Seam: `is_due`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import lcm

from contract.events import Event, PreparationOrdered
from contract.names import dispatch_id
from scheduling.picking import placement
from scheduling.picking.ranking import Rank, Ranker, Ranking
from scheduling.state import backpressure, sharing
from scheduling.state.jobs import Job
from scheduling.state.nodes import Group
from scheduling.state.pool import Entry, Line, State

REASON = "largest_fraction"


def is_due(state: State) -> bool:
    """Some job waits for a worker, and nobody holds the pool."""
    return state.preparing.kind.waiting > 0 and not state.held


def ordered(state: State, batch: Sequence[Event]) -> Iterator[Event]:
    """Preparations that can begin now. `batch` is the growing list of the record's events."""
    if not is_due(state):
        return
    kind = state.preparing.kind
    groups = placement.groups_with_room(kind)
    order = Ranking(state, [kind], by_fraction, REASON, shifts=False)
    while groups and (choice := order.first()) is not None:
        job = state.jobs[sharing.turn(choice.line)[1]]
        group, node = choose(groups)
        yield _ordered(state, job, group, node, len(batch))
        order.dispatched(choice.line, [kind])
        groups = [group for group in groups if placement.has_room(group)]


def by_fraction(state: State) -> Ranker:
    """Ranks a line by the wait fraction of its first job: exact, in integers, by a common multiple of all SLOs."""
    slos, now_ms = state.slos, state.now_ms
    common_ms = lcm(*slos.values())

    def rank(line: Line, entry: Entry) -> Rank:
        return (-(now_ms - entry[0]) * (common_ms // slos[line.tier]), entry[1])

    return rank


def choose(groups: Sequence[Group]) -> tuple[Group, str]:
    """The worker that can begin soonest. At least one group, each with room."""
    best: tuple[Group, str] | None = None
    best_level = 0
    for group in groups:
        found = placement.soonest_in(group)
        if found is None:
            continue
        level, mask = found
        node = placement.first_of(group, mask)
        if best is None or (level, _before(group, node, best)) < (best_level, 0):
            best, best_level = (group, node), level
    if best is None:
        raise ValueError("expected a worker with room to choose from, found none")
    return best


def _before(group: Group, node: str, best: tuple[Group, str]) -> int:
    """-1 when this one goes before the best so far at the same level, else 1."""
    one, other = group.cluster, best[0].cluster
    fuller = len(one.open) * other.slots - len(other.open) * one.slots
    return -1 if fuller < 0 or (fuller == 0 and node < best[1]) else 1


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
