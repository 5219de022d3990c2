"""Why a job that may be picked stands in its line: what holds each slot on which it could run, by the state alone.

A slot that is taken is to blame on whoever holds it: on the time before the job could be picked, or on the job that
was picked first. A free slot is to blame on what keeps it free. A limit is a cause only where it keeps a slot empty:
one more attempt staged behind a running one would have started nothing sooner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from audit.causes import Cause, Kind
from contract.names import dispatch_order
from scheduling.backpressure import in_flight
from scheduling.capacity import fits
from scheduling.state import Attempt, Group, Node, State

Order = tuple[int, int, int]
"""A place in the ledger, as dispatches have it: (epoch, seq, index)."""

order_of = lru_cache(maxsize=65_536)(dispatch_order)


class Contention:
    """The slots that one job waits for, cause by cause."""

    def __init__(self) -> None:
        self.weights: dict[Cause, int] = {}
        """Slots that each cause held."""
        self.jobs: dict[Cause, set[str]] = {}
        """The jobs that went first, by cause."""

    def blame(self, cause: Cause, slots: int = 1, job: str = "") -> None:
        self.weights[cause] = self.weights.get(cause, 0) + slots
        if job:
            self.jobs.setdefault(cause, set()).add(job)


class Reservations:
    """Slots kept free for gangs, from the events that say so."""

    def __init__(self) -> None:
        self._kept: dict[str, Counter[str]] = {}

    def keep(self, job: str, nodes: tuple[str, ...]) -> None:
        self._kept[job] = Counter(nodes)

    def release(self, job: str) -> None:
        self._kept.pop(job, None)

    def on(self, node: str) -> Iterator[str]:
        """The gang of each slot kept on this node."""
        for job in sorted(self._kept):
            yield from [job] * self._kept[job][node]


def contention(
    state: State, job_id: str, since: Order | None, passed: frozenset[str] | set[str], kept: Reservations
) -> Contention:
    """What holds the slots that fit a job which is queued and may be picked.

    `since` is the place in the ledger from which on it could be picked, None when it could not until just now; `passed`
    are the dispatches that look-ahead put before it."""
    job = state.jobs[job_id]
    requirements = state.versions[job.version].requirements
    found, leaving = Contention(), 0
    for group in state.groups.values():
        if not fits(requirements, group) or not (group.cluster.limit or group.cluster.draining):
            continue
        for name in group.ids:
            node = state.nodes[name]
            if node.draining:
                leaving += node.slots
            elif group.cluster.draining:
                found.blame(Cause(Kind.DRAINING, cluster=group.cluster.name), node.slots)
            else:
                _node(state, job_id, node, group, since, passed, kept, found)
    if not found.weights:
        found.blame(Cause(Kind.NO_NODE, reason="leaving" if leaving else "none"))
    return found


def _node(
    state: State,
    job_id: str,
    node: Node,
    group: Group,
    since: Order | None,
    passed: frozenset[str] | set[str],
    kept: Reservations,
    found: Contention,
) -> None:
    holders = held_by(state, node)
    for attempt in holders:
        holder = state.jobs[attempt.job]
        if since is None or order_of(attempt.dispatch) < since:
            found.blame(Cause(Kind.BUSY))
        elif attempt.dispatch in passed:
            found.blame(Cause(Kind.PASSED_OVER, tier=holder.tier), job=attempt.job)
        else:
            found.blame(Cause(Kind.OUTRANKED, tier=holder.tier, tenant=holder.tenant), job=attempt.job)
    free = node.slots - len(holders)
    if free <= 0:
        return
    if in_flight(group.cluster) >= group.cluster.limit:
        found.blame(Cause(Kind.LIMIT, cluster=group.cluster.name), free)
        return
    gangs = [gang for gang in kept.on(node.node) if gang != job_id][:free]
    for gang in gangs:
        tenant = state.jobs[gang].tenant if gang in state.jobs else ""
        found.blame(Cause(Kind.GANG_KEPT, job=gang, tenant=tenant))
    if free > len(gangs):
        gathers = state.versions[state.jobs[job_id].version].requirements.ranks > 1
        found.blame(Cause(Kind.GATHERING if gathers else Kind.DECIDING), free - len(gangs))


def held_by(state: State, node: Node) -> list[Attempt]:
    """The attempts that hold the node's slots: those that run, then those that were dispatched first."""
    attempts = list(state.node_attempts[node.node].values())
    if len(attempts) > node.slots:
        attempts.sort(key=lambda attempt: (not attempt.started, order_of(attempt.dispatch)))
    return attempts[: node.slots]


def at_its_node(state: State, attempt: Attempt, version: str) -> Cause:
    """What an attempt that was dispatched and has not started waits for."""
    node = state.nodes.get(attempt.node)
    if node is None:
        return Cause(Kind.ORDER)
    holders = held_by(state, node)
    if attempt not in holders:
        ahead = holders[0]
        return Cause(Kind.STAGED_BEHIND, job=ahead.job, tenant=state.jobs[ahead.job].tenant)
    return Cause(Kind.ORDER if version in node.loaded else Kind.VERSION)
