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
from scheduling.state.nodes import Attempt, ClusterState, FormerNode, Group, Node, NodeLoad, Reservation


class Version(msgspec.Struct, frozen=True):
    model: str
    version: str
    requirements: Requirements
    timeout_ms: int


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
    """By tier: the start tag of its next pick, where it is above `virtual`."""


class Mean(msgspec.Struct):
    """A mean of values and of their deviations from it (scheduling.picking.switches)."""

    count: int = 0
    """Values, up to a memory."""
    mean: int = 0
    deviation: int = 0


class PromiseFacts(msgspec.Struct):
    """Of the shadow, strict priority replayed on the same slots: facts kept while the discipline is `promise`."""

    worst: int = 0
    """The largest wait it gave, in permille of its SLO, in this period."""
    worst_before: int = 0
    """The same of the period before."""
    period_start_ms: int = 0


class LinePace:
    """What `promise` knows of a line (both parts): facts."""

    __slots__ = ("chance", "last_ms", "longest", "rank", "shadow")

    def __init__(self, rank: int) -> None:
        self.rank = rank
        """Of its tier. An index."""
        self.chance = -1
        """Mean interval between its chances in ms << 6; -1: none yet. A chance: the shadow had nothing above it."""
        self.last_ms = -1
        """Of its last chance; -1: none since something waits."""
        self.longest = 0
        """Longest interval between chances in ms << 10, fading."""
        self.shadow: deque[int] = deque()
        """Submit times of its jobs that the shadow has not dispatched, sorted."""


class ClassPace:
    """What `promise` knows of a requirement class: facts."""

    __slots__ = ("last_ms", "lines", "since", "slot")

    def __init__(self) -> None:
        self.slot = -1
        """Mean interval between slots that fit it in ms << 6; -1: none yet."""
        self.last_ms = -1
        """Of its last slot; -1: none since something waits."""
        self.since = 0
        """Picks that fitted it since its last overdue one."""
        self.lines: dict[str, LinePace] = {}
        """By tier, the highest first."""


class Share:
    """A tenant's standing in a tier, between tenants."""

    __slots__ = ("tag", "waiting")

    def __init__(self) -> None:
        self.tag = 0
        """Start tag of its next pick; one that is not above the tier's virtual time counts as that time."""
        self.waiting = 0
        """Its jobs that wait in the tier's lines."""


