"""Which nodes could take an attempt now: groups of nodes of one shape, kept in step by `evolve`.

A node has `slots` slots and may hold, besides what runs in them, one staged attempt for each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from contract.inputs import Requirements
from scheduling.state import Attempt, Cluster, Group, Held, Node, State

CPU = "cpu"
"""The one chipset whose slots have no GPUs: a version that also runs there needs none there."""
STAGED_PER_SLOT = 1
"""Design section 4: one staged attempt per slot lets the node fetch inputs while the GPU works."""


def fits(requirements: Requirements, group: Group) -> bool:
    """A slot of this shape can run this class."""
    return (
        group.chipset in requirements.chipsets
        and (group.chipset == CPU or group.gpus >= requirements.gpus)
        and group.memory_mib >= requirements.memory_mib
    )


def cluster_of(state: State, name: str) -> Cluster:
    """The cluster's record; made when first asked for."""
    cluster = state.clusters.get(name)
    if cluster is None:
        cluster = state.clusters[name] = Cluster(name)
        cluster.limit = limit_of(state, name)
    return cluster


def limit_of(state: State, name: str) -> int:
    """The cluster's limit by the policy in force; 0 when the policy has no such cluster in this pool: its nodes keep
    what they hold and get nothing new."""
    entry = state.policy.clusters.get(name) if state.policy is not None else None
    return entry.limit if entry is not None and entry.pool == state.pool else 0


def group_of(state: State, node: Node) -> Group:
    key = (node.cluster, node.chipset, node.gpus, node.memory_mib)
    group = state.groups.get(key)
    if group is None:
        group = Group(cluster_of(state, node.cluster), node.chipset, node.gpus, node.memory_mib)
        state.groups[key] = group
        for kind in state.kinds.values():
            if fits(kind.requirements, group):
                kind.groups.append(group)
    return group


def admit(state: State, node: Node) -> None:
    """A node that holds nothing yet joins its group."""
    state.nodes[node.node] = node
    held = state.node_attempts[node.node] = Held()
    held.group = group = group_of(state, node)
    group.cluster.slots += node.slots
    place = bisect_left(group.ids, node.node)
    group.ids.insert(place, node.node)
    _reshape(state, group, place, lambda mask: _insert_bit(mask, place))
    _mark_versions(held, node, True)
    refresh(state, node)


def remove(state: State, node: Node) -> None:
    """A node is gone; attempts that are still open there are closed by the events that follow."""
    del state.nodes[node.node]
    held = state.node_attempts.pop(node.node)
    group = held.group
    group.cluster.slots -= node.slots
    _mark_versions(held, node, False)
    place = bisect_left(group.ids, node.node)
    del group.ids[place]
    _reshape(state, group, place, lambda mask: _remove_bit(mask, place))


def change_versions(state: State, node: Node, loaded: tuple[str, ...], cached: tuple[str, ...]) -> None:
    held = state.node_attempts[node.node]
    _mark_versions(held, node, False)
    node.loaded = loaded
    node.cached = cached
    _mark_versions(held, node, True)


def refresh(state: State, node: Node) -> None:
    """The node's open attempts, or whether it takes work, changed."""
    held = state.node_attempts[node.node]
    group, bit, slots, attempts = held.group, held.bit, node.slots, len(held)
    others = ~bit
    group.free &= others
    group.stageable &= others
    group.parked &= others
    if attempts > slots:
        group.parked |= bit
    if node.draining:
        return
    if attempts < slots:
        group.free |= bit
    elif attempts < slots + slots * STAGED_PER_SLOT:
        group.stageable |= bit


def open_attempt(state: State, attempt: Attempt) -> None:
    """The attempt is dispatched and not started: it counts for its cluster and takes room on its node."""
    cluster = state.clusters[attempt.cluster]
    cluster.open[attempt.job] = attempt
    cluster.staged[attempt.job] = attempt
    state.node_attempts[attempt.node][attempt.job] = attempt
    refresh(state, state.nodes[attempt.node])


def start_attempt(state: State, attempt: Attempt, version: str) -> None:
    """The attempt runs: it no longer counts for the limit, and its node has the version loaded from here on."""
    settle_started(state, attempt)
    node = state.nodes[attempt.node]
    if version in node.cached and version in node.loaded and (node.slots > 1 or len(node.loaded) == 1):
        return
    loaded = (version,) if node.slots == 1 else tuple(sorted({*node.loaded, version}))
    change_versions(state, node, loaded, tuple(sorted({*node.cached, version})))


def settle_started(state: State, attempt: Attempt) -> None:
    """The attempt, which is open, has started: it no longer counts for the limit."""
    state.clusters[attempt.cluster].staged.pop(attempt.job, None)


def close_attempt(state: State, attempt: Attempt) -> None:
    """The attempt no longer counts anywhere, started or not; its node may be gone already."""
    cluster = state.clusters[attempt.cluster]
    cluster.staged.pop(attempt.job, None)
    cluster.open.pop(attempt.job, None)
    node = state.nodes.get(attempt.node)
    if node is not None and node.session == attempt.session:
        del state.node_attempts[attempt.node][attempt.job]
        refresh(state, node)


def _mark_versions(held: Held, node: Node, present: bool) -> None:
    group, bit = held.group, held.bit
    for masks, versions in ((group.loaded, node.loaded), (group.cached, node.cached)):
        for version in versions:
            mask = masks.get(version, 0)
            mask = mask | bit if present else mask & ~bit
            if mask:
                masks[version] = mask
            else:
                masks.pop(version, None)


def _reshape(state: State, group: Group, place: int, change: Callable[[int], int]) -> None:
    """The nodes from this place on stand elsewhere."""
    for number in range(place, len(group.ids)):
        state.node_attempts[group.ids[number]].bit = 1 << number
    group.free = change(group.free)
    group.stageable = change(group.stageable)
    group.parked = change(group.parked)
    for masks in (group.loaded, group.cached):
        for version in list(masks):
            mask = change(masks[version])
            if mask:
                masks[version] = mask
            else:
                del masks[version]


def _insert_bit(mask: int, place: int) -> int:
    low = mask & ((1 << place) - 1)
    return low | ((mask ^ low) << 1)


def _remove_bit(mask: int, place: int) -> int:
    low = mask & ((1 << place) - 1)
    return low | ((mask >> (place + 1)) << place)
