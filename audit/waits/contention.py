"""Why a job that may be picked stands in its line: what holds each slot on which the job could run, by the state alone.

A taken slot is blamed on its holder: on the time before the job could be picked, or on the job that was picked first. A
free slot is blamed on what keeps it free. A limit is a cause only where it keeps a slot empty: one more attempt staged
behind a running attempt would have started nothing sooner.

A wait of an hour has a hundred thousand stretches, and a pool has thousands of slots. So the blame is kept from stretch
to stretch, and only nodes whose attempts changed are looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from functools import lru_cache

from audit.waits.causes import Cause, CauseGroup
from contract.names import dispatch_order
from scheduling.state.avoidance import is_in_force
from scheduling.state.backpressure import in_flight
from scheduling.state.capacity import fits
from scheduling.state.gang_members import ranks_on
from scheduling.state.nodes import Attempt, Group, Node
from scheduling.state.pool import State

DispatchPlace = tuple[int, int, int]
"""A dispatch's place in the ledger: (epoch, seq, index)."""

place_of = lru_cache(maxsize=65_536)(dispatch_order)


class Contention:
    """The slots that one job waits for, from the moment when the job may be picked until it is picked."""

    def __init__(self, job: str, since: DispatchPlace | None, passed: Set[str]) -> None:
        """`since` is the place in the ledger from which on the job could be picked; None if it could not until just
        now. `passed` are the dispatches that look-ahead put before the job; the caller adds to them."""
        self._job, self._since, self._passed = job, since, passed
        self._ranks = 1
        self._fixed: dict[Cause, int] = {}
        """Slots of draining clusters, and of nodes that take nothing new."""
        self._held: dict[Cause, int] = {}
        """Taken slots by cause."""
        self._nodes: dict[str, tuple[Group, list[Cause]]] = {}
        """Each node that fits, with the cause of each taken slot there."""
        self._free: dict[str, int] = {}
        """Free slots by node."""
        self._leaving = False
        """A node that fits drains."""
        self.jobs: dict[Cause, set[str]] = {}
        """Jobs that went first, by cause, since the caller last cleared this."""

    def look(self, state: State) -> None:
        """Looks at every node: the first time, and when nodes, clusters or the policy changed."""
        self._fixed.clear()
        self._held.clear()
        self._nodes.clear()
        self._free.clear()
        self._leaving = False
        requirements = state.versions[state.jobs[self._job].version].requirements
        self._ranks = requirements.ranks
        for group in state.groups.values():
            cluster = group.cluster
            if not fits(requirements, group) or not (cluster.limit or cluster.draining):
                continue
            for name in group.ids:
                node = state.nodes[name]
                if node.draining:
                    self._leaving = True
                elif cluster.draining:
                    self._fix(Cause(CauseGroup.DRAINING, cluster=cluster.name), node.slots)
                elif reason := _set_aside(state, node):
                    self._fix(Cause(CauseGroup.SET_ASIDE, cluster=cluster.name, reason=reason), node.slots)
                else:
                    self._nodes[name] = (group, [])
                    self._look_at(state, name)

    def _fix(self, cause: Cause, slots: int) -> None:
        self._fixed[cause] = self._fixed.get(cause, 0) + slots

    def look_again(self, state: State, nodes: Set[str]) -> None:
        """Looks at nodes whose attempts changed."""
        for name in nodes & self._nodes.keys():
            self._look_at(state, name)

    def _look_at(self, state: State, name: str) -> None:
        node, (_, blamed) = state.nodes[name], self._nodes[name]
        for cause in blamed:
            self._held[cause] -= 1
        blamed.clear()
        for attempt in held_by(state, node):
            cause = self._to_blame(state, attempt)
            blamed.append(cause)
            self._held[cause] = self._held.get(cause, 0) + 1
        free = node.usable - len(blamed)
        if free > 0:
            self._free[name] = free
        else:
            self._free.pop(name, None)

    def _to_blame(self, state: State, attempt: Attempt) -> Cause:
        if self._since is None or place_of(attempt.dispatch) < self._since:
            return Cause(CauseGroup.BUSY)
        holder = state.jobs[attempt.job]
        if attempt.dispatch in self._passed:
            cause = Cause(CauseGroup.PASSED_OVER, tier=holder.tier)
        else:
            cause = Cause(CauseGroup.OUTRANKED, tier=holder.tier, tenant=holder.tenant)
        self.jobs.setdefault(cause, set()).add(attempt.job)
        return cause

    def weights(self, state: State) -> dict[Cause, int]:
        """How many of the slots each cause holds now."""
        found = {cause: slots for cause, slots in self._held.items() if slots}
        found |= self._fixed
        for name in self._free:
            for cause, slots in self._of_free(state, name):
                found[cause] = found.get(cause, 0) + slots
        return found or {Cause(CauseGroup.NO_NODE, reason="leaving" if self._leaving else "none"): 1}

    def _of_free(self, state: State, name: str) -> Iterator[tuple[Cause, int]]:
        free, cluster = self._free[name], self._nodes[name][0].cluster
        if in_flight(cluster) >= cluster.limit:
            yield Cause(CauseGroup.LIMIT, cluster=cluster.name), free
            return
        reservation = state.reserved.get(cluster.name)
        gangs: list[str] = []
        if reservation is not None and reservation.job != self._job:
            gangs = [reservation.job for member in reservation.members if member.node == name][:free]
        for gang in gangs:
            tenant = state.jobs[gang].tenant if gang in state.jobs else ""
            yield Cause(CauseGroup.GANG_KEPT, job=gang, tenant=tenant), 1
        if free > len(gangs) and self._is_avoided(state, name):
            yield Cause(CauseGroup.SET_ASIDE, cluster=cluster.name, reason="avoided"), free - len(gangs)
        elif free > len(gangs):
            yield Cause(CauseGroup.GATHERING if self._ranks > 1 else CauseGroup.DECIDING), free - len(gangs)

    def _is_avoided(self, state: State, name: str) -> bool:
        job = state.jobs[self._job]
        return any(avoided.node == name for avoided in job.avoid) and is_in_force(state, job)


def _set_aside(state: State, node: Node) -> str:
    """Why the node takes nothing new for now; empty: it does."""
    suspect = state.suspects.get(node.node)
    return (suspect.cordoned if suspect is not None else "") or node.holding or ("" if node.usable else "slots")


def held_by(state: State, node: Node) -> list[Attempt]:
    """The attempts that hold the node's usable slots, a gang once for each rank: attempts that run first, then
    attempts in the order of dispatch."""
    held = state.node_attempts[node.node]
    attempts = list(held.values())
    if len(attempts) > node.usable:
        attempts.sort(key=lambda attempt: (not attempt.started, place_of(attempt.dispatch)))
    if held.more:
        attempts = [attempt for attempt in attempts for _ in range(ranks_on(attempt, node.node))]
    return attempts[: node.usable]


def at_its_node(state: State, attempt: Attempt, version: str) -> tuple[Cause, str]:
    """What a staged attempt waits for, and the job ahead of it if that is the cause."""
    node = state.nodes.get(attempt.node)
    if node is None:
        return Cause(CauseGroup.ORDER), ""
    holders = held_by(state, node)
    if not holders:
        return Cause(CauseGroup.SET_ASIDE, cluster=attempt.cluster, reason="slots"), ""
    if attempt not in holders:
        ahead = holders[0].job
        return Cause(CauseGroup.STAGED_BEHIND, cluster=attempt.cluster, tenant=state.jobs[ahead].tenant), ahead
    return Cause(CauseGroup.ORDER if version in node.loaded else CauseGroup.VERSION), ""
