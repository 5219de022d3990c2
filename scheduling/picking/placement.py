"""Where a job goes: to the node that fits and can start the job soonest.

The order: a free slot; a cordoned node that may be tried; a place behind others, and of such places the one with the
fewest staged attempts. Then a node that has loaded the version, then one that has cached it, then any; the emptiest
cluster (open attempts / slots, compared as integers); the least node id. A job goes to no node on which it failed while
another could run it (scheduling.state.avoidance).
Nodes that drain or hold off, draining clusters, clusters at their limit and clusters that the policy dropped get
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scheduling.state import avoidance, backpressure
from scheduling.state.jobs import Job
from scheduling.state.nodes import Group
from scheduling.state.pool import RequirementClass, State

FREE, TRIAL, BEHIND = 0, 1, 2
LOADED, CACHED, COLD = 0, 1, 2
"""The rank of a placement is 3 times its level (FREE, TRIAL, or BEHIND and the attempts staged for each slot already),
plus LOADED, CACHED or COLD. Less is sooner."""


def has_room(group: Group) -> bool:
    """Some node of the group could take one more attempt now."""
    return backpressure.room(group) != 0


def groups_with_room(requirement_class: RequirementClass) -> list[Group]:
    """Groups that could take a job of this class now. Jobs of the class have one rank."""
    return [group for group in requirement_class.groups if has_room(group)]


def choose(state: State, groups: Iterable[Group], job: Job) -> tuple[Group, str]:
    """The group and the node to which the job goes. The groups have room, and one of them on a node that the job does
    not avoid. ValueError when none has."""
    avoids = bool(job.avoid) and avoidance.is_in_force(state, job)
    best: Group | None = None
    best_rank = best_mask = best_open = best_slots = 0
    for group in groups:
        where = soonest_in(group, avoidance.banned(state, job, group) if avoids else 0)
        if where is None:
            continue
        level, mask = where
        distance, mask = nearest(group, mask, job.version)
        rank = 3 * level + distance
        cluster = group.cluster
        if best is not None:
            if rank > best_rank:
                continue
            if rank == best_rank:
                fuller = len(cluster.open) * best_slots - best_open * cluster.slots
                if fuller > 0 or (fuller == 0 and first_of(group, mask) > first_of(best, best_mask)):
                    continue
        best, best_rank, best_mask = group, rank, mask
        best_open, best_slots = len(cluster.open), cluster.slots
    if best is None:
        raise ValueError("expected a group with room to choose from, found none")
    return best, first_of(best, best_mask)


def soonest(groups: Iterable[Group]) -> list[tuple[Group, int]]:
    """Where a job would start soonest, whatever is loaded: the nodes with free slots, or else with the fewest staged
    attempts, as groups and masks of nodes. Each of the groups has room."""
    best = -1
    found: list[tuple[Group, int]] = []
    for group in groups:
        where = soonest_in(group)
        if where is None:
            continue
        level, mask = where
        if best < 0 or level < best:
            best, found = level, []
        if level == best:
            found.append((group, mask))
    return found


def soonest_in(group: Group, banned: int = 0) -> tuple[int, int] | None:
    """The best level in this group, which has room, and the nodes that have the level; nodes of the mask `banned` are
    left out. None: there is no room on any other."""
    if mask := group.free & ~banned:
        return FREE, mask
    if mask := group.trial & ~banned:
        return TRIAL, mask
    if not banned:  # the room is behind others
        level = min(group.levels)
        return BEHIND + level, group.levels[level]
    if not backpressure.stages(group.cluster):
        return None
    for level in sorted(group.levels):
        if mask := group.levels[level] & ~banned:
            return BEHIND + level, mask
    return None


def nearest(group: Group, mask: int, version: str) -> tuple[int, int]:
    """How near the version is at best (LOADED, CACHED or COLD), and the nodes of the mask where it is so near."""
    hit = mask & group.loaded.get(version, 0)
    if hit:
        return LOADED, hit
    hit = mask & group.cached.get(version, 0)
    return (CACHED, hit) if hit else (COLD, mask)


def first_of(group: Group, mask: int) -> str:
    """The least node id in a mask that is not 0."""
    return group.ids[(mask & -mask).bit_length() - 1]


def nodes_in(group: Group, mask: int) -> Iterator[str]:
    """Ids of the nodes in the mask, in order."""
    while mask:
        yield first_of(group, mask)
        mask &= mask - 1


def free_slots(state: State, node: str, *, kept: bool = False) -> int:
    """Usable slots of the node that no attempt takes. Slots kept for a gang count only if `kept`."""
    load = state.node_attempts[node]
    return state.nodes[node].usable - load.ranks() - (0 if kept else load.kept)
