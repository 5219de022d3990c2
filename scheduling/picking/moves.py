"""Which staged attempts are called back because another node would start them sooner (`elsewhere`). Part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop
from itertools import islice

from contract.events import Event, RecallOrdered
from contract.lifecycle import JobState
from contract.names import dispatch_order
from scheduling.picking import placement
from scheduling.state import avoidance, backpressure
from scheduling.state.capacity import RUN
from scheduling.state.gang_members import ranks_on
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt, ClusterState, Group
from scheduling.state.pool import State

RECALLS_PER_BATCH_MAX = 32


def recalls(state: State) -> Iterator[Event]:
    """Recalls `elsewhere`: attempts that wait behind others on their node, while a slot that fits stayed free in a
    cluster that takes work, or in their own cluster, whose limit they fill. Oldest job first; no more than there are
    free slots, counting recalls still out. So each recall ends in a start: when it is back, a slot that was free goes
    to the job or to one that goes before it, and no job is passed about while nothing starts (decision 0009)."""
    free = [g for g in state.groups.values() if g.free and g.kind == RUN and _may_fill(g.cluster)]
    if not free or not any(group.parked and group.kind == RUN for group in state.groups.values()):
        return
    staged: list[tuple[int, str]] = []
    for cluster in state.clusters.values():
        if any(_is_better(group, cluster) for group in free):
            held = [job for job, attempt in cluster.staged.items() if not attempt.stop and not attempt.prepares]
            staged += [(state.jobs[job].submitted_ms, job) for job in held]
    if not staged:
        return
    heapify(staged)
    spare = min(_free_slots(state, free) - _recalls_out(state), RECALLS_PER_BATCH_MAX)
    while staged and spare > 0:
        job = state.jobs[heappop(staged)[1]]
        if job.open is not None and _may_move(state, job, job.open, free):
            spare -= 1
            yield RecallOrdered(job=job.job, dispatch=job.open.dispatch, reason="elsewhere")


def _may_fill(cluster: ClusterState) -> bool:
    """The cluster takes work, or would take work if some of its staged attempts came back."""
    return cluster.limit > 0 and not cluster.draining


def _is_better(group: Group, cluster: ClusterState) -> bool:
    """A free slot of the group may take what the cluster holds staged."""
    return group.cluster is cluster or backpressure.takes_work(group.cluster)


def _free_slots(state: State, groups: list[Group]) -> int:
    """Free slots of these groups that are not kept. Of each group only as many nodes are looked at as a batch may
    recall attempts."""
    slots = 0
    for group in groups:
        for node in islice(placement.nodes_in(group, group.free), RECALLS_PER_BATCH_MAX):
            slots += placement.free_slots(state, node)
    return slots


def _recalls_out(state: State) -> int:
    """How many attempts were recalled as `elsewhere` and still wait behind others."""
    attempts = (attempt for cluster in state.clusters.values() for attempt in cluster.staged.values() if attempt.stop)
    return sum(attempt.stop_reason == "elsewhere" and _is_parked(state, attempt) for attempt in attempts)


def _is_parked(state: State, attempt: Attempt) -> bool:
    """The attempt's node holds more attempts than slots."""
    load = state.node_attempts[attempt.node]
    return load.group.parked & load.bit > 0


def _may_move(state: State, job: Job, attempt: Attempt, free: list[Group]) -> bool:
    """The attempt waits behind others and could start in one of these groups instead."""
    if job.state is not JobState.DISPATCHED or attempt.members:
        return False
    if not _is_parked(state, attempt):
        return False
    cluster = state.clusters[attempt.cluster]
    groups = state.lines[job.version, job.tier].requirement_class.groups
    avoids = avoidance.is_in_force(state, job)
    if not any(
        group in groups
        and _is_better(group, cluster)
        and not (avoids and group.free & ~avoidance.banned(state, job, group) == 0)
        for group in free
    ):
        return False
    node = state.nodes[attempt.node]
    before = [held for held in state.node_attempts[node.node].values() if held.started or _came_before(held, attempt)]
    return sum(ranks_on(held, node.node) for held in before) >= node.usable


def _came_before(one: Attempt, other: Attempt) -> bool:
    return dispatch_order(one.dispatch) < dispatch_order(other.dispatch)
