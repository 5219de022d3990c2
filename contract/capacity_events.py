"""What happened to nodes and clusters: the events about capacity in a pool's ledger (see contract.events)."""

from __future__ import annotations

import msgspec

from contract.policy import CLUSTER_KINDS


class NodeAdmitted(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeAdmitted.v1"):
    """The node has joined with this session: the scheduler may place attempts on its slots."""

    node: str
    session: str
    cluster: str
    chipset: str
    slots: int
    gpus: int
    memory_mib: int
    cached: tuple[str, ...]
    address: str = ""
    """Where other nodes reach rank 0 of a gang on this node; see NodeJoined."""
    holds: int = 0
    """The most attempts, running and staged, that the scheduler sends to the node. 0: admitted by rules before 3, which
    did not ask the node."""
    identity: str = ""
    """The machine's own mark; see NodeJoined. Empty: the node gave none."""
    layers_missing: tuple[str, ...] = ()
    """Which of contract.inputs.LAYERS do not hold on the node. Not empty: the policy trusts its models."""
    kind: str = CLUSTER_KINDS[0]
    """What the node does: one of contract.policy.CLUSTER_KINDS."""


class NodeRefused(msgspec.Struct, frozen=True, tag="NodeRefused.v1"):
    """The node may not join: its cluster is not in this pool, its number of slots or its address is invalid, another
    machine has its name, or the policy does not let the node in."""

    node: str
    session: str
    reason: str
    """unknown_cluster, no_slots, too_many_slots (more than 64), bad_address (no host:port with port 1 to 64535),
    name_taken (another identity has the name, and its lease lasts), revoked (the policy revokes the node's signature),
    no_token (the policy asks for join tokens, the machine is new to the pool, and no token came that is good for it),
    not_confined (layers are missing there, and the policy does not trust models), wrong_kind (its cluster is of another
    kind)."""


class NodeHeard(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeHeard.v1"):
    """The node's heartbeat was read: its lease starts anew."""

    node: str
    session: str
    missing: tuple[str, ...] = ()
    """Dispatch ids of started attempts that the heartbeat does not list, sorted. An attempt that is missing three times
    in a row is closed."""
    unlisted: tuple[str, ...] = ()
    """Dispatch ids of attempts that have not started, whose order is overdue and which the heartbeat does not list,
    sorted. A node that goes on so for a whole lease is deaf."""


class NodeVersionsChanged(msgspec.Struct, frozen=True, tag="NodeVersionsChanged.v1"):
    """The versions loaded in the node's slots, or cached on its disk, are no longer those the ledger knew."""

    node: str
    session: str
    loaded: tuple[str, ...]
    cached: tuple[str, ...]


class NodeSlotsChanged(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeSlotsChanged.v1"):
    """From now on the node can run this many attempts at once, and takes new ones or does not. What is there stays."""

    node: str
    session: str
    usable: int
    """Slots that can run an attempt, 0 to the number with which the node joined."""
    holding: str = ""
    """Why the node takes nothing new for now, one of contract.inputs.HOLDING. Empty: it takes work."""


class NodeDrained(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeDrained.v1"):
    """The node takes no new work from now on."""

    node: str
    session: str
    reason: str = ""
    """deaf: the node is heard and does not hear: it listed none of its orders for a whole lease. not_confined: layers
    are missing there, and the policy trusts models no longer. Empty: it said so itself."""


class NodeCordoned(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeCordoned.v1"):
    """The node is set aside, in whatever session: it gets one job at a time to try it, or nothing."""

    node: str
    cluster: str
    reason: str
    """failures (jobs failed there and succeeded elsewhere; now and then one job tries the node), operator (nothing
    tries it)."""
    jobs: tuple[str, ...] = ()
    """Jobs that failed there and then succeeded on another node, none having succeeded there in between."""
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class NodeUncordoned(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeUncordoned.v1"):
    """The node gets work as any other, and what was held against it is forgotten."""

    node: str
    reason: str
    """success (a job succeeded there), operator, needed (a gang waits that fits nowhere without the node)."""
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class NodeDeparted(msgspec.Struct, frozen=True, tag="NodeDeparted.v1"):
    """The node left of its own will, its new session was refused, or the policy revokes its signature. The events
    before this one closed its attempts."""

    node: str
    session: str


class NodeLost(msgspec.Struct, frozen=True, tag="NodeLost.v1"):
    """The node was not heard for a whole lease. The events after this one close its attempts."""

    node: str
    session: str


class ClusterDraining(msgspec.Struct, frozen=True, omit_defaults=True, tag="ClusterDraining.v1"):
    """The cluster takes no new work; attempts that still run at the deadline are pre-empted."""

    cluster: str
    deadline_ms: int
    """0: attempts are never pre-empted."""
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class ClusterReturned(msgspec.Struct, frozen=True, omit_defaults=True, tag="ClusterReturned.v1"):
    """The cluster takes new work again."""

    cluster: str
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class LimitAdapted(msgspec.Struct, frozen=True, tag="LimitAdapted.v1"):
    """The cluster's limits on attempts dispatched and not started follow the times recorded there (decision 0009)."""

    cluster: str
    limit: int
    """The most of them; the policy's number unless the cluster is adaptive."""
    fetch_ms: int
    """Time from dispatch to start on a slot that was free, smoothed."""
    run_ms: int
    """Time from start to end, smoothed."""
    behind: int = 0
    """Once this many are dispatched and not started, no further attempt is staged behind a running one."""