class TierShares:
    """Start-time fair queueing between the tenants of a tier."""

    __slots__ = ("idle", "tenants", "virtual")

    def __init__(self) -> None:
        self.virtual = 0
        """Virtual time: the start tag of the last pick."""
        self.tenants: dict[str, Share] = {}
        """Tenants with jobs that wait, or a tag above `virtual`."""
        self.idle: list[tuple[int, str]] = []
        """Heap of (tag, tenant): tenants that may be forgotten when virtual time reaches the tag. Lazy deletion."""


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

    While it holds jobs of several tenants, the head of each tenant's queue is in `level`, a heap of (key, job, tenant)
    for tenants whose tag is not above the tier's virtual time, or in `ahead`, a heap of (tag, key, job, tenant).
    Both have lazy deletion (`sharing`).
    """

    __slots__ = ("ahead", "late", "level", "requirement_class", "shares", "tenants", "tier")

    def __init__(self, tier: str, requirement_class: RequirementClass, shares: TierShares) -> None:
        super().__init__()
        self.tier = tier
        self.requirement_class = requirement_class
        self.shares = shares
        self.late: Line | None = None
        """Where its jobs go once they have waited longer than their SLO; none: the discipline does not tell."""
        self.tenants: dict[str, TenantQueue] = {}
        """Queues that are not empty."""
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
        """Classes are in the order of these."""
        self.groups: list[Group] = []
        self.lines: dict[str, Line] = {}
        self.late: dict[str, Line] = {}
        """Lines of late jobs, where the discipline tells late from on time."""
        self.waiting = 0
        """Jobs in all of them."""
        self.pace: ClassPace | None = None
        """None: the discipline is another one, or has not met the class."""
        self.spacing_us = 0
        """Time between two starts of the class while others waited, smoothed; 0: none yet. A fact."""
        self.last_start_ms = 0
        """When a job of the class started last while others waited; 0: none waited then. A fact."""
        self.switched_ms = 0
        """When a job of the class went last where its version was not loaded. A fact."""
        self.looked_seq = -1
        """The batch in which the next two were counted (scheduling.forecast)."""
        self.free = 0
        self.staged = 0
        self.asked: tuple[int, str] | None = None
        self.basis = (0, Situation.FREE)
        """Of the next job of the tier asked for, at that point of the batch."""


class Trial(msgspec.Struct):
    """The policy in force was applied with a bound on attainment (scheduling.policy_trial)."""

    before: Policy
    """What comes back when the bound is missed."""
    fingerprint: str
    below_permille: int
    jobs: int
    """So many first starts are counted."""
    started: int = 0
    kept: int = 0
    """Of them, within their SLO."""


class State:
    """One pool. Make one with `initial_state` or `snapshot.decode`."""

    __slots__ = (
        "aliases",
        "by_size",
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
        "jobs",
        "last_lease_ms",
        "lease_ms",
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
        "slos",
        "splits",
        "stale",
        "trial",
        "versions",
        "warm_ms",
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
        # what an operator decided
        self.policy: Policy | None = None
        self.fingerprint = ""
        self.trial: Trial | None = None
        """None: the policy in force stays."""
        self.partition = 0
        """Of `jobs` and `ledger`."""
        self.slos: dict[str, int] = {}
        """slo_ms of every tier ever named: a job of a tier that the policy dropped keeps the last SLO it had."""
        # what can be run
        self.versions: dict[str, Version] = {}
        """By digest."""
        self.aliases: dict[tuple[str, str], Alias] = {}
        """By (model, alias)."""
        # what there is
        self.clusters: dict[str, ClusterState] = {}
        self.nodes: dict[str, Node] = {}
        self.past: dict[str, FormerNode] = {}
        """Nodes whose last session is over, or that had one before; the longest gone first."""
        self.losses: dict[str, tuple[Loss, ...]] = {}
        """The last losses of each cluster, oldest first."""
        self.reserved: dict[str, Reservation] = {}
        """Slots kept for gangs, by cluster."""
        self.jobs: dict[str, Job] = {}
        """Jobs that have not ended."""
        self.ended: dict[str, str] = {}
        """Ids that have ended and their tenants, oldest first."""
        self.ended_runs: deque[tuple[int, int]] = deque()
        """How many of `ended`, from its front on, ended in the minute that began at (ms): runs of (minute, count)."""
        self.forgotten_ms = 0
        """Ids that ended before this may be forgotten: no older Kafka submission is run any more."""
        self.stale: dict[str, int] = {}
        """Inputs that meant nothing any more, by kind."""
        self.shares: dict[str, TierShares] = {}
        """By tier. Facts are `virtual` and the tags above it."""
        self.fair = FairTags()
        self.promise = PromiseFacts()
        self.run_ms: dict[str, int] = {}
        """Run time of each version, smoothed, once an attempt of it has succeeded."""
        self.warm_ms: dict[str, Mean] = {}
        """Run time of each version on slots that had it loaded."""
        self.load_ms = Mean()
        """How much longer attempts ran that began by loading their version."""
        self.factors: dict[tuple[str, Situation], Factors] = {}
        """By tier and situation: what forecasts have learned."""
        # indexes, built again from the facts above
        self.ranks: dict[str, int] = {}
        """Rank of each tier ever named, the highest first: the smaller its SLO the higher, ties by name; from 0."""
        self.splits = False
        """The discipline tells late jobs from those on time: each line has a late one."""
        self.by_size = False
        """The discipline takes the shortest job of a line first, not the oldest."""
        self.last_lease_ms = 0
        """Lease time at the end of the batch before (evidence only)."""
        self.closed_gangs: tuple[tuple[Attempt, str], ...] = ()
        """Gangs whose attempt closed in this batch, and the node that said so: the others are told (orders only)."""
        self.node_attempts: dict[str, NodeLoad] = {}
        """Open attempts of each node that is alive."""
        self.classes: dict[Requirements, RequirementClass] = {}
        self.lines: dict[tuple[str, str], Line] = {}
        """By (version, tier); those of one requirement class share a line."""
        self.groups: dict[tuple[str, str, int, int], Group] = {}
        """By (cluster, chipset, gpus, memory_mib)."""
        self.resting: list[tuple[int, str]] = []
        """Heap of (eligible_lease_ms, job): queued jobs whose backoff has not passed. Lazy deletion, live top."""
        self.deadlines: list[tuple[int, str]] = []
        """Heap of (expires_ms, job): jobs with a deadline that are not being ended. Lazy deletion, live top."""
        self.forecasts: list[tuple[int, str]] = []
        """Heap of (due_ms, job): queued jobs with a forecast. Lazy deletion, live top."""


def initial_state(pool: str) -> State:
    """The state before the first record of the pool's ledger."""
    return State(pool)
