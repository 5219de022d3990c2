"""Which nodes could take an attempt now: groups of nodes of one shape, kept in step by `evolve`.

A node has `slots` slots, of which `usable` can run an attempt. Besides what runs in them the node may hold
`staged_per_slot` staged attempts for each usable slot, so that it fetches inputs while the GPU works (design section
4). It never holds more than it said when it joined.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from contract.bounds import HELD_MAX
from contract.inputs import Requirements
from contract.policy import CLUSTER_KINDS, UNLIMITED, Policy
from contract.policy import Cluster as ClusterPolicy
from scheduling.state.gang_members import node_shares
from scheduling.state.nodes import FAILURES, Attempt, ClusterState, Group, Node, NodeLoad, Reservation
from scheduling.state.pool import State

RUN, PREPARE = CLUSTER_KINDS
CPU = "cpu"
"""The one chipset whose slots have no GPUs: a version that also runs there needs no GPU there."""


def holds_of(slots: int, said: int) -> int:
    """The most attempts that a node may hold. `said`: the node's own word; 0 when it said nothing, as nodes of v0.1.0,
    all of which held 4 for each slot and 16. Never less than its slots, never more than contract.bounds.HELD_MAX."""
    return max(slots, min(said or 4 * slots + 16, HELD_MAX))


def fits(requirements: Requirements, group: Group) -> bool:
    """A slot of this shape can run this class. CPU workers run none."""
    return (
        group.kind == RUN
        and group.chipset in requirements.chipsets
        and (group.chipset == CPU or group.gpus >= requirements.gpus)
        and group.memory_mib >= requirements.memory_mib
    )


def cluster_of(state: State, name: str) -> ClusterState:
    """The cluster's record; made when first asked for."""
    cluster = state.clusters.get(name)
    if cluster is None:
        cluster = state.clusters[name] = ClusterState(name)
        adopt(state, cluster)
    return cluster


def policy_of_cluster(state: State, name: str) -> ClusterPolicy | None:
    """What the policy in force says of the cluster; None when it has no such cluster in this pool."""
    entry = state.policy.clusters.get(name) if state.policy is not None else None
    return entry if entry is not None and entry.pool == state.pool else None


def limit_of(state: State, name: str) -> int:
    """The cluster's limit by the policy in force. 0 when the policy has no such cluster in this pool: the cluster's
    nodes keep what they hold and get nothing new."""
    entry = policy_of_cluster(state, name)
    return entry.limit if entry is not None else 0


def kind_of(state: State, name: str) -> str:
    """What the nodes of the cluster do; empty when the policy has no such cluster in this pool."""
    entry = policy_of_cluster(state, name)
    return entry.kind if entry is not None else ""


def changes_kind(state: State, policy: Policy) -> str:
    """A cluster whose nodes would do something else under this policy; empty: there is none. Nodes of a cluster that
    the policy in force does not have may still be there."""
    kinds = {name: entry.kind for name, entry in policy.clusters.items() if entry.pool == state.pool}
    known = {(node.cluster, node.kind) for node in state.nodes.values()}
    known |= {(name, kind_of(state, name)) for name in kinds}
    changed = (name for name, kind in known if kind and name in kinds and kinds[name] != kind)
    return min(changed, default="")


def staged_per_slot_of(state: State, name: str) -> int:
    """Staged attempts that a node of the cluster may hold for each slot. A limit of `none` unbounds staging too."""
    entry = policy_of_cluster(state, name)
    if entry is None:
        return 1
    return UNLIMITED if entry.limit == UNLIMITED and not entry.adaptive else entry.staged_per_slot


def adopt(state: State, cluster: ClusterState) -> None:
    """Take the bounds of the cluster from the policy in force. A cluster that comes, or comes back, is active."""
    was_gone = cluster.limit == 0
    cluster.limit = limit_of(state, cluster.name)
    cluster.behind = max(0, cluster.limit - 1)
    if was_gone and cluster.limit:
        cluster.draining = False
        cluster.deadline_ms = 0
    cluster.adapted_lease_ms = -1
    staged_per_slot = staged_per_slot_of(state, cluster.name)
    if staged_per_slot != cluster.staged_per_slot:
        cluster.staged_per_slot = staged_per_slot
        for node in state.nodes.values():
            if node.cluster == cluster.name:
                refresh(state, node)


