"""What is known of a pool after its ledger was folded. Only `evolve` writes it; everyone may read it.

Theory of operation. `State` holds facts (policy, versions, aliases, nodes, jobs that have not ended, ids that have)
and indexes over the facts (lines, groups, heaps), which `evolve` keeps in step and `snapshot` leaves out: they are
built again from the facts. A job that ended leaves only its id behind. Times end in `_ms`: `now_ms` is the broker's
clock, `lease_ms` is lease time, the sum of the batches' `elapsed_ms`.

The records of jobs and attempts are not tracked by the garbage collector (they are in no cycle), so a million queued
jobs cost no collection pause.
"""

from __future__ import annotations

from collections import deque

import msgspec

from contract.inputs import Requirements
from contract.policy import Policy
from scheduling.state.jobs import Factors, Job, Loss, Situation
from scheduling.state.nodes import Attempt, ClusterState, FormerNode, Group, Node, NodeLoad, Reservation, Suspect
from scheduling.state.paces import ClassPace as ClassPace
from scheduling.state.paces import LinePace as LinePace
from scheduling.state.paces import PromiseFacts as PromiseFacts


class Version(msgspec.Struct, frozen=True):
    model: str
    version: str
    requirements: Requirements
    timeout_ms: int
    prepares: str = ""
    """As in VersionRegistered."""


class Alias(msgspec.Struct, frozen=True):
    version: str
    move: int


Entry = tuple[int, str]
"""(key, job): where a job stands in its line. The key is `submitted_ms`, or what `lines.entry_of` says."""


class FairTags(msgspec.Struct):
    """Start-time fair queueing between tiers: facts kept while the discipline is `weighted_fair`."""

    virtual: int = 0
    """Virtual time: the start tag of the last pick."""
    tags: dict[str, int] = {}
    """By tier: the start tag of the tier's next pick, where that tag is above `virtual`."""


class Mean(msgspec.Struct):
    """The mean of some values, and the mean deviation from that mean (scheduling.picking.switches)."""

    count: int = 0
    """How many values the mean is over, at most switches.MEMORY."""
    mean: int = 0
    deviation: int = 0


class Share:
    """Where a tenant stands among the tenants of a tier."""

    __slots__ = ("tag", "waiting")

    def __init__(self) -> None:
        self.tag = 0
        """Start tag of the tenant's next pick. A tag below the tier's virtual time counts as that time."""
        self.waiting = 0
        """How many of the tenant's jobs wait in the tier's lines."""


class TierShares:
    """Start-time fair queueing between the tenants of a tier."""

    __slots__ = ("idle", "tenants", "virtual")

    def __init__(self) -> None:
        self.virtual = 0
        """Virtual time: the start tag of the last pick."""
        self.tenants: dict[str, Share] = {}
        """Tenants that have waiting jobs, or a tag above `virtual`."""
        self.idle: list[tuple[int, str]] = []
        """Heap of (tag, tenant): once virtual time reaches the tag, the tenant may be forgotten. Lazy deletion."""


class Queue:
    """Jobs that wait, in order: `entries` from `start` on, sorted."""

    __slots__ = ("entries", "start")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.start = 0

    def __len__(self) -> int:
        return len(self.entries) - self.start


class TenantQueue(Queue):
    """One tenant's jobs in a line."""

    __slots__ = ("share",)

    def __init__(self, share: Share) -> None:
        super().__init__()
        self.share = share


class Line(Queue):
    """Jobs of one tier and requirement class that may be picked, oldest first; and the same jobs by tenant.

    While a line holds jobs of several tenants, the head of each tenant's queue is in one of two heaps with lazy
    deletion (`sharing`). `level` has (key, job, tenant) of tenants whose tag is not above the tier's virtual time;
    `ahead` has (tag, key, job, tenant) of the others."""

    __slots__ = ("ahead", "aside", "late", "level", "requirement_class", "shares", "tenants", "tier")

    def __init__(self, tier: str, requirement_class: RequirementClass, shares: TierShares) -> None:
        super().__init__()
        self.tier = tier
        self.requirement_class = requirement_class
        self.shares = shares
        self.aside = 0
        """Jobs of the line, or of the late line beside it, that stand aside (scheduling.state.avoidance)."""
        self.late: Line | None = None
        """Where jobs go that have waited longer than their SLO. None: the discipline does not tell them apart."""
        self.tenants: dict[str, TenantQueue] = {}
        """Only queues that hold a job."""
        self.level: list[tuple[int, str, str]] = []
        self.ahead: list[tuple[int, int, str, str]] = []


