"""Slots kept for a gang whose turn has come and which does not fit yet, and what may use them meanwhile.

The slots kept are those of one cluster that are expected to be free first, judged by what runs there, how long its
versions ran so far, and what is staged behind it. A number of slots is kept on each node, not particular ones: as many
of the node's free slots are the gang's. Nothing new goes to a kept slot, or behind one, except *back-fill*: a job that
is expected to end by `free_ms`, when the last kept slot was expected to be free as the slots were kept (`free_ms` does
not move). So a gang waits for what ran or was staged there when its turn came, and for back-fill that overran. All
other slots of the cluster are anyone's. docs/decisions/0010 has the bound.

Seams: `may_back_fill`, `slot_times`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from contract.events import GangReleased, GangReserved, Member
from scheduling.picking import placement
from scheduling.state import backpressure
from scheduling.state.capacity import is_cordoned
from scheduling.state.gang_members import hold, node_shares
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt, ClusterState, Group, Node, Reservation
from scheduling.state.pool import RequirementClass, State

SlotTime = tuple[int, str]
"""When the slot is expected to be free, and the slot's node."""


def of_class(state: State, requirement_class: RequirementClass) -> Reservation | None:
    """The slots kept for a gang of this class; None: none are."""
    for reservation in state.reserved.values():
        job = state.jobs.get(reservation.job)
        if job is not None and state.lines[job.version, job.tier].requirement_class is requirement_class:
            return reservation
    return None


def may_keep(
    state: State, requirement_class: RequirementClass, cluster: ClusterState, banned: Collection[str] = ()
) -> bool:
    """Slots could be kept for a gang of this class: the cluster takes work, keeps no slots yet, and has enough slots on
    nodes that are not `banned`."""
    if cluster.name in state.reserved or cluster.draining or not cluster.limit:
        return False
    nodes = _nodes(state, requirement_class, cluster, banned)
    return hold(((node, node.usable) for node in nodes), requirement_class.requirements.ranks)


def keep(
    state: State, requirement_class: RequirementClass, job: Job, banned: Collection[str] = ()
) -> GangReserved | None:
    """The slots to keep for a gang that fits nowhere now, in the cluster where they are free first, none on nodes that
    are `banned`. None: no cluster may keep them."""
    best: tuple[int, str, list[SlotTime]] | None = None
    for name in sorted({group.cluster.name for group in requirement_class.groups if group.ids}):
        cluster = state.clusters[name]
        if not may_keep(state, requirement_class, cluster, banned):
            continue
        slots = [
            (at_ms, n.node)
            for n in _nodes(state, requirement_class, cluster, banned)
            for at_ms in slot_times(state, cluster, n)
        ]
        kept = _first_free(state, slots, requirement_class)
        if best is None or (kept[-1][0], name) < best[:2]:
            best = kept[-1][0], name, kept
    if best is None:
        return None
    free_ms, name, kept = best
    nodes = tuple(sorted(node for _, node in kept))
    return GangReserved(job=job.job, cluster=name, nodes=nodes, free_ms=free_ms)


def _nodes(
    state: State, requirement_class: RequirementClass, cluster: ClusterState, banned: Collection[str]
) -> Iterator[Node]:
    """Nodes of the cluster that may run a rank of the class."""
    for group in requirement_class.groups:
        if group.cluster is cluster:
            for name in group.ids:
                node = state.nodes[name]
                if node.takes_new() and node.usable and name not in banned and not is_cordoned(state, name):
                    yield node


def _first_free(state: State, slots: list[SlotTime], requirement_class: RequirementClass) -> list[SlotTime]:
    """As many slots as the gang has ranks, in the order in which they are free; empty when there are not enough.

    If the slots lie on several nodes, one of these has an address. Where no node has one, all slots lie on one node."""
    ranks = requirement_class.requirements.ranks
    slots = sorted(slots)
    found = slots[:ranks]
    if len(found) < ranks:
        return []
    if len({node for _, node in found}) == 1 or any(state.nodes[node].address for _, node in found):
        return found
    reachable = next((slot for slot in slots if state.nodes[slot[1]].address), None)
    if reachable is not None:
        return [*found[:-1], reachable]
    alone: dict[str, list[SlotTime]] = {}
    for slot in slots:
        alone.setdefault(slot[1], []).append(slot)
    return min((on_one[:ranks] for on_one in alone.values() if len(on_one) >= ranks), key=lambda s: s[-1], default=[])


