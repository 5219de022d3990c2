"""What a second implementation of a pick does next in the same state, under `wait_fraction`: sort everything."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from contract.lifecycle import JobState
from contract.policy import UNLIMITED
from scheduling.state.jobs import Job
from scheduling.state.nodes import Node
from scheduling.state.pool import State


def naive_next(state: State) -> tuple[str, str]:
    """What a pick does next, and with which job.

    `reserved`: a gang goes to slots that were kept for it. `dispatch`: the most urgent job goes. `keep`: the most
    urgent job is a gang, and slots are kept for it. `back_fill`: a job goes to a slot that is kept.
    """
    for name in sorted(state.reserved):
        job = state.jobs[state.reserved[name].job]
        without = {entry.node for entry in job.avoid} - {member.node for member in state.reserved[name].members}
        if any(_holds(state, job, cluster, name, without) for cluster in state.clusters):
            return "reserved", job.job
    waiting = sorted((_rank(state, job), job) for job in state.jobs.values() if _waits(state, job))
    for _, job in waiting:
        ranks = state.versions[job.version].requirements.ranks
        room = _room(state, job)
        if ranks == 1 and room:
            return "dispatch", job.job
        if ranks > 1 and not _is_kept_for(state, job):
            clusters = {node.cluster for node in room}
            if any(_holds(state, job, cluster) or _may_keep(state, job, cluster) for cluster in clusters):
                return _for_gang(state, job), job.job
    met = set()
    for _, job in waiting:
        if _all_room(state, job) and not _room(state, job):
            continue
        needs = state.versions[job.version].requirements
        kept = [
            n for n in _fitting(state, job) if _takes_work(state, n.cluster) and _kept(state, n) and _free(state, n)
        ]
        if needs.ranks > 1 or not kept or needs in met:
            continue
        met.add(needs)  # a class whose first job is not expected to end in time is out
        run_ms = state.run_ms.get(job.version, 0)
        for node in kept:
            cluster = state.clusters[node.cluster]
            if (
                run_ms
                and not job.avoid
                and state.now_ms + cluster.fetch_ms + run_ms <= state.reserved[cluster.name].free_ms
            ):
                return "back_fill", job.job
    return "", ""


def _for_gang(state: State, job: Job) -> str:
    """A gang goes where it never failed, or slots are kept for it there; else it goes anywhere."""
    avoided = frozenset(entry.node for entry in job.avoid)
    for without in (avoided, frozenset[str]()):
        if any(_holds(state, job, name, without=without) for name in state.clusters):
            return "dispatch"
        if any(_may_keep(state, job, name, without) for name in state.clusters):
            return "keep"
    return ""


def _room(state: State, job: Job) -> list[Node]:
    """The nodes with room for the job. A job of one rank goes to none on which it failed, if any other can run it."""
    avoided = {entry.node for entry in job.avoid}
    others = [
        node
        for node in state.nodes.values()
        if _is_fit(state, job, node)
        and not node.draining
        and node.usable
        and not _is_cordoned(state, node)
        and node.node not in avoided
        and state.clusters[node.cluster].limit
        and not state.clusters[node.cluster].draining
    ]
    if not others or state.versions[job.version].requirements.ranks > 1:
        return _all_room(state, job)
    return [node for node in _all_room(state, job) if node.node not in avoided]


def _all_room(state: State, job: Job) -> list[Node]:
    return [node for node in _fitting(state, job) if _has_room(state, node)]


def _is_cordoned(state: State, node: Node) -> bool:
    return node.node in state.suspects and bool(state.suspects[node.node].cordoned)


def _rank(state: State, job: Job) -> tuple[Fraction, str]:
    return -Fraction(state.now_ms - job.submitted_ms, state.slos[job.tier]), job.job


def _waits(state: State, job: Job) -> bool:
    is_kept = any(kept.job == job.job for kept in state.reserved.values())
    is_queued = job.state is JobState.QUEUED and 0 <= job.eligible_lease_ms <= state.lease_ms
    return is_queued and not is_kept and job.version not in state.withdrawn


def _is_kept_for(state: State, job: Job) -> bool:
    """Whether slots are kept for a gang of the job's class."""
    classes = [state.versions[state.jobs[kept.job].version].requirements for kept in state.reserved.values()]
    return state.versions[job.version].requirements in classes


