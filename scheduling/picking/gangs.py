"""Gangs: attempts of several ranks, each in a slot of its own, in one cluster, all or nothing.

A gang is never staged behind anything: it goes only to slots that are really free. Of the clusters that hold it, the
one where it needs the fewest nodes; then where more ranks find their version loaded, or else cached; then the emptiest;
then the least name. On one node, if one has the room: the one with the version at hand, then the one that leaves the
fewest slots over, then the least id. Else the nodes with the most free slots first. Rank 0 of a gang on several nodes
runs on a node that others can reach (its address), the first of them.

A gang whose turn it is, and which fits nowhere now, has slots kept for it (`reservations`): one gang of a class, and
one in a cluster, at a time. It is dispatched as soon as it fits, its own kept slots included, before any other job.

Seam: `ready`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from scheduling.picking import placement, reservations
from scheduling.state import backpressure, gang_members
from scheduling.state.jobs import Job
from scheduling.state.nodes import ClusterState, Group
from scheduling.state.pool import RequirementClass, State

Spot = tuple[int, int, str]
"""Of a node with free slots: how many (negative: the most first), COLD, CACHED or LOADED, and its id."""


class ChosenNodes(NamedTuple):
    """Where a gang goes."""

    group: Group
    """Of rank 0's node."""
    nodes: tuple[str, ...]
    """The node of each rank."""


def is_gang(requirement_class: RequirementClass) -> bool:
    return requirement_class.requirements.ranks > 1


def on_offer(state: State, requirement_class: RequirementClass) -> list[Group]:
    """Groups with room for a job of this class of gangs, if it were one of a single rank, in clusters that hold the
    gang now or could keep slots for it: when a slot is given away there, it is for the discipline to say to whom."""
    if not requirement_class.waiting or reservations.of_class(state, requirement_class):
        return []
    found: list[Group] = []
    for cluster, groups in _by_cluster(requirement_class.groups):
        if backpressure.takes_work(cluster):
            able = _holds(state, groups, requirement_class.requirements.ranks) or reservations.may_keep(
                state, requirement_class, cluster
            )
            found += [group for group in groups if able and placement.has_room(group)]
    return found


def _holds(state: State, groups: Sequence[Group], ranks: int) -> bool:
    """The gang fits now in these groups of one cluster."""
    free = (node for group in groups for node in placement.nodes_in(group, group.free))
    return gang_members.hold(((state.nodes[node], placement.free_slots(state, node)) for node in free), ranks)


def choose(state: State, requirement_class: RequirementClass, version: str, own: str = "") -> ChosenNodes | None:
    """Where a gang of this class goes now; None: it fits nowhere. In its `own` cluster, kept slots are kept for it."""
    best: tuple[tuple[int, int, Fraction, str], tuple[str, ...]] | None = None
    for cluster, groups in _by_cluster(requirement_class.groups):
        if not backpressure.takes_work(cluster):
            continue
        nodes = _gather(state, groups, version, requirement_class.requirements.ranks, kept=cluster.name == own)
        if not nodes:
            continue
        missing = sum(_distance(state, node, version) for node in nodes)
        rank = (len(set(nodes)), missing, Fraction(len(cluster.open), cluster.slots), cluster.name)
        if best is None or rank < best[0]:
            best = rank, nodes
    return ChosenNodes(state.node_attempts[best[1][0]].group, best[1]) if best is not None else None


def ready(state: State) -> Iterator[tuple[Job, ChosenNodes]]:
    """Gangs that slots were kept for and that fit now. Each is dispatched before the next is looked at."""
    for name in sorted(state.reserved):
        job = state.jobs[state.reserved[name].job]
        chosen = choose(state, state.lines[job.version, job.tier].requirement_class, job.version, name)
        if chosen is not None:
            yield job, chosen


def _by_cluster(all_groups: Collection[Group]) -> Iterator[tuple[ClusterState, list[Group]]]:
    clusters: dict[str, list[Group]] = {}
    for group in all_groups:
        if group.ids:
            clusters.setdefault(group.cluster.name, []).append(group)
    for name in sorted(clusters):
        yield clusters[name][0].cluster, clusters[name]


def _gather(state: State, groups: Sequence[Group], version: str, ranks: int, *, kept: bool = False) -> tuple[str, ...]:
    """The node of each rank, of these groups of one cluster; empty when the gang does not fit now."""
    spots: list[Spot] = []
    for group in groups:
        for node in placement.nodes_in(group, group.free | group.kept if kept else group.free):
            free = placement.free_slots(state, node, kept=kept)
            spots.append((-free, _distance(state, node, version), node))
    if -sum(spot[0] for spot in spots) < ranks:
        return ()
    whole = min(((distance, -free, node) for free, distance, node in spots if -free >= ranks), default=None)
    if whole is not None:
        return (whole[2],) * ranks
    spots.sort()
    first = next((spot for spot in spots if state.nodes[spot[2]].address), None)
    if first is None:
        return ()
    spots.remove(first)
    nodes = [node for free, _, node in (first, *spots) for _ in range(-free)]
    return tuple(nodes[:ranks])


def _distance(state: State, node: str, version: str) -> int:
    """How far the version is: loaded on the node, cached, or cold."""
    known = state.nodes[node]
    if version in known.loaded:
        return placement.LOADED
    return placement.CACHED if version in known.cached else placement.COLD


def rendezvous(state: State, nodes: tuple[str, ...], index: int) -> str:
    """Where rank 0 is reached, for the dispatch with this place in the record; empty when all ranks are on one node."""
    if len(set(nodes)) == 1:
        return ""
    return gang_members.rendezvous(state.nodes[nodes[0]], state.node_attempts[nodes[0]], state.seq + index)
