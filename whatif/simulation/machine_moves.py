"""Machines that join, leave and are lost while a simulation runs, and what the scheduler is told of it.

Heartbeats are said where they change a decision, instead of every 5 s: when slots no longer hold what the scheduler
believes, when a node drains, and by every living node at the moment when the lease of a lost node lapses. Leases lapse
in no other batch. So the scheduler decides what it would decide with a heartbeat every 5 s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contract.inputs import Body, NodeLeft
from scheduling.state.pool import State
from whatif.simulation.event_queue import EventQueue, EventRank
from whatif.simulation.machines import FleetMove, Step
from whatif.simulation.nodes import SimulatedNode
from whatif.simulation.site import Site

HEARTBEAT_MS = 5_000
"""A node corrects what the scheduler believes of its slots at least this often."""


class MachineMoves:
    """Makes moves of machines happen at a site."""

    def __init__(
        self,
        site: Site,
        queue: EventQueue,
        state: State,
        versions: Sequence[str],
        say: Callable[[int, Body], None],
        lapsed: Callable[[int], None],
    ) -> None:
        """`versions` are the digests by number of the model; `say` tells the scheduler something; `lapsed` is called
        when a lease has lapsed and every living node has been heard."""
        self._site, self._queue, self._state, self._versions = site, queue, state, versions
        self._say, self._lapsed = say, lapsed
        self._sessions: dict[str, int] = {}
        """How often each node has joined."""
        self.leases_running = 0
        """Lost nodes whose lease has not lapsed."""
        self._beat_is_due = False

    def move(self, at_ms: int, move: FleetMove, lease_ms: int) -> bool:
        """Makes one move happen. True when a node was lost: its lease of `lease_ms` runs from now on."""
        node = self._site.nodes.get(move.node)
        alive = node is not None and node.alive
        if move.machine is not None:
            if node is not None and alive:
                self._site.lose(at_ms, node)  # its process was started anew: the new session closes the old session
            self._sessions[move.node] = life = self._sessions.get(move.node, 0) + 1
            joined = self._site.join(move.machine, f"{move.node}.{self._state.epoch}.{life}", self.left)
            self._say(at_ms, joined.joined())
        elif node is not None and alive and move.step is Step.LOSE:
            self._site.lose(at_ms, node)
            self.leases_running += 1
            self._queue.later(at_ms + lease_ms, EventRank.LAPSED, self._lapse, node)
            return True
        elif node is not None and alive and not node.draining:
            self._site.drain(at_ms, node)
            self._say(at_ms, node.heartbeat(self._versions))
            if node.is_idle:
                self.left(at_ms, node)
        return False

    def left(self, at_ms: int, node: SimulatedNode) -> None:
        """A node that drained has nothing left, and goes."""
        node.alive = False
        self._say(at_ms, NodeLeft(node.machine.node, node.session))

    def _lapse(self, at_ms: int, lost: SimulatedNode) -> None:
        for node in self._site.nodes.values():
            if node.alive:
                self._say(at_ms, node.heartbeat(self._versions))
        self.leases_running -= 1
        if self._site.nodes.get(lost.machine.node) is lost:
            del self._site.nodes[lost.machine.node]
        self._lapsed(at_ms)

    def beat_if_stale(self, now_ms: int) -> None:
        """Nodes whose slots no longer hold what the scheduler believes say so with their next heartbeat."""
        if self._site.stale_loads and not self._beat_is_due:
            self._beat_is_due = True
            self._queue.later(now_ms + HEARTBEAT_MS, EventRank.BEAT, self._beat)

    def _beat(self, at_ms: int) -> None:
        self._beat_is_due = False
        for node in self._site.stale_loads.values():
            if node.alive:
                self._say(at_ms, node.heartbeat(self._versions))
        self._site.stale_loads.clear()
