"""The second book of nodes: which session each node has, and for how much lease time it was not heard (I16)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contract import events as said
from contract.policy import Policy


class KnownNode(msgspec.Struct):
    """A node that has joined and has not left."""

    session: str
    cluster: str
    usable: int
    """Slots that can run an attempt."""
    heard_lease_ms: int
    """Lease time at which the node was heard last."""
    identity: str = ""
    draining: bool = False
    holding: str = ""
    chipset: str = "cpu"
    gpus: int = 0
    memory_mib: int = 0
    kind: str = "run"


class NodeBook:
    """Told of each event of a node; says what is wrong as (invariant, text, job)."""

    def __init__(self, wrong: Callable[[str, str, str], None]) -> None:
        self._wrong = wrong
        self.nodes: dict[str, KnownNode] = {}
        self.lease_ms = 0
        """Lease time so far."""

    def elapse(self, ms: int) -> None:
        """So much lease time passes."""
        self.lease_ms += ms

    def admit(self, event: said.NodeAdmitted, policy: Policy | None) -> None:
        old = self.nodes.get(event.node)
        if old is not None and old.identity and event.identity and old.identity != event.identity:
            self._wrong("I16", f"another machine is admitted as {event.node}, whose lease lasts", "")
        cluster = policy.clusters.get(event.cluster) if policy is not None else None
        if cluster is not None and cluster.kind != event.kind:
            self._wrong("I16", f"{event.node} is admitted to {event.cluster} as a node of another kind", "")
        self.nodes[event.node] = KnownNode(
            event.session,
            event.cluster,
            event.slots,
            self.lease_ms,
            identity=event.identity,
            chipset=event.chipset,
            gpus=event.gpus,
            memory_mib=event.memory_mib,
            kind=event.kind,
        )

    def change_slots(self, event: said.NodeSlotsChanged) -> None:
        node = self.nodes.get(event.node)
        if node is not None:
            node.usable, node.holding = event.usable, event.holding

    def drain(self, event: said.NodeDrained) -> None:
        node = self.nodes.get(event.node)
        if node is not None:
            node.draining = True

    def hear(self, event: said.NodeHeard) -> None:
        node = self.nodes.get(event.node)
        if node is not None:
            node.heard_lease_ms = self.lease_ms

    def depart(self, event: said.NodeDeparted) -> None:
        self.nodes.pop(event.node, None)

    def check_session(self, event: said.JobDispatched | said.PreparationOrdered) -> None:
        """The dispatch names the session that its node has, in the node's cluster, and the node takes new work (I3)."""
        node = self.nodes.get(event.node)
        if node is None or (node.session, node.cluster) != (event.session, event.cluster):
            self._wrong("I3", f"sent to session {event.session}, which no node of {event.cluster} has", event.job)
        elif node.draining or node.holding or not node.usable:
            why = "drains" if node.draining else f"takes nothing new: {node.holding}" if node.holding else "has no slot"
            self._wrong("I3", f"sent to {event.node}, which {why}", event.job)

    def lose(self, event: said.NodeLost, policy: Policy | None, *, caught_up: bool) -> None:
        """A node may be given up only after its lease, and only by a batch that had caught up with `jobs`."""
        node = self.nodes.pop(event.node, None)
        if node is None or node.session != event.session or policy is None:
            self._wrong("I16", f"session {event.session} of {event.node} is called lost and is not there", "")
            return
        silent_ms = self.lease_ms - node.heard_lease_ms
        if silent_ms < policy.node_lease_ms:
            text = f"{event.node} was given up after {silent_ms} ms of lease time, its lease is"
            self._wrong("I16", f"{text} {policy.node_lease_ms} ms", "")
        if not caught_up:
            self._wrong("I16", f"{event.node} was given up by a batch that had not caught up with `jobs`", "")
