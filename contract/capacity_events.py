"""What happened to nodes and clusters: the events of a pool's ledger about capacity. See contract.events."""

from __future__ import annotations

import msgspec


class NodeAdmitted(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeAdmitted.v1"):
    node: str
    session: str
    cluster: str
    chipset: str
    slots: int
    gpus: int
    memory_mib: int
    cached: tuple[str, ...]
    address: str = ""
    """Where rank 0 of a gang can be reached (NodeJoined)."""
    holds: int = 0
    """Attempts that it is sent at most, running and staged. 0: by rules before 3, which did not ask."""


class NodeRefused(msgspec.Struct, frozen=True, tag="NodeRefused.v1"):
    """A node may not join: its cluster is not of this pool, it has no slot or too many, or its address is none."""

    node: str
    session: str
    reason: str
    """unknown_cluster, no_slots, too_many_slots (at most 64), bad_address (expected host:port, port 1 to 64535)."""


class NodeHeard(msgspec.Struct, frozen=True, tag="NodeHeard.v1"):
    """The node's lease starts anew."""

    node: str
    session: str
    missing: tuple[str, ...] = ()
    """Dispatch ids of started attempts that its heartbeat no longer lists, sorted. Three times in a row closes them."""


class NodeVersionsChanged(msgspec.Struct, frozen=True, tag="NodeVersionsChanged.v1"):
    """What the node has loaded in its slots and cached on its disk differs from what was known."""

    node: str
    session: str
    loaded: tuple[str, ...]
    cached: tuple[str, ...]


class NodeDrained(msgspec.Struct, frozen=True, tag="NodeDrained.v1"):
    """The node takes no new work from here on."""

    node: str
    session: str


class NodeDeparted(msgspec.Struct, frozen=True, tag="NodeDeparted.v1"):
    """The node left by itself; its attempts were closed in the events before this one."""

    node: str
    session: str


class NodeLost(msgspec.Struct, frozen=True, tag="NodeLost.v1"):
    """Not heard for a whole lease; its attempts are closed by the events that follow."""

    node: str
    session: str


class ClusterDraining(msgspec.Struct, frozen=True, tag="ClusterDraining.v1"):
    cluster: str
    deadline_ms: int


class ClusterReturned(msgspec.Struct, frozen=True, tag="ClusterReturned.v1"):
    """The cluster is active again."""

    cluster: str


class LimitAdapted(msgspec.Struct, frozen=True, tag="LimitAdapted.v1"):
    """A cluster's limits on attempts dispatched and not started, by the times recorded there."""

    cluster: str
    limit: int
    """Of all of them: as the policy says, unless the cluster is adaptive."""
    fetch_ms: int
    """From dispatch to start on a slot that was free, smoothed."""
    run_ms: int
    """From start to end, smoothed."""
    behind: int = 0
    """None is staged behind running ones while there are so many."""