def _fitting(state: State, job: Job) -> list[Node]:
    ranks = state.versions[job.version].requirements.ranks
    return [
        node
        for node in state.nodes.values()
        if not node.draining
        and not node.holding
        and not (ranks > 1 and (_is_cordoned(state, node) or not node.usable))
        and _is_fit(state, job, node)
    ]


def _is_fit(state: State, job: Job, node: Node) -> bool:
    needs = state.versions[job.version].requirements
    return (
        node.chipset in needs.chipsets
        and (node.chipset == "cpu" or node.gpus >= needs.gpus)
        and node.memory_mib >= needs.memory_mib
    )


def _held(state: State, node: Node) -> int:
    attempts = [job.open for job in state.jobs.values() if job.open is not None]
    return sum((a.node == node.node) + sum(m.node == node.node for m in a.members) for a in attempts)


def _free(state: State, node: Node) -> int:
    return max(0, node.usable - _held(state, node))


def _kept(state: State, node: Node) -> int:
    members = [member for kept in state.reserved.values() for member in kept.members]
    return sum((member.node, member.session) == (node.node, node.session) for member in members)


def _staged(state: State, name: str) -> int:
    return sum(
        job.open is not None and not job.open.started and job.open.cluster == name for job in state.jobs.values()
    )


def _takes_work(state: State, name: str) -> bool:
    cluster = state.clusters[name]
    return not cluster.draining and _staged(state, name) < cluster.limit


def _has_room(state: State, node: Node) -> bool:
    """Whether the node has a slot that is neither taken nor kept or, where no slot is kept, a place behind others."""
    if not _takes_work(state, node.cluster):
        return False
    held, kept = _held(state, node), _kept(state, node)
    assert state.policy is not None
    if _is_cordoned(state, node):
        suspect = state.suspects[node.node]
        rested = suspect.rests_until_lease_ms <= state.lease_ms
        return suspect.cordoned == "failures" and rested and node.usable > 0 and not held
    entry = state.policy.clusters[node.cluster]
    if held + kept < node.usable:
        return True
    is_endless = entry.limit == UNLIMITED and not entry.adaptive
    stages = not kept and _staged(state, node.cluster) < state.clusters[node.cluster].behind
    attempts = [job.open for job in state.jobs.values() if job.open is not None]
    there = sum(node.node in (a.node, *(m.node for m in a.members)) for a in attempts)
    holds_less = is_endless or held < node.usable * (1 + entry.staged_per_slot)
    return stages and holds_less and there < node.holds


def _has_kept_room(state: State, node: Node) -> bool:
    """Whether the node has free slots and all of them are kept."""
    free, kept = _free(state, node), _kept(state, node)
    return 0 < free <= kept and _takes_work(state, node.cluster)


def _holds(state: State, job: Job, cluster: str, own: str = "", without: Collection[str] = ()) -> bool:
    """Whether the gang fits in the cluster now."""
    nodes = [node for node in _fitting(state, job) if node.cluster == cluster and node.node not in without]
    free = {n.node: _free(state, n) - (0 if cluster == own else _kept(state, n)) for n in nodes}
    usable = [node for node in nodes if free[node.node] > 0]
    return _takes_work(state, cluster) and _are_enough(state, job, usable, [free[node.node] for node in usable])


def _may_keep(state: State, job: Job, name: str, without: Collection[str] = ()) -> bool:
    nodes = [node for node in _fitting(state, job) if node.cluster == name and node.node not in without]
    cluster = state.clusters[name]
    is_able = name not in state.reserved and cluster.limit > 0 and not cluster.draining
    return is_able and _are_enough(state, job, nodes, [node.usable for node in nodes])


def _are_enough(state: State, job: Job, nodes: Collection[Node], slots: Collection[int]) -> bool:
    ranks = state.versions[job.version].requirements.ranks
    return bool(slots) and sum(slots) >= ranks and (max(slots) >= ranks or any(node.address for node in nodes))
