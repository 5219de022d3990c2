"""Where the ranks of an attempt lie. Each attempt has a rank 0; a gang has more, on its node or others of its cluster.

A gang is one attempt: it opens and closes on all its nodes at once, and counts once against its cluster's limit. On a
node it takes one slot for each of its ranks there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from contract.bounds import RENDEZVOUS_PORTS
from scheduling.state.nodes import Attempt, Node, NodeLoad


class NodeShare(NamedTuple):
    """The ranks of an attempt that one node runs."""

    node: str
    session: str
    ranks: tuple[int, ...]


def node_shares(attempt: Attempt) -> tuple[NodeShare, ...]:
    """One share for each node of the attempt; the node of rank 0 comes first."""
    if not attempt.members:
        return (NodeShare(attempt.node, attempt.session, (0,)),)
    places: dict[tuple[str, str], list[int]] = {(attempt.node, attempt.session): [0]}
    for rank, member in enumerate(attempt.members, start=1):
        places.setdefault((member.node, member.session), []).append(rank)
    return tuple(NodeShare(node, session, tuple(ranks)) for (node, session), ranks in places.items())


def ranks_on(attempt: Attempt, node: str) -> int:
    """Slots that the attempt takes on this node, which must be one of the attempt's."""
    if not attempt.members:
        return 1
    return (attempt.node == node) + sum(member.node == node for member in attempt.members)


def hold(nodes: Iterable[tuple[Node, int]], ranks: int) -> bool:
    """These nodes, each with a number of slots, can hold a gang: one node alone, or several of which one has an address
    for the others. Looks at no more nodes than needed."""
    slots, meet = 0, False
    for node, count in nodes:
        slots += count
        meet = meet or count >= ranks or bool(node.address)
        if meet and slots >= ranks:
            return True
    return False


def is_address(address: str) -> bool:
    """`host:port` with room for RENDEZVOUS_PORTS ports."""
    host, colon, port = address.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) <= 65_536 - RENDEZVOUS_PORTS


def rendezvous(node: Node, load: NodeLoad, place: int) -> str:
    """host:port at which rank 0 of a gang is reached on this node, which holds the attempts in `load`.

    Ports are used in turn: `place`, a number that grows from dispatch to dispatch, says where to begin. Ports of open
    gangs are left out. ValueError when every port is taken."""
    host, _, first = node.address.rpartition(":")
    taken = {attempt.rendezvous for attempt in load.values()}
    for step in range(RENDEZVOUS_PORTS):
        found = f"{host}:{int(first) + (place + step) % RENDEZVOUS_PORTS}"
        if found not in taken:
            return found
    raise ValueError(f"expected a free port of {RENDEZVOUS_PORTS} on node {node.node}, found none; give it fewer slots")