def group_of(state: State, node: Node) -> Group:
    key = (node.cluster, node.kind, node.chipset, node.gpus, node.memory_mib)
    group = state.groups.get(key)
    if group is None:
        group = Group(cluster_of(state, node.cluster), node.kind, node.chipset, node.gpus, node.memory_mib)
        state.groups[key] = group
        for requirement_class in state.classes.values():
            if fits(requirement_class.requirements, group):
                requirement_class.groups.append(group)
        if group.kind == PREPARE:
            state.preparing.requirement_class.groups.append(group)
    return group


def admit(state: State, node: Node) -> None:
    """A node that holds nothing yet joins its group."""
    state.nodes[node.node] = node
    load = state.node_attempts[node.node] = NodeLoad()
    load.group = group = group_of(state, node)
    load.level = -1
    load.more = load.kept = 0
    group.cluster.slots += node.usable
    place = bisect_left(group.ids, node.node)
    group.ids.insert(place, node.node)
    _reshape(state, group, place, lambda mask: _insert_bit(mask, place))
    _mark_versions(load, node, True)
    refresh(state, node)


def remove(state: State, node: Node) -> None:
    """A node is gone; attempts that are still open there are closed by the events that follow."""
    del state.nodes[node.node]
    load = state.node_attempts.pop(node.node)
    group = load.group
    group.cluster.slots -= node.usable
    _mark_versions(load, node, False)
    place = bisect_left(group.ids, node.node)
    del group.ids[place]
    _reshape(state, group, place, lambda mask: _remove_bit(mask, place))


def change_versions(state: State, node: Node, loaded: tuple[str, ...], cached: tuple[str, ...]) -> None:
    load = state.node_attempts[node.node]
    _mark_versions(load, node, False)
    node.loaded = loaded
    node.cached = cached
    _mark_versions(load, node, True)


def change_slots(state: State, node: Node, usable: int) -> None:
    """Another number of the node's slots can run an attempt, or the node has begun or ended to hold off."""
    state.clusters[node.cluster].slots += usable - node.usable
    node.usable = usable
    refresh(state, node)


def refresh(state: State, node: Node) -> None:
    """The node's open attempts, or what it may take, changed."""
    load = state.node_attempts[node.node]
    group, bit, slots, attempts = load.group, load.bit, node.usable, load.ranks()
    others = ~bit
    suspect = state.suspects.get(node.node) if state.suspects else None
    is_cordoned = suspect is not None and suspect.cordoned != ""
    if (group.able & bit != 0) != (slots > 0 and not node.draining and not is_cordoned):
        group.able ^= bit
    group.free &= others
    group.stageable &= others
    group.parked &= others
    if group.trial or group.kept:  # rarely
        group.trial &= others
        group.kept &= others
    if load.level >= 0:
        _unlist(group.levels, load.level, bit)
        load.level = -1
    if attempts > slots:
        group.parked |= bit
    if not node.takes_new():
        return
    if suspect is not None and is_cordoned:
        if slots and not attempts and suspect.cordoned == FAILURES and suspect.rests_until_lease_ms <= state.lease_ms:
            group.trial |= bit
        return
    if attempts + load.kept < slots:
        group.free |= bit
    elif load.kept:
        if attempts < slots:
            group.kept |= bit
    elif attempts < slots + slots * group.cluster.staged_per_slot and len(load) < node.holds:
        group.stageable |= bit
        load.level = attempts // slots - 1
        group.levels[load.level] = group.levels.get(load.level, 0) | bit


def is_cordoned(state: State, node: str) -> bool:
    """The node is set aside. What it is sent now is a try, or nothing."""
    suspect = state.suspects.get(node)
    return suspect is not None and suspect.cordoned != ""


