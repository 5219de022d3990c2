"""Where it goes: among the nodes that fit, the one that can start it soonest.

In this order: a slot that is really free before one to be staged behind; a node that has the version loaded, then
cached, then cold; the emptiest cluster (open attempts / slots, compared as integers); the least node id.
Draining nodes and clusters, clusters at their limit and clusters that the policy dropped get nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from scheduling import backpressure
from scheduling.state import Group, Kind


def has_room(kind: Kind) -> bool:
    """Some node could take a job of this class now."""
    return any((group.free or group.stageable) and backpressure.takes_work(group.cluster) for group in kind.groups)


def choose(kind: Kind, version: str) -> tuple[Group, str] | None:
    """The group and the node to send a job of this class and version to; None when nothing has room."""
    best: tuple[int, Group, str] | None = None
    for group in kind.groups:
        if not (group.free or group.stageable) or not backpressure.takes_work(group.cluster):
            continue
        rank, node = _best_node(group, version)
        if best is None or _is_better(rank, group, node, best):
            best = (rank, group, node)
    return None if best is None else best[1:]


def _best_node(group: Group, version: str) -> tuple[int, str]:
    rank, mask = (0, group.free) if group.free else (3, group.stageable)
    loaded = mask & group.loaded.get(version, 0)
    if loaded:
        mask = loaded
    else:
        cached = mask & group.cached.get(version, 0)
        rank += 1 if cached else 2
        mask = cached or mask
    return rank, group.ids[lowest(mask)]


def _is_better(rank: int, group: Group, node: str, best: tuple[int, Group, str]) -> bool:
    if rank != best[0]:
        return rank < best[0]
    mine, other = group.cluster, best[1].cluster
    left, right = len(mine.open) * other.slots, len(other.open) * mine.slots
    if left != right:
        return left < right
    return node < best[2]


def lowest(mask: int) -> int:
    """Place of the lowest bit of a mask that is not 0."""
    return (mask & -mask).bit_length() - 1


def nodes_in(group: Group, mask: int) -> Iterator[str]:
    """Ids of the nodes in the mask, in order."""
    while mask:
        yield group.ids[lowest(mask)]
        mask &= mask - 1