class RequirementClass:
    """A requirement class: its lines by tier, and the groups of nodes that fit it."""

    __slots__ = (
        "asked",
        "basis",
        "free",
        "groups",
        "last_start_ms",
        "late",
        "lines",
        "looked_seq",
        "pace",
        "requirements",
        "spacing_us",
        "staged",
        "switched_ms",
        "waiting",
    )

    def __init__(self, requirements: Requirements) -> None:
        self.requirements = requirements
        """Classes are ordered by their requirements."""
        self.groups: list[Group] = []
        self.lines: dict[str, Line] = {}
        self.late: dict[str, Line] = {}
        """Lines of late jobs, where the discipline tells late from on time."""
        self.waiting = 0
        """How many jobs wait in all of these lines, or stand aside."""
        self.pace: ClassPace | None = None
        """None: `promise` is not in force, or no job of the class has come since."""
        self.spacing_us = 0
        """Time between two starts of the class while other jobs waited, smoothed; 0: no two starts yet. A fact."""
        self.last_start_ms = 0
        """When a job of the class last started while others waited; 0: no job waited then. A fact."""
        self.switched_ms = 0
        """When a job of the class last went to a node that had not loaded its version. A fact."""
        self.looked_seq = -1
        """The batch in which `free` and `staged` were counted (scheduling.forecast)."""
        self.free = 0
        self.staged = 0
        self.asked: tuple[int, str] | None = None
        self.basis = (0, Situation.FREE)
        """What a forecast for the next job of the tier in `asked` rests on, at that point of the batch."""


class Preparing:
    """Jobs that wait for a CPU worker, in one line for each tier (scheduling.state.preparing)."""

    __slots__ = ("requirement_class", "resting", "shares", "shelved", "since")

    def __init__(self) -> None:
        self.requirement_class = RequirementClass(Requirements(chipsets=()))
        """Its lines are these lines, its groups the CPU workers. It stands in no index of classes: no slot fits it."""
        self.since = 0
        """Preparations ordered since the last one of the job that was overdue the longest, at most TURN - 1. A fact."""
        self.shares: dict[str, TierShares] = {}
        """By tier: where the tenants stand in these lines. `virtual` and the tags above it are facts."""
        self.resting: list[tuple[int, str]] = []
        """Heap of (eligible_lease_ms, job): jobs that rest before they are prepared again. Lazy deletion, live top."""
        self.shelved: dict[tuple[str, str], Queue] = {}
        """By (withdrawn version, alias), as State.shelved."""


class Trial(msgspec.Struct):
    """The policy in force was applied with a bound on attainment (scheduling.policy_trial)."""

    before: Policy
    """What comes back when the bound is missed."""
    fingerprint: str
    below_permille: int
    jobs: int
    """How many first starts the trial counts."""
    started: int = 0
    kept: int = 0
    """How many of these were within their SLO."""


