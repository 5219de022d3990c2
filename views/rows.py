"""The rows of the read models, as they are folded in memory and stored.

Field order is column order; names and types are those of migration 0002_views. Times are milliseconds since the
epoch by the pool's clock (`now_ms` of the batch), None while the thing has not happened.
"""

from __future__ import annotations

import msgspec


class JobRow(msgspec.Struct):
    """One job. `model` is the reference the user wrote until the ledger accepts it, then the model's name."""

    job: str
    pool: str
    tenant: str
    tier: str
    model: str
    version: str
    state: str
    submitted_ms: int
    expires_ms: int = 0
    accepted_ms: int | None = None
    dispatched_ms: int | None = None
    """Of the newest attempt, as is `started_ms`."""
    started_ms: int | None = None
    ended_ms: int | None = None
    attempts: int = 0
    failures: int = 0
    failure: str = ""
    """Kind of the newest failed attempt."""
    reason: str = ""
    """Why it is ending or ended without a result."""
    result_dispatch: str = ""
    result_manifest: str = ""
    erasure: str = ""
    """Empty, `ordered` or `erased`."""
    gone_by_ms: int | None = None
    start_p50_ms: int | None = None
    """Newest forecast of its wait: half of such jobs start within it; None: there was none."""
    start_p90_ms: int | None = None
    """Nine in ten start within it."""


class AttemptRow(msgspec.Struct):
    """One attempt, with the evidence of the choice that made it (see contract.events.JobDispatched)."""

    job: str
    attempt: int
    pool: str
    dispatch: str
    node: str
    session: str
    cluster: str
    state: str
    """staged, running, succeeded, failed or closed."""
    dispatched_ms: int
    started_ms: int | None
    ended_ms: int | None
    waited_ms: int
    slo_ms: int
    next_job: str
    """May be another tenant's: for operators only."""
    next_waited_ms: int
    next_slo_ms: int
    limit: int
    staged: int
    bound: str
    failure: str = ""
    """Kind, when the node reported a failure."""
    error: str = ""
    closed: str = ""
    """Reason, when it was closed without a report of success or failure."""
    counts: bool = False
    """True when it counts towards the job's failures."""


class JobEventRow(msgspec.Struct):
    """One event of one job: the feed. (seq, index) orders it within the job's pool."""

    job: str
    seq: int
    index: int
    pool: str
    at_ms: int
    event: str
    state: str
    """The job's state after it."""
    attempt: int
    words: str


class JobCopyRow(msgspec.Struct):
    """Where a copy of the job's words lies in `jobs`: what an erasure must tombstone."""

    job: str
    offset: int
    pool: str
    key: str


class NodeRow(msgspec.Struct):
    pool: str
    node: str
    session: str
    cluster: str
    chipset: str
    slots: int
    gpus: int
    memory_mib: int
    loaded: tuple[str, ...]
    cached: tuple[str, ...]
    state: str
    """ready, draining, departed or lost."""
    joined_ms: int
    heard_ms: int


class ClusterRow(msgspec.Struct):
    pool: str
    cluster: str
    limit: int
    state: str
    """active, draining, or removed (no longer in the policy)."""
    deadline_ms: int | None = None
    """When what still runs is pre-empted; None when never."""


class PolicyRow(msgspec.Struct):
    pool: str
    fingerprint: str
    document: msgspec.Raw
    adopted_ms: int
    seq: int


class VersionRow(msgspec.Struct):
    pool: str
    model: str
    version: str
    requirements: msgspec.Raw
    timeout_ms: int
    registered_ms: int


class AliasRow(msgspec.Struct):
    pool: str
    model: str
    alias: str
    version: str
    move: int
    pointed_ms: int
