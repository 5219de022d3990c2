"""Where attempts run: nodes, clusters, and nodes of one shape together. Part of the state of a pool (`state`)."""

from __future__ import annotations

import msgspec

from contract.events import Member


class Attempt(msgspec.Struct, gc=False):
    """The open attempt of a job: where it went and what it was told since."""

    job: str
    attempt: int
    """1, 2, 3…"""
    dispatch: str
    node: str
    session: str
    cluster: str
    dispatched_ms: int
    to_free: bool = False
    """A slot of its node was free when it was dispatched."""
    started: bool = False
    started_ms: int = 0
    switched: bool = False
    """Its version was not loaded where it started."""
    stop: str = ""
    """What was ordered and is not yet seen: `recall`, `kill`, or nothing."""
    stop_reason: str = ""
    stop_ms: int = 0
    """When the stop was ordered."""
    members: tuple[Member, ...] = ()
    """Slots of ranks 1, 2… of a gang (scheduling.state.gang_members)."""
    rendezvous: str = ""
    """Of a gang on several nodes: where rank 0 is reached."""


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
    """Lease time when its lease last started."""
    loaded: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    draining: bool = False
    address: str = ""
    """host:first port where rank 0 of a gang can be reached; empty: nowhere."""
    holds: int = 0
    """Attempts that it may hold, running and staged."""
    missed: dict[str, int] = {}
    """Of dispatches that had started and that its last heartbeats did not list: how many heartbeats in a row."""


class FormerNode(msgspec.Struct, frozen=True):
    """A node as it was: where it joined last, and its last sessions that are over (their late records are stale)."""

    cluster: str
    sessions: tuple[str, ...]


class Reservation(msgspec.Struct, frozen=True):
    """Slots kept for a gang that goes next and does not fit yet."""

    job: str
    cluster: str
    members: tuple[Member, ...]
    """One for each slot kept."""
    free_ms: int
    """When the last of them was expected to be free."""


class ClusterState:
    """A cluster of this pool: whether it takes work, and the open attempts on its nodes.

    `staged` and `open` are the attempts themselves, keyed by job, moved by `evolve` where a job's state moves; the
    in-flight number is their length, so there is no counter that could forget one.
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
        """None is staged behind running ones while so many are dispatched and not started; less than `limit`."""
        self.adapted_lease_ms = -1
        """Lease time when its limits were adapted last; -1: not since the policy was adopted."""
        self.fetch_ms = 0
        """From dispatch to start on a slot that was free, smoothed; 0: none seen yet."""
        self.run_ms = 0
        """From start to end, smoothed; 0: none seen yet."""
        self.staged_per_slot = 1
        """Attempts its nodes may hold staged for each slot."""
        self.draining = False
        self.deadline_ms = 0
        self.staged: dict[str, Attempt] = {}
        self.open: dict[str, Attempt] = {}
        self.slots = 0
        """Slots of its nodes that are alive."""
        self.was_full = False
        """Its limit was reached when this batch began (evidence only)."""


class Group:
    """Nodes of one cluster and one shape. Sets of nodes are integers: bit i stands for `ids[i]`, ids sorted, so the
    lowest bit of `free & loaded[version]` is the node with the least id among those that are free and have it."""

    __slots__ = (
        "cached",
        "chipset",
        "cluster",
        "free",
        "gpus",
        "ids",
        "kept",
        "levels",
        "loaded",
        "memory_mib",
        "parked",
        "stageable",
    )

    def __init__(self, cluster: ClusterState, chipset: str, gpus: int, memory_mib: int) -> None:
        self.cluster = cluster
        self.chipset = chipset
        self.gpus = gpus
        self.memory_mib = memory_mib
        self.ids: list[str] = []
        self.free = 0
        """Nodes with a slot that is neither taken nor kept."""
        self.kept = 0
        """Nodes whose every free slot is kept for a gang."""
        self.stageable = 0
        """Nodes whose slots are all taken and which may hold one more staged attempt."""
        self.levels: dict[int, int] = {}
        """Those of `stageable` by staged attempts per slot, rounded down."""
        self.parked = 0
        """Nodes with more open attempts than slots: some wait behind others."""
        self.loaded: dict[str, int] = {}
        self.cached: dict[str, int] = {}


class NodeLoad(dict[str, Attempt]):
    """The open attempts of a node that is alive, by job; and where the node stands in its group."""

    __slots__ = ("bit", "group", "kept", "level", "more")

    group: Group
    bit: int
    """The node's bit in the masks of its group."""
    level: int
    """Which of its group's `levels` it stands in; -1: none."""
    more: int
    """Ranks of gangs here beyond one for each attempt."""
    kept: int
    """Slots kept for a gang that is to come."""

    def ranks(self) -> int:
        """Slots that its attempts take, or wait for."""
        return len(self) + self.more
