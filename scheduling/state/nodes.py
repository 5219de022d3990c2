"""Where attempts run: nodes, clusters, and groups of nodes of one shape."""

from __future__ import annotations

import msgspec

from contract.events import Member
from contract.policy import CLUSTER_KINDS
from contract.signers import node_signer


class Attempt(msgspec.Struct, gc=False):
    """The open attempt of a job: where it went and what it was told since."""

    job: str
    attempt: int
    """1, 2, 3…; 0: a preparation, which never starts."""
    dispatch: str
    node: str
    session: str
    cluster: str
    dispatched_ms: int
    to_free: bool = False
    """A slot of the node was free when the attempt was dispatched."""
    started: bool = False
    started_ms: int = 0
    switched: bool = False
    """The node had not loaded the job's version when the attempt started."""
    stop: str = ""
    """The order to stop that is out and not yet obeyed: `recall`, `kill`, or empty."""
    stop_reason: str = ""
    stop_ms: int = 0
    """When the stop was ordered."""
    members: tuple[Member, ...] = ()
    """Slots of ranks 1, 2… of a gang (scheduling.state.gang_members)."""
    rendezvous: str = ""
    """host:port of rank 0, for a gang on several nodes; else empty."""

    @property
    def prepares(self) -> bool:
        """It is a preparation: `dispatch` is its id."""
        return self.attempt == 0


class Node(msgspec.Struct):
    """A node whose session is alive."""

    node: str
    session: str
    cluster: str
    chipset: str
    slots: int
    gpus: int
    memory_mib: int
    heard_lease_ms: int
    """Lease time at which the node was last heard: its lease starts here."""
    loaded: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    draining: bool = False
    address: str = ""
    """host:first port where rank 0 of a gang can be reached; empty: nowhere, or the policy has no network for
    gangs."""
    said_address: str = ""
    """`address` as the node said it when it joined."""
    holds: int = 0
    """The most attempts that the node may hold, running and staged."""
    identity: str = ""
    """The machine's own mark, which no other machine has; empty: an agent of v0.1.0."""
    usable: int = 0
    """Slots that can run an attempt: at most `slots`."""
    holding: str = ""
    """Why the node takes nothing new for now (contract.inputs.HOLDING); empty: it takes work."""
    drained_for: str = ""
    """DEAF: it does not hear its orders. NOT_CONFINED: layers are missing there, and the policy trusts no models. The
    node is told to join anew once it holds nothing. Empty: it said so itself, or does not drain."""
    layers_missing: tuple[str, ...] = ()
    """Which of contract.inputs.LAYERS do not hold there."""
    kind: str = CLUSTER_KINDS[0]
    """What the node does: one of contract.policy.CLUSTER_KINDS."""
    unlisted: dict[str, tuple[int, int]] = {}
    """By dispatch whose order is overdue: how many heartbeats in a row did not list it, and the lease time of the
    first."""
    missed: dict[str, int] = {}
    """By dispatch that has started: how many heartbeats in a row did not list it."""

    def takes_new(self) -> bool:
        """New work may be sent to the node, as far as the node says. What is there stays in any case."""
        return not self.draining and not self.holding

    def is_spoken_for_by(self, signer: str) -> bool:
        """The record is the node's own. Another cluster may have a node of the same name, which can read this one's
        session in `jobs`: it must not speak for this one. Empty: nobody signs here."""
        return not signer or signer == node_signer(self.cluster, self.node)


DEAF, NOT_CONFINED = "deaf", "not_confined"
FAILURES, OPERATOR = "failures", "operator"


class Suspect(msgspec.Struct):
    """A node on which a job failed since one last succeeded there, or that is cordoned. It outlives the node's
    sessions."""

    cluster: str
    case: int
    """A number of its own: a job that failed before the last success there cannot accuse the node."""
    jobs: tuple[str, ...] = ()
    """Jobs that failed there and then succeeded on another node, at most cordons.ACCUSERS."""
    cordoned: str = ""
    """FAILURES, OPERATOR, or empty."""
    tries: int = 0
    """Jobs that failed there since it was cordoned."""
    rests_until_lease_ms: int = 0
    """No job tries the cordoned node before this lease time."""


