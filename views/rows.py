"""The rows of the read models, as they are folded in memory and stored.

Fields have the order of the columns, and the names and types of the migrations. Times are milliseconds since the epoch
by the clock of the pool (`now_ms` of the batch), and None for what has not happened yet. views.columns says what a
column holds and what becomes of any other value.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from contract.policy import CLUSTER_KINDS

KeyText = Annotated[str, "key"]
"""Text in an index, which takes KEY_BYTES_MAX bytes (views.columns)."""
Int32 = Annotated[int, "integer"]
"""A whole number of 32 bits. A plain `int` has 64."""

UNREADABLE = "unreadable"
"""State of a job when the views could not store one of its events. Only the views have this state: the job goes on."""


class JobRow(msgspec.Struct):
    """One job in its newest life. `model` is the reference that the user wrote until the ledger accepts the job, then
    the name of the model."""

    job: KeyText
    pool: KeyText
    tenant: KeyText
    tier: KeyText
    model: str
    version: str
    state: KeyText
    submitted_ms: int
    expires_ms: int = 0
    accepted_ms: int | None = None
    dispatched_ms: int | None = None
    """Of the newest attempt, like `started_ms`."""
    started_ms: int | None = None
    ended_ms: int | None = None
    attempts: Int32 = 0
    failures: Int32 = 0
    failure: str = ""
    """Kind of the newest failed attempt."""
    reason: str = ""
    """Why the job is ending, ended without a result, or is unreadable."""
    result_dispatch: str = ""
    result_manifest: str = ""
    erasure: str = ""
    """Empty, `ordered` or `erased`."""
    gone_by_ms: int | None = None
    start_p50_ms: int | None = None
    """Newest forecast of its wait: half of such jobs start within this time. None: no forecast."""
    start_p90_ms: int | None = None
    """Nine in ten such jobs start within this time."""
    media: Int32 = 0
    """How many media its submission names, which CPU workers prepare."""
    preparation: str = ""
    """The newest preparation of its media: it is open, or the job has its inputs, or it came to nothing, or its worker
    refused the media."""
    prepared_ms: int | None = None
    """When the job got the inputs that it has. None: it has none."""
    prepare_node: str = ""
    """The CPU worker at which the preparation is open; empty: none is."""
    prepare_cluster: str = ""


class AttemptRow(msgspec.Struct):
    """One attempt, with the evidence of the choice that made the attempt (see contract.events.JobDispatched)."""

    job: KeyText
    attempt: Int32
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
    """May belong to another tenant: for operators only."""
    next_waited_ms: int
    next_slo_ms: int
    limit: Int32
    staged: Int32
    bound: str
    failure: str = ""
    """Kind, when the node reported a failure."""
    error: str = ""
    closed: str = ""
    """Reason, when the attempt was closed without a report of success or failure."""
    counts: bool = False
    """Whether the attempt counts as a failure of the job."""
    others: tuple[str, ...] = ()
    """Of a gang: the nodes beside `node` that have ranks, each once."""
    bytes: int | None = None
    """Size of its output files, once it has succeeded."""
    load_ms: int | None = None
    """How long it waited for its version to be loaded, once it has succeeded. 0: the version was loaded, or its node is
    of v0.1.0, which does not say."""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.node, *self.others)


OPEN = ("staged", "running")
"""States of an attempt that counts for its cluster and its nodes."""


class JobEventRow(msgspec.Struct):
    """One event of one job, for its feed. (seq, index) gives the order within the pool."""

    job: KeyText
    seq: int
    index: Int32
    pool: str
    at_ms: int
    event: str
    state: str
    """The state of the job after the event."""
    attempt: Int32
    words: str
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of): for operators only, see views.actors. Empty: nobody did."""


class JobCopyRow(msgspec.Struct):
    """Where a copy of the words of a job lies in `jobs`, over all lives of the job. An erasure must tombstone it."""

    job: KeyText
    offset: int
    pool: str
    key: str


class NodeRow(msgspec.Struct):
    """A node as it is, or as it was when it left, with nothing loaded."""

    pool: KeyText
    node: KeyText
    session: str
    cluster: str
    chipset: str
    slots: Int32
    gpus: Int32
    memory_mib: int
    loaded: tuple[str, ...]
    cached: tuple[str, ...]
    state: str
    """ready, draining, departed or lost."""
    joined_ms: int
    heard_ms: int
    usable: Int32 = 0
    """Slots that can run an attempt."""
    holding: str = ""
    """Why the node takes nothing new for now; empty: it takes work."""
    cordoned: str = ""
    """Why the node is cordoned, in whatever session; empty: it is not."""
    cordoned_by: str = ""
    """The operator who did it; empty: none did."""
    kind: str = CLUSTER_KINDS[0]
    """run, or prepare: a CPU worker."""


class ClusterRow(msgspec.Struct):
    pool: KeyText
    cluster: KeyText
    limit: int
    """The limit in force; 0: the policy has no such cluster in this pool."""
    state: str
    """active, draining, or removed (not in the policy)."""
    deadline_ms: int | None = None
    """When running attempts are pre-empted; None: never."""
    actor: str = ""
    """The operator who had it drain, or brought it back; empty: none did."""
    kind: str = CLUSTER_KINDS[0]
    """What its nodes do: run, or prepare."""


class PolicyRow(msgspec.Struct):
    pool: KeyText
    fingerprint: str
    document: msgspec.Raw
    adopted_ms: int
    seq: int
    actor: str = ""
    """The operator who applied it; empty: it came back by itself (PolicyReverted), or nobody signed."""


class VersionRow(msgspec.Struct):
    pool: KeyText
    model: KeyText
    version: KeyText
    requirements: msgspec.Raw
    timeout_ms: int
    registered_ms: int


class WithdrawalRow(msgspec.Struct):
    """A version that must not run any more."""

    pool: KeyText
    model: KeyText
    version: KeyText
    kill: bool
    """Running attempts are stopped, too."""
    withdrawn_ms: int
    actor: str = ""


class AliasRow(msgspec.Struct):
    pool: KeyText
    model: KeyText
    alias: KeyText
    version: str
    move: int
    pointed_ms: int
