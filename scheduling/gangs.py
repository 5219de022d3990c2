"""Gangs: attempts of several ranks, each in a slot of its own, in one cluster, all or nothing.

A gang is never staged behind anything: it goes only to slots that are really free. Of the clusters that hold it, the
one where it needs the fewest nodes; then where more ranks find their version loaded, or else cached; then the emptiest;
then the least name. On one node, if one has the room: the one with the version at hand, then the one that leaves the
fewest slots over, then the least id. Else the nodes with the most free slots first. Rank 0 of a gang on several nodes
runs on a node that others can reach (its address), the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from scheduling import backpressure, members, placement
from scheduling.state import Cluster, Group, Kind, State

Spot = tuple[int, int, str]
"""Of a node with free slots: how many (negative: the most first), COLD, CACHED or LOADED, and its id."""


def is_gang(kind: Kind) -> bool:
    return kind.requirements.ranks > 1


def groups_with_room(state: State, kind: Kind) -> list[Group]:
    """Groups of the clusters that could take a gang of this class now."""
    found: list[Group] = []
    for cluster, groups in _by_cluster(kind):
        if _gather(state, groups, "", kind.requirements.ranks) and backpressure.takes_work(cluster):
            found += groups
    return found


def choose(state: State, kind: Kind, version: str) -> tuple[Group, tuple[str, ...]]:
    """The node of each rank, rank 0's first, and the group of that one. Some cluster holds the gang now."""
    best: tuple[tuple[int, int, Fraction, str], tuple[str, ...]] | None = None
    for cluster, groups in _by_cluster(kind):
        nodes = _gather(state, groups, version, kind.requirements.ranks)
        if not nodes or not backpressure.takes_work(cluster):
            continue
        missing = sum(_distance(state, node, version) for node in nodes)
        rank = (len(set(nodes)), missing, Fraction(len(cluster.open), cluster.slots), cluster.name)
        if best is None or rank < best[0]:
            best = rank, nodes
    if best is None:
        raise ValueError(f"expected a cluster with room for {kind.requirements.ranks} ranks, found none")
    return state.node_attempts[best[1][0]].group, best[1]


def _by_cluster(kind: Kind) -> Iterator[tuple[Cluster, list[Group]]]:
    clusters: dict[str, list[Group]] = {}
    for group in kind.groups:
        if group.free:
            clusters.setdefault(group.cluster.name, []).append(group)
    for name in sorted(clusters):
        yield clusters[name][0].cluster, clusters[name]


def _gather(state: State, groups: Sequence[Group], version: str, ranks: int) -> tuple[str, ...]:
    """The node of each rank, of these groups of one cluster; empty when the gang does not fit now."""
    spots: list[Spot] = []
    for group in groups:
        for node in placement.nodes_in(group, group.free):
            free = state.nodes[node].slots - state.node_attempts[node].ranks()
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
    return members.rendezvous(state.nodes[nodes[0]], state.node_attempts[nodes[0]], state.seq + index)