class State:
    """One pool. Make one with `initial_state` or `snapshot.decode`."""

    __slots__ = (
        "aliases",
        "aside",
        "avoiders",
        "by_size",
        "cases",
        "classes",
        "closed_gangs",
        "clusters",
        "deadlines",
        "ended",
        "ended_runs",
        "epoch",
        "factors",
        "fair",
        "fingerprint",
        "forecasts",
        "forgotten_ms",
        "groups",
        "head_hash",
        "head_offset",
        "held",
        "jobs",
        "last_lease_ms",
        "lease_ms",
        "line_ups",
        "lines",
        "load_ms",
        "losses",
        "node_attempts",
        "nodes",
        "now_ms",
        "partition",
        "past",
        "policy",
        "pool",
        "position",
        "preparing",
        "promise",
        "ranks",
        "release",
        "reserved",
        "resting",
        "rules",
        "run_ms",
        "seq",
        "session",
        "shares",
        "shelved",
        "signed_from",
        "slos",
        "splits",
        "stale",
        "stopped_preparations",
        "suspects",
        "trial",
        "trials",
        "versions",
        "warm_ms",
        "withdrawn",
        "withdrawn_open",
    )

    def __init__(self, pool: str) -> None:
        self.pool = pool
        # where the ledger stands
        self.epoch = 0
        self.seq = -1
        self.head_hash = "0" * 64
        """Hash of the last record that counted."""
        self.head_offset = -1
        self.now_ms = 0
        self.lease_ms = 0
        self.position = 0
        """Offset in `jobs` of the next input to read."""
        self.session = ""
        self.release = ""
        self.rules = 0
        self.signed_from = -1
        """Offset in `jobs` from which records must be signed; -1: from none."""
        # what an operator decided
        self.policy: Policy | None = None
        self.fingerprint = ""
        self.held = False
        """An operator holds the pool: it accepts jobs and starts none."""
        self.trial: Trial | None = None
        """None: the policy in force is not on trial."""
        self.partition = 0
        """The pool's partition of `jobs` and of `ledger`."""
        self.slos: dict[str, int] = {}
        """SLO in ms of every tier ever named. A job of a tier that the policy dropped keeps the tier's last SLO."""
        # what can be run
        self.versions: dict[str, Version] = {}
        """By digest."""
        self.aliases: dict[tuple[str, str], Alias] = {}
        """By (model, alias)."""
        self.withdrawn: dict[str, bool] = {}
        """Versions that must not run any more; True: not even what runs may finish."""
        # what there is
        self.clusters: dict[str, ClusterState] = {}
        self.nodes: dict[str, Node] = {}
        self.past: dict[str, FormerNode] = {}
        """Nodes that have had a session which is over; the one that is gone longest comes first."""
        self.losses: dict[str, tuple[Loss, ...]] = {}
        """The last losses of each cluster, oldest first."""
        self.suspects: dict[str, Suspect] = {}
        """By node; the oldest case first."""
        self.cases = 0
        """How many cases were opened against nodes."""
        self.reserved: dict[str, Reservation] = {}
        """Slots kept for gangs, by cluster."""
        self.jobs: dict[str, Job] = {}
        """Jobs that have not ended."""
        self.ended: dict[str, str] = {}
        """Tenant by job id, of jobs that have ended and are remembered; the oldest first."""
        self.ended_runs: deque[tuple[int, int]] = deque()
        """(minute, count) from the front of `ended` on: how many jobs ended in the minute that began at `minute` ms."""
        self.forgotten_ms = 0
        """Ids of jobs that ended before this time may be forgotten, so no Kafka submission older than this is run."""
        self.stale: dict[str, int] = {}
        """How many inputs meant nothing any more, by kind of input."""
        self.shares: dict[str, TierShares] = {}
        """By tier. `virtual` and the tags above it are facts, the rest is an index."""
        self.fair = FairTags()
        self.promise = PromiseFacts()
        self.run_ms: dict[str, int] = {}
        """Run time in ms of each version of which an attempt has succeeded, smoothed."""
        self.warm_ms: dict[str, Mean] = {}
        """Run time in ms of each version on slots that had loaded it."""
        self.load_ms = Mean()
        """How many ms longer attempts ran that began by loading their version."""
        self.factors: dict[tuple[str, Situation], Factors] = {}
        """By tier and situation: what forecasts have learned."""
        # indexes, built again from the facts above
        self.ranks: dict[str, int] = {}
        """Rank of each tier ever named, the highest first: the smaller its SLO the higher, ties by name; from 0."""
        self.splits = False
        """The discipline tells late jobs from jobs on time: each line has a late line beside it."""
        self.by_size = False
        """The discipline takes the shortest job of a line first, not the oldest."""
        self.last_lease_ms = 0
        """Lease time at the end of the batch before (evidence only)."""
        self.closed_gangs: tuple[tuple[Attempt, str], ...] = ()
        """Gangs whose attempt closed in this batch, and the node that said so. Read by `attempts.orders`, which tells
        the other nodes."""
        self.stopped_preparations: tuple[Attempt, ...] = ()
        """Preparations that this batch closed without their worker's knowledge. Read by `attempts.orders`."""
        self.node_attempts: dict[str, NodeLoad] = {}
        """Open attempts of each node that is alive."""
        self.avoiders: dict[str, dict[str, None]] = {}
        """By node: the jobs that wait and avoid the node. Jobs of one rank only."""
        self.aside: dict[str, None] = {}
        """Jobs that wait and stand in no line, because each node with room for them is one that they avoid."""
        self.shelved: dict[tuple[str, str], Queue] = {}
        """By (withdrawn version, alias): jobs that wait and stand in no line, because their version was withdrawn; the
        oldest first. The alias is empty for jobs that named the digest."""
        self.withdrawn_open: dict[str, None] = {}
        """Jobs with an open attempt of a withdrawn version."""
        self.line_ups = 0
        """How often a job left its line to stand aside, or came back."""
        self.trials: list[tuple[int, str]] = []
        """Heap of (lease time, node): when a cordoned node may be tried again."""
        self.classes: dict[Requirements, RequirementClass] = {}
        self.lines: dict[tuple[str, str], Line] = {}
        """By (version, tier); those of one requirement class share a line."""
        self.groups: dict[tuple[str, str, str, int, int], Group] = {}
        """By (cluster, kind, chipset, gpus, memory_mib)."""
        self.preparing = Preparing()
        """Jobs that wait for a CPU worker."""
        self.resting: list[tuple[int, str]] = []
        """Heap of (eligible_lease_ms, job): queued jobs whose backoff has not passed. Lazy deletion, live top."""
        self.deadlines: list[tuple[int, str]] = []
        """Heap of (expires_ms, job): jobs with a deadline that are not being ended. Lazy deletion, live top."""
        self.forecasts: list[tuple[int, str]] = []
        """Heap of (due_ms, job): queued jobs with a forecast. Lazy deletion, live top."""


def initial_state(pool: str) -> State:
    """The state before the first record of the pool's ledger."""
    return State(pool)
