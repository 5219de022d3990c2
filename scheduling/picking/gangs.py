"""Gangs: attempts of several ranks, each in a slot of its own, in one cluster, all or nothing.

A gang is never staged behind anything: it goes only to slots that are free now. Of the clusters that can hold the
gang, it goes to the one where it needs the fewest nodes; then to the one where more ranks find their version loaded, or
else cached; then to the emptiest; then to the least name. Within the cluster it goes to one node if one has the room:
the node with the version nearest, then the node that keeps the fewest slots free, then the least id. Else it goes to
the nodes with the most free slots. Rank 0 of a gang on several nodes runs on the first node that has an address.

A gang that failed avoids the nodes that failed it: it goes elsewhere, or slots are kept for it elsewhere, and only if
neither can be, it goes where it failed. A gang tries no cordoned node.

When the turn of a gang has come and the gang fits nowhere, slots are kept for it (`reservations`): for one gang of a
class, and for one gang in a cluster, at a time. The gang is dispatched before any other job as soon as it fits, its
kept slots included.

Seam: `ready`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from scheduling.picking import placement, reservations
from scheduling.state import backpressure, gang_members
from scheduling.state.jobs import Job
from scheduling.state.nodes import FAILURES, ClusterState, Group
from scheduling.state.pool import RequirementClass, State

Spot = tuple[int, int, str]
"""A node with free slots: minus their number (so that the most come first), COLD, CACHED or LOADED, the node's id."""


class ChosenNodes(NamedTuple):
    """Where a gang goes."""

    group: Group
    """The group of rank 0's node."""
    nodes: tuple[str, ...]
    """The node of each rank."""


def is_gang(requirement_class: RequirementClass) -> bool:
    return requirement_class.requirements.ranks > 1


def on_offer(state: State, requirement_class: RequirementClass) -> list[Group]:
    """Groups that have room for one rank of this class of gangs, in clusters that can hold the gang now or could keep
    slots for it. Wherever a slot is given away there, the discipline says to whom."""
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
    """A gang of so many ranks fits now in these groups of one cluster."""
    free = (node for group in groups for node in placement.nodes_in(group, group.free))
    return gang_members.hold(((state.nodes[node], placement.free_slots(state, node)) for node in free), ranks)


def choose(
    state: State, requirement_class: RequirementClass, version: str, own: str = "", banned: Collection[str] = ()
) -> ChosenNodes | None:
    """Where a gang of this class goes now; None: it fits nowhere. `own`: the cluster whose kept slots are the
    gang's. No rank goes to a node that is `banned`."""
    best: tuple[tuple[int, int, Fraction, str], tuple[str, ...]] | None = None
    for cluster, groups in _by_cluster(requirement_class.groups):
        if not backpressure.takes_work(cluster):
            continue
        ranks = requirement_class.requirements.ranks
        nodes = _gather(state, groups, version, ranks, banned, kept=cluster.name == own)
        if not nodes:
            continue
        missing = sum(_distance(state, node, version) for node in nodes)
        rank = (len(set(nodes)), missing, Fraction(len(cluster.open), cluster.slots), cluster.name)
        if best is None or rank < best[0]:
            best = rank, nodes
    return ChosenNodes(state.node_attempts[best[1][0]].group, best[1]) if best is not None else None


def ready(state: State) -> Iterator[tuple[Job, ChosenNodes]]:
    """Gangs that slots were kept for and that fit now. Each is dispatched before the next is looked at. A gang for
    which slots are kept where it never failed waits for these."""
    for name in sorted(state.reserved):
        reservation = state.reserved[name]
        job = state.jobs[reservation.job]
        banned = avoided(job) - {member.node for member in reservation.members}
        requirement_class = state.lines[job.version, job.tier].requirement_class
        chosen = choose(state, requirement_class, job.version, name, banned)
        if chosen is not None:
            yield job, chosen


def needed(state: State) -> list[str]:
    """Nodes cordoned for failures without which no cluster could ever hold a gang that waits: they are cordoned no
    longer, or the gang would wait for ever."""
    cordoned = {name for name in state.nodes if _is_tried(state, name)} if state.suspects else set()
    if not cordoned:
        return []
    for requirement_class in state.classes.values():
        if not is_gang(requirement_class) or not requirement_class.waiting:
            continue
        clusters = [(c, groups) for c, groups in _by_cluster(requirement_class.groups) if c.limit and not c.draining]
        ranks = requirement_class.requirements.ranks
        if any(_could_hold(state, groups, ranks, cordoned) for _, groups in clusters):
            continue
        for _, groups in clusters:
            if _could_hold(state, groups, ranks, frozenset()):
                return sorted(cordoned & {name for group in groups for name in group.ids})
    return []


def _is_tried(state: State, name: str) -> bool:
    suspect = state.suspects.get(name)
    return suspect is not None and suspect.cordoned == FAILURES


def _could_hold(state: State, groups: Sequence[Group], ranks: int, without: Collection[str]) -> bool:
    nodes = (state.nodes[name] for group in groups for name in group.ids if name not in without)
    return gang_members.hold(((node, node.usable) for node in nodes if node.usable and not node.draining), ranks)


def avoided(job: Job) -> frozenset[str]:
    """The nodes on which the job failed."""
    return frozenset(avoided.node for avoided in job.avoid)


def _by_cluster(all_groups: Collection[Group]) -> Iterator[tuple[ClusterState, list[Group]]]:
    clusters: dict[str, list[Group]] = {}
    for group in all_groups:
        if group.ids:
            clusters.setdefault(group.cluster.name, []).append(group)
    for name in sorted(clusters):
        yield clusters[name][0].cluster, clusters[name]


def _gather(
    state: State, groups: Sequence[Group], version: str, ranks: int, banned: Collection[str], *, kept: bool = False
) -> tuple[str, ...]:
    """The node of each rank, of these groups of one cluster; empty when the gang does not fit now."""
    spots: list[Spot] = []
    for group in groups:
        for node in placement.nodes_in(group, group.free | group.kept if kept else group.free):
            free = placement.free_slots(state, node, kept=kept)
            if node not in banned:
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
    """host:port of rank 0, for the dispatch with this place in the record; empty when all ranks are on one node."""
    if len(set(nodes)) == 1:
        return ""
    return gang_members.rendezvous(state.nodes[nodes[0]], state.node_attempts[nodes[0]], state.seq + index)
