"""The policy: tiers with their SLOs, pools, clusters, limits, and everything else that an operator decides.

What changes a decision is an event, so PolicyApplied and PolicyAdopted hold the whole policy. A person writes a policy
as a YAML document (contract.policy_document); contract.policy_check says whether a policy can be put in force.
"""

from __future__ import annotations

import msgspec

from contract.durations import DAY_MS
from contract.names import digest_of

DISCIPLINES = ("promise", "wait_fraction", "strict", "edf", "fifo", "weighted_fair", "shortest_first")
"""Queueing disciplines: each is a rule that says who goes next. Decision 0008 says why the first is the default."""

ISOLATIONS = ("version", "tenant", "job")
"""A child goes from job to job of its version; of its version and one tenant; or runs one job."""

CLUSTER_KINDS = ("run", "prepare")
"""run: its nodes run attempts. prepare: its nodes are CPU workers, which prepare media."""

ACCESS = ("trusted_models", "isolation", "networks", "gang_network", "join_tokens", "revoked")
"""Fields of a policy that say who may do what, and what a model may reach."""

ACCESS_LIFE_MS = 15 * 60_000
"""How long after it was made a record may change these fields (PolicyApplied.until_ms)."""
ACCESS_LIFE_MAX_MS = 24 * 3_600_000

UNLIMITED = 1_000_000_000
"""What `none` means in a document for a cluster's limit or for attempts staged per slot: as many attempts are sent to
the nodes at once as the nodes hold."""


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    slo_ms: int
    """The tier's worst-case wait. The tier with the smaller SLO ranks higher; tiers with equal SLOs rank by name."""
    weight: int = 0
    """Share of the slots under `weighted_fair`, relative to the other tiers' weights. 0 for every tier: the weights are
    in proportion to 1 / slo_ms."""


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    partition: int
    """The pool's partition of `jobs` and of `ledger`. It never changes and is never given to another pool: the ledger
    there is the pool's state."""


class Cluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pool: str
    limit: int
    """The most attempts that may be dispatched and not started; of kind `prepare`, the most open preparations.
    UNLIMITED (`none`): attempts are staged up to what the nodes hold."""
    dispatch_partitions: int = 1
    adaptive: bool = False
    """True: the limit follows recorded times, so that just enough attempts are staged to hide the fetching of inputs
    (docs/decisions/0009). `limit` is then the most."""
    staged_per_slot: int = 1
    """Attempts that a node may hold staged for each of its slots, besides the running ones, and within what the node
    says it holds. 0: no attempt waits at a node. A preparation never waits at a CPU worker."""
    kind: str = CLUSTER_KINDS[0]
    """What its nodes do: one of CLUSTER_KINDS. It never changes while the policy has the cluster or nodes are there."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that an operator decides. In a document a field's name has no unit (`node_lease: 30s`)."""

    tiers: dict[str, Tier]
    pools: dict[str, Pool]
    clusters: dict[str, Cluster]
    failures_max: int = 4
    """A job is dead-lettered when it has failed this often (design section 4)."""
    backoff_ms: int = 2_000
    """Lease time that a job rests after its first failure. Each further failure doubles it, up to `backoff_max_ms`."""
    backoff_max_ms: int = 60_000
    node_lease_ms: int = 30_000
    """A node that is not heard for this much lease time is lost."""
    submission_age_max_ms: int = 3 * DAY_MS
    """A Kafka submission older than this is quarantined. The ids of ended jobs are remembered at least as long, so an
    old copy never runs a job again."""
    words_kept_ms: int = 3 * DAY_MS
    """How long the short-lived topics keep users' words, and within which time `jobs` compacts. The last copy of an
    erased job's words is gone after about one and a half times this; `headrace jobs erase` says the exact moment."""
    payload_bytes_max: int = 256 * 1024
    submission_partitions: int = 4
    wheels_from_index: bool = True
    """True: a node may take a version's wheels, by hash, from its uv cache or package index instead of the object
    store."""
    discipline: str = DISCIPLINES[0]
    """The rule that says who goes next: one of DISCIPLINES."""
    promise_max: int = 20
    """Under `promise`: the starvation bound, in multiples of a tier's SLO (docs/decisions/0008)."""
    tenant_weights: dict[str, int] = {}
    """Shares of the tenants inside a tier, relative to each other. A tenant that is not named has 1."""
    tenant_burst: int = 100
    """A tenant with more jobs than this waiting in a tier pays `tenant_burst_penalty` more for each pick there."""
    tenant_burst_penalty: int = 1
    """In picks. 0: a burst costs nothing."""
    look_ahead_jobs: int = 64
    """How many jobs of a line look-ahead searches for a job whose version a slot has loaded. 0: no look-ahead."""
    look_ahead_percent: int = 50
    """A job that has waited more than this share of its SLO is passed over only where `switch_percent` allows it."""
    switch_percent: int = 10
    """Share of the time of a requirement class's slots that may go to loading versions while jobs wait whose versions
    are loaded (docs/decisions/0012). After a load, no other begins before the share is kept, whoever is passed over
    meanwhile. It has no effect before recorded run times show what a load costs."""
    may_starve: bool = False
    """True: allow a discipline under which a job may wait for ever while other tiers bring more than the slots take.
    For experiments and what-if."""
    trusted_models: bool = False
    """True: a node may join although layers are missing that hold models off (NodeJoined.layers_missing)."""
    isolation: str = ISOLATIONS[0]
    """Whose jobs a child runs that has a version loaded: one of ISOLATIONS."""
    networks: tuple[str, ...] = ()
    """Models whose versions have the network of their node if their `model.yaml` asks for it. Others have none."""
    gang_network: bool = True
    """A gang may lie on several nodes: its ranks then have the network of their nodes. False: a gang that begins from
    then on lies on one node."""
    join_tokens: bool = False
    """True: a machine that is new to the pool, or comes back under another identity, needs a join token."""
    prepare_timeout_ms: int = 600_000
    """The longest a preparation may take. A worker that is not done by then refuses the media."""
    keep_sources: bool = False
    """True: a CPU worker keeps the originals beside what it made of them, as long as those are kept."""
    visible_mark: bool = False
    """True: videos and images that nodes encode carry a visible mark that says that they are generated."""
    revoked: tuple[str, ...] = ()
    """Signers (`operator.NAME`, `node.CLUSTER/NAME`) whose records change nothing any more. Other signers are replaced
    with the installation's key (docs/runbook.md)."""


def canonical(policy: Policy) -> Policy:
    """The same policy with its tiers, pools, clusters and tenants in the order of their names: equal policies then
    encode to equal bytes."""
    return msgspec.json.decode(_canonical_json(policy), type=Policy)


def fingerprint(policy: Policy) -> str:
    """The digest of the policy's canonical JSON: two documents that say the same have the same fingerprint."""
    return digest_of(_canonical_json(policy))


def _canonical_json(policy: Policy) -> bytes:
    return msgspec.json.encode(policy, order="deterministic")
