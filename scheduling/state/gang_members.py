"""Where the ranks of an attempt lie. Each attempt has a rank 0; a gang has more, on its node or others of its cluster.

A gang is one attempt: it is open or closed everywhere at once, and counts once against its cluster's limit. On a node
it takes a slot for each of its ranks there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from scheduling.state.nodes import Attempt, Node, NodeLoad

PORTS = 1_000
"""Ports of a node, from the one in its address on, at which a rank 0 can be reached."""


class NodeShare(NamedTuple):
    """What one node runs of an attempt."""

    node: str
    session: str
    ranks: tuple[int, ...]


def shares_of(attempt: Attempt) -> tuple[NodeShare, ...]:
    """One for each node of the attempt, that of rank 0 first."""
    if not attempt.members:
        return (NodeShare(attempt.node, attempt.session, (0,)),)
    places: dict[tuple[str, str], list[int]] = {(attempt.node, attempt.session): [0]}
    for rank, member in enumerate(attempt.members, start=1):
        places.setdefault((member.node, member.session), []).append(rank)
    return tuple(NodeShare(node, session, tuple(ranks)) for (node, session), ranks in places.items())


def ranks_on(attempt: Attempt, node: str) -> int:
    """Slots the attempt takes on the node, which is one of its own."""
    if not attempt.members:
        return 1
    return (attempt.node == node) + sum(member.node == node for member in attempt.members)


def hold(nodes: Iterable[tuple[Node, int]], ranks: int) -> bool:
    """These nodes, with so many slots each, can hold a gang: one of them alone, or several of which one can be reached
    by the others. Looks at no more of them than it must."""
    slots, meet = 0, False
    for node, count in nodes:
        slots += count
        meet = meet or count >= ranks or bool(node.address)
        if meet and slots >= ranks:
            return True
    return False


def is_address(address: str) -> bool:
    """`host:port` with room for PORTS ports."""
    host, colon, port = address.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) <= 65_536 - PORTS


def rendezvous(node: Node, load: NodeLoad, place: int) -> str:
    """Where rank 0 of a gang is reached on this node, which holds these attempts. Ports are used in turn: a number that
    grows from dispatch to dispatch (`place`) says where to begin, and those of open gangs are left out."""
    host, _, first = node.address.rpartition(":")
    taken = {attempt.rendezvous for attempt in load.values()}
    for step in range(PORTS):
        found = f"{host}:{int(first) + (place + step) % PORTS}"
        if found not in taken:
            return found
    raise ValueError(f"expected a free port of {PORTS} on node {node.node}, found none; give it fewer slots")