def slot_times(state: State, cluster: ClusterState, node: Node) -> list[int]:
    """For each usable slot of the node: when it is expected to be free of all that the node holds. Sorted."""
    now_ms = state.now_ms
    times = [now_ms] * node.usable
    if not times:
        return []
    held = sorted(state.node_attempts[node.node].values(), key=lambda attempt: (not attempt.started, attempt.job))
    for attempt in held:
        ranks = next(len(share.ranks) for share in node_shares(attempt) if share.node == node.node)
        if attempt.started:
            end_ms = max(now_ms, attempt.started_ms + expected_ms(state, cluster, attempt))
        else:
            end_ms = times[min(ranks, len(times)) - 1] + cluster.fetch_ms + expected_ms(state, cluster, attempt)
        times[:ranks] = [end_ms] * len(times[:ranks])
        times.sort()
    return times


def expected_ms(state: State, cluster: ClusterState, attempt: Attempt) -> int:
    """How long the attempt is expected to run in ms: as long as its version so far, else as long as attempts of the
    cluster, else as long as the version's time limit."""
    version = state.jobs[attempt.job].version
    return state.run_ms.get(version, 0) or cluster.run_ms or state.versions[version].timeout_ms


def may_back_fill(state: State, job: Job, reservation: Reservation) -> bool:
    """The job is expected to end by `free_ms`, when the last kept slot was expected to be free."""
    run_ms = state.run_ms.get(job.version, 0)
    fetch_ms = state.clusters[reservation.cluster].fetch_ms
    return run_ms > 0 and state.now_ms + fetch_ms + run_ms <= reservation.free_ms


def back_fill(state: State, requirement_class: RequirementClass, job: Job) -> tuple[Group, str] | None:
    """The group and the node with a free kept slot that the job may use; None: there is none, or the job avoids nodes.
    Preferred is a node that
    has loaded the job's version, then cached; then the least cluster name; then the least node id."""
    best: tuple[tuple[int, str, str], Group] | None = None
    if job.avoid:
        return None
    for group in with_kept_room(requirement_class):
        if not may_back_fill(state, job, state.reserved[group.cluster.name]):
            continue
        distance, mask = placement.nearest(group, group.kept, job.version)
        rank = (distance, group.cluster.name, placement.first_of(group, mask))
        if best is None or rank < best[0]:
            best = rank, group
    return (best[1], best[0][2]) if best is not None else None


def with_kept_room(requirement_class: RequirementClass) -> list[Group]:
    """Groups that fit the class and have a free slot that is kept, in clusters that take work."""
    return [group for group in requirement_class.groups if group.kept and backpressure.takes_work(group.cluster)]


def releases(state: State) -> Iterator[GangReleased]:
    """The end of each reservation that holds no longer."""
    for name in sorted(state.reserved):
        reservation, cluster = state.reserved[name], state.clusters[name]
        if reservation.job not in state.jobs:
            yield GangReleased(job=reservation.job, reason="ended")
        elif not cluster.limit:
            yield GangReleased(job=reservation.job, reason="policy")
        elif cluster.draining:
            yield GangReleased(job=reservation.job, reason="draining")
        elif not all(_is_there(state, member, reservation) for member in reservation.members):
            yield GangReleased(job=reservation.job, reason="node_gone")
        elif not _can_meet(state, reservation):
            yield GangReleased(job=reservation.job, reason="policy")


def _can_meet(state: State, reservation: Reservation) -> bool:
    """The slots are on one node, or ranks can reach rank 0: the policy may have no network for gangs any more."""
    nodes = {member.node for member in reservation.members}
    return len(nodes) == 1 or any(state.nodes[node].address for node in nodes)


def _is_there(state: State, member: Member, reservation: Reservation) -> bool:
    """The node of a kept slot is there, takes new work, and has as many usable slots as are kept there."""
    node = state.nodes.get(member.node)
    return (
        node is not None
        and node.session == member.session
        and node.takes_new()
        and not is_cordoned(state, member.node)
        and reservation.members.count(member) <= node.usable
    )