class FormerNode(msgspec.Struct, frozen=True):
    """A node with sessions that are over: where it joined last, and its last such sessions. Records that name one of
    these sessions are stale."""

    cluster: str
    sessions: tuple[str, ...]
    identity: str = ""
    """Of the machine that had the last of these sessions."""


class Reservation(msgspec.Struct, frozen=True):
    """Slots kept for a gang whose turn has come and which does not fit yet."""

    job: str
    cluster: str
    members: tuple[Member, ...]
    """One for each slot kept."""
    free_ms: int
    """When the last of these slots was expected to be free, as seen when they were kept."""


class ClusterState:
    """A cluster of this pool: whether it takes work, and the open attempts on its nodes.

    `staged` and `open` hold the attempts by job; `evolve` moves them where a job's state moves. The number in flight is
    the length of `staged`: there is no counter that could forget an attempt.
    """

    __slots__ = (
        "adapted_lease_ms",
        "behind",
        "deadline_ms",
        "draining",
        "fetch_ms",
        "limit",
        "name",
        "open",
        "run_ms",
        "slots",
        "staged",
        "staged_per_slot",
        "was_full",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.limit = 0
        """Most attempts dispatched and not started; 0 when the policy in force has no such cluster in this pool."""
        self.behind = 0
        """While so many attempts are dispatched and not started, none is staged behind running ones. Less than
        `limit`."""
        self.adapted_lease_ms = -1
        """Lease time at which the limits were last adapted; -1: not since the policy was adopted."""
        self.fetch_ms = 0
        """Time from dispatch to start on a free slot, smoothed; 0: not seen yet."""
        self.run_ms = 0
        """Time from start to end, smoothed; 0: not seen yet."""
        self.staged_per_slot = 1
        """How many staged attempts a node may hold for each slot."""
        self.draining = False
        self.deadline_ms = 0
        self.staged: dict[str, Attempt] = {}
        self.open: dict[str, Attempt] = {}
        self.slots = 0
        """Usable slots of all nodes that are alive."""
        self.was_full = False
        """The limit was reached when this batch began. Evidence only."""


class Group:
    """Nodes of one cluster, one kind and one shape. A set of nodes is an integer in which bit i stands for `ids[i]`.
    Ids are sorted, so the lowest bit of `free & loaded[version]` is the node with the least id that is free and has
    loaded the version."""

    __slots__ = (
        "able",
        "cached",
        "chipset",
        "cluster",
        "free",
        "gpus",
        "ids",
        "kept",
        "kind",
        "levels",
        "loaded",
        "memory_mib",
        "parked",
        "stageable",
        "trial",
    )

    def __init__(self, cluster: ClusterState, kind: str, chipset: str, gpus: int, memory_mib: int) -> None:
        self.cluster = cluster
        self.kind = kind
        self.chipset = chipset
        self.gpus = gpus
        self.memory_mib = memory_mib
        self.ids: list[str] = []
        self.free = 0
        """Nodes with a slot that is neither taken nor kept."""
        self.kept = 0
        """Nodes whose every free slot is kept for a gang."""
        self.able = 0
        """Nodes that take work sooner or later: they do not drain, are not cordoned, and have a usable slot."""
        self.trial = 0
        """Cordoned nodes that one job may try now."""
        self.stageable = 0
        """Nodes that have no free slot and may hold one more staged attempt."""
        self.levels: dict[int, int] = {}
        """The nodes of `stageable`, by staged attempts per slot, rounded down."""
        self.parked = 0
        """Nodes that hold more open attempts than usable slots: some attempts wait behind others."""
        self.loaded: dict[str, int] = {}
        self.cached: dict[str, int] = {}


class NodeLoad(dict[str, Attempt]):
    """The open attempts of a node that is alive, by job, and the node's place in its group."""

    __slots__ = ("bit", "group", "kept", "level", "more")

    group: Group
    bit: int
    """The node's bit in the masks of its group."""
    level: int
    """The node's entry in the group's `levels`; -1: it has none."""
    more: int
    """Ranks on this node beyond the first one of each attempt."""
    kept: int
    """Slots kept for a gang (Reservation)."""

    def ranks(self) -> int:
        """Slots that the node's attempts take or wait for."""
        return len(self) + self.more