def _unlist(masks: dict[Any, int], key: Any, bit: int) -> None:
    mask = masks[key] & ~bit
    if mask:
        masks[key] = mask
    else:
        del masks[key]


def open_attempt(state: State, attempt: Attempt) -> None:
    """The attempt is dispatched and not started: it counts for its cluster and takes room on its nodes."""
    cluster = state.clusters[attempt.cluster]
    cluster.open[attempt.job] = attempt
    cluster.staged[attempt.job] = attempt
    for share in node_shares(attempt):
        load = state.node_attempts[share.node]
        load[attempt.job] = attempt
        load.more += len(share.ranks) - 1
        refresh(state, state.nodes[share.node])


def keep(state: State, reservation: Reservation) -> None:
    """Slots of these nodes are kept for a gang."""
    state.reserved[reservation.cluster] = reservation
    _count_kept(state, reservation, 1)


def release(state: State, reservation: Reservation) -> None:
    """The slots are kept no longer. Nodes may be gone."""
    del state.reserved[reservation.cluster]
    _count_kept(state, reservation, -1)


def _count_kept(state: State, reservation: Reservation, sign: int) -> None:
    for member in reservation.members:
        node = state.nodes.get(member.node)
        if node is not None and node.session == member.session:
            state.node_attempts[node.node].kept += sign
            refresh(state, node)


def start_attempt(state: State, attempt: Attempt, version: str) -> None:
    """The attempt runs: it counts for the limit no longer, and its nodes have loaded the version from here on."""
    settle_started(state, attempt)
    for share in node_shares(attempt):
        node = state.nodes[share.node]
        if version in node.cached and version in node.loaded and (node.slots > 1 or len(node.loaded) == 1):
            continue
        loaded = (version,) if node.slots == 1 else tuple(sorted({*node.loaded, version}))
        change_versions(state, node, loaded, tuple(sorted({*node.cached, version})))


def settle_started(state: State, attempt: Attempt) -> None:
    """The open attempt has started: it counts for the limit no longer."""
    state.clusters[attempt.cluster].staged.pop(attempt.job, None)


def close_attempt(state: State, attempt: Attempt) -> None:
    """The attempt is closed, started or not. Its nodes may be gone already."""
    cluster = state.clusters[attempt.cluster]
    cluster.staged.pop(attempt.job, None)
    cluster.open.pop(attempt.job, None)
    for share in node_shares(attempt):
        node = state.nodes.get(share.node)
        if node is not None and node.session == share.session:
            load = state.node_attempts[share.node]
            del load[attempt.job]
            load.more -= len(share.ranks) - 1
            refresh(state, node)


def _mark_versions(load: NodeLoad, node: Node, present: bool) -> None:
    group, bit = load.group, load.bit
    for masks, versions in ((group.loaded, node.loaded), (group.cached, node.cached)):
        for version in versions:
            if present:
                masks[version] = masks.get(version, 0) | bit
            else:
                _unlist(masks, version, bit)


def _reshape(state: State, group: Group, place: int, change: Callable[[int], int]) -> None:
    """A node came or went at this place: every node from there on has another bit. O(nodes) for each mask."""
    for number in range(place, len(group.ids)):
        state.node_attempts[group.ids[number]].bit = 1 << number
    group.free = change(group.free)
    group.kept = change(group.kept)
    group.stageable = change(group.stageable)
    group.parked = change(group.parked)
    group.able = change(group.able)
    group.trial = change(group.trial)
    all_masks: tuple[dict[Any, int], ...] = (group.loaded, group.cached, group.levels)
    for masks in all_masks:
        for key in list(masks):
            mask = change(masks[key])
            if mask:
                masks[key] = mask
            else:
                del masks[key]


def _insert_bit(mask: int, place: int) -> int:
    low = mask & ((1 << place) - 1)
    return low | ((mask ^ low) << 1)


def _remove_bit(mask: int, place: int) -> int:
    low = mask & ((1 << place) - 1)
    return low | ((mask >> (place + 1)) << place)
