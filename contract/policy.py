"""The policy: tiers, SLOs, pools, clusters, limits, with a fingerprint.

What changes a decision is an event, so a policy travels whole in `PolicyApplied` and `PolicyAdopted`. A person writes
it as a YAML document (`policy_document`).
"""

from __future__ import annotations

import hashlib

import msgspec

DISCIPLINES = ("promise", "wait_fraction", "strict", "edf", "fifo", "weighted_fair", "shortest_first")
"""Queueing disciplines: rules that say who goes next. docs/decisions/0008 says why the first is the default."""

UNLIMITED = 1_000_000_000
"""A cluster's limit, or attempts staged per slot, written `none`: as much is pushed to the nodes at once as they
hold."""


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    slo_ms: int
    """The tier's worst-case wait. The smaller it is, the higher the tier ranks; ties by name."""
    weight: int = 0
    """Share of the slots under `weighted_fair`, against the other tiers'. 0: in proportion to 1 / slo_ms."""


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    partition: int
    """Of `jobs` and `ledger`. Never changed, never reused."""


class Cluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pool: str
    limit: int
    """The most attempts dispatched and not started. UNLIMITED (`none`): no limit, and staging up to what its
    nodes hold."""
    dispatch_partitions: int = 1
    adaptive: bool = False
    """Keep only as many as hide the fetching of inputs, by recorded times; `limit` is then the most."""
    staged_per_slot: int = 1
    """Attempts a node may hold staged for each of its slots, besides the running ones, and never more than it says that
    it holds. 0: nothing waits at a node."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an operator decides. Field names in the document drop the unit (`node_lease: 30s`)."""

    tiers: dict[str, Tier]
    pools: dict[str, Pool]
    clusters: dict[str, Cluster]
    failures_max: int = 4
    """A job that failed this often is dead-lettered (design section 4)."""
    backoff_ms: int = 2_000
    """Lease time before the first retry; doubles with each failure."""
    backoff_max_ms: int = 60_000
    node_lease_ms: int = 30_000
    """A node not heard for this much lease time is lost."""
    submission_age_max_ms: int = 3 * 86_400_000
    """A copy of a Kafka submission older than this is quarantined. Ended ids are remembered at least as long."""
    words_kept_ms: int = 3 * 86_400_000
    """How long short-lived topics keep words, and within what `jobs` compacts: `headrace jobs erase` says when exactly
    the last copy of an erased job's words is gone, about one and a half times this."""
    payload_bytes_max: int = 256 * 1024
    submission_partitions: int = 4
    wheels_from_index: bool = True
    """A node may take a version's wheels by hash from its uv cache or package index, instead of the object store."""
    discipline: str = DISCIPLINES[0]
    """Who goes next: one of DISCIPLINES."""
    promise_max: int = 20
    """Under `promise`: the starvation bound, in multiples of a tier's SLO (docs/decisions/0008)."""
    tenant_weights: dict[str, int] = {}
    """Shares of tenants inside a tier, against each other; 1 for a tenant that is not named."""
    tenant_burst: int = 100
    """A tenant with more jobs than this waiting in a tier pays `tenant_burst_penalty` more for each pick there."""
    tenant_burst_penalty: int = 1
    """In picks. 0: bursts cost nothing."""
    look_ahead_jobs: int = 64
    """How far behind the head of a line a job is looked for whose version a slot has loaded. 0: never."""
    look_ahead_percent: int = 50
    """A job that has waited more than this share of its SLO is passed over only where `switch_percent` says so."""
    switch_percent: int = 10
    """Share of a class's slots' time that may go to loading versions while jobs wait whose versions are loaded: after a
    load that long no other, whoever is passed over (docs/decisions/0012). Nothing until loads are seen to cost time."""
    may_starve: bool = False
    """Allows a discipline under which jobs may wait for ever while others bring more than the slots take: for
    experiments and what-if."""


def canonical(policy: Policy) -> Policy:
    """The same policy, its tiers, pools, clusters and tenants in the order of their names: its bytes are then the same
    wherever it came from."""
    return msgspec.json.decode(msgspec.json.encode(policy, order="deterministic"), type=Policy)


def fingerprint(policy: Policy) -> str:
    """sha256 of the canonical JSON: two documents that say the same have the same fingerprint."""
    canonical = msgspec.json.encode(policy, order="deterministic")
    return "sha256:" + hashlib.sha256(canonical).hexdigest()
