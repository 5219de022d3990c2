"""What is said to a pool's scheduler: the records of the topic `jobs`.

Everything that can change a decision of a pool arrives here, in one order (the partition's). Each class is one
record type; its tag is its name and version, and travels as CloudEvents `type` too. `judge` reads a record as an
`Input`: the body without the payload (`JobSubmitted` becomes its `Submission`), where it lies, and the broker's
append time. That is also what the ledger records, so a decision can be made again without the topic.

Times are milliseconds since the epoch by the broker's clock (LogAppendTime) unless a field says otherwise.
"""

from __future__ import annotations

import msgspec

from contract.policy import Policy


class Requirements(msgspec.Struct, frozen=True, order=True):
    """What a slot must have to run a version. Jobs whose requirements are equal form one requirement class."""

    chipsets: tuple[str, ...]
    """Any of these chipsets will do; sorted."""
    gpus: int = 1
    """GPUs of one slot, where it runs on GPUs: a slot of chipset cpu has none and needs none."""
    memory_mib: int = 0
    """Memory a slot must offer (GPU memory, or main memory on chipset cpu)."""
    ranks: int = 1
    """Slots of one cluster that start an attempt together: more than 1 is a gang."""


class Submission(msgspec.Struct, frozen=True, tag="Submission.v1"):
    """A request to run a model once, without its payload. Written by api (`via` = api) or intake (kafka)."""

    job: str
    tenant: str
    tier: str
    model: str
    """`model`, `model@alias` or `model@sha256:…`."""
    digest: str
    """Salted sha256 of the payload."""
    via: str
    """`api` or `kafka`. What the api acknowledged is never too old to run."""
    submitted_ms: int = 0
    """Append time in `submissions` when via kafka; 0 via api: then the append time in `jobs` counts."""
    expires_ms: int = 0
    """Deadline: a job that has not ended by then is ended. 0 = none."""


class JobSubmitted(msgspec.Struct, frozen=True, tag="JobSubmitted.v1"):
    """The record in `jobs` that carries a submission and what its user wrote. Writers: api, intake."""

    submission: Submission
    inputs: msgspec.Raw
    """The model's inputs, JSON exactly as digested."""
    salt: str
    """32 hex digits."""


class CancelRequested(msgspec.Struct, frozen=True, tag="CancelRequested.v1"):
    """Someone wants a job ended. Writers: api, operators. `tenant` empty: an operator, any tenant's job."""

    job: str
    tenant: str = ""


class EraseRequested(msgspec.Struct, frozen=True, tag="EraseRequested.v1"):
    """A job's words must go: it is cancelled if it has not ended. Writers: api, operators."""

    job: str
    tenant: str = ""


class ErasureCompleted(msgspec.Struct, frozen=True, tag="ErasureCompleted.v1"):
    """Every copy the ledger knew is tombstoned and the results deleted. Writer: whoever erased."""

    job: str
    offsets: tuple[int, ...]
    """Offsets in `jobs` whose records were tombstoned."""
    gone_by_ms: int
    """When the last copy in any topic is gone, by the topics' settings."""


class NodeJoined(msgspec.Struct, frozen=True, tag="NodeJoined.v1"):
    """A node offers its slots. A join with a new session closes what the old session held. Writer: node agent."""

    node: str
    session: str
    cluster: str
    chipset: str
    slots: int
    gpus: int
    """GPUs of each slot (0 on chipset cpu)."""
    memory_mib: int
    """Memory of each slot."""
    cached: tuple[str, ...] = ()
    """Version digests whose weights and environment are on the node's disk."""
    address: str = ""
    """host:port, of the first of 1,000 ports at which rank 0 of a gang on this node can be reached from other nodes;
    empty: it can't be, and no gang across nodes has its rank 0 here."""
    holds: int = 0
    """Attempts that it holds at most, running and staged: it gives back whatever is sent beyond. 0: a node of v0.1.0,
    which did not say it."""


class NodeHeartbeat(msgspec.Struct, frozen=True, tag="NodeHeartbeat.v1"):
    """A node is alive, and this is what it does: every 5 s. Writer: node agent."""

    node: str
    session: str
    running: tuple[str, ...] = ()
    """Dispatch ids it runs."""
    staged: tuple[str, ...] = ()
    """Dispatch ids it holds and has not started."""
    loaded: tuple[str, ...] = ()
    """Version digests loaded in a slot, sorted, each once."""
    cached: tuple[str, ...] = ()
    draining: bool = False
    """It takes no new work (SIGTERM, or an operator's drain)."""


class NodeLeft(msgspec.Struct, frozen=True, tag="NodeLeft.v1"):
    """A node leaves of its own will; what it still held is handed back. Writer: node agent."""

    node: str
    session: str


class Started(msgspec.Struct, frozen=True, tag="Started.v1"):
    """Report: the attempt is about to run; the node waits for the broker's ack of this before it does. Of a gang, this
    and Succeeded are for the node of rank 0 to say."""

    job: str
    dispatch: str


class Succeeded(msgspec.Struct, frozen=True, tag="Succeeded.v1"):
    """Report: outputs and their manifest are stored under results/<job>/<dispatch>/."""

    job: str
    dispatch: str
    manifest: str
    """Digest of the result manifest (contract.results)."""


class Failed(msgspec.Struct, frozen=True, tag="Failed.v1"):
    """Report: the attempt failed. Words that could quote the user stay in the object store."""

    job: str
    dispatch: str
    kind: str
    """One of FAILURE_KINDS."""
    error: str = ""
    """An identifier: a fixed phrase of ours, or the class of an exception that everybody knows (Python's own, torch's);
    any other class is OtherError. Never the message."""


FAILURE_KINDS = (
    "model_error",
    "time_out",
    "child_died",
    "out_of_memory",
    "bad_inputs",
    "bad_values",
    "bad_outputs",
    "environment",
    "payload_missing",
    "store",
)
"""bad_inputs: the model's own check refused them, or they are none that contract.bounds allows. bad_values: what
`predict` returned is no JSON object that contract.bounds allows. bad_outputs: files that are not there or cannot be
stored, values that break the version's schema, a child that does not keep to its pipe's frames."""

FAILURE_KINDS_FINAL = ("bad_inputs", "bad_values", "payload_missing")
"""Failures that another attempt cannot mend: the job is dead-lettered at once."""


class Stopped(msgspec.Struct, frozen=True, tag="Stopped.v1"):
    """Report: the attempt ended without a result of its own because it was told to."""

    job: str
    dispatch: str
    reason: str
    """killed (order), recalled (order, had not started), drained (the node is leaving), unclaimed (never begun)."""


Report = Started | Succeeded | Failed | Stopped


class NodeReport(msgspec.Struct, frozen=True, tag="NodeReport.v1"):
    """All reports of a node that were ready, in the order they happened. Writer: node agent."""

    node: str
    session: str
    reports: tuple[Report, ...]


class VersionPublished(msgspec.Struct, frozen=True, tag="VersionPublished.v1"):
    """A version exists and may be run. Writer: registry relay."""

    model: str
    version: str
    """Digest of its manifest."""
    requirements: Requirements
    timeout_ms: int
    """The longest an attempt may run."""


class AliasMoved(msgspec.Struct, frozen=True, tag="AliasMoved.v1"):
    """A pointer of a model points to another version from here on. Writer: registry relay."""

    model: str
    alias: str
    version: str
    move: int
    """Row number of the alias history: an older move that arrives late changes nothing."""


class PolicyApplied(msgspec.Struct, frozen=True, tag="PolicyApplied.v1"):
    """An operator applies a policy document. Writer: operators (`headrace policy apply`)."""

    policy: Policy
    fingerprint: str
    revert_below_permille: int = 0
    """Set with it: see PolicyAdopted."""
    revert_jobs: int = 0


class ClusterDrainRequested(msgspec.Struct, frozen=True, tag="ClusterDrainRequested.v1"):
    """A cluster takes no new work; what runs at the deadline is pre-empted. Writer: operators."""

    cluster: str
    deadline_ms: int
    """0 = never pre-empt."""


class ClusterActivated(msgspec.Struct, frozen=True, tag="ClusterActivated.v1"):
    """A draining cluster takes work again. Writer: operators."""

    cluster: str


class Unreadable(msgspec.Struct, frozen=True, tag="Unreadable.v1"):
    """A record that is no input: it is in `quarantine` with the reason. Never on the wire: the host makes it."""

    reason: str
    """A fixed phrase of ours, never the record's words."""


_Said = (
    CancelRequested
    | EraseRequested
    | ErasureCompleted
    | NodeJoined
    | NodeHeartbeat
    | NodeLeft
    | NodeReport
    | VersionPublished
    | AliasMoved
    | PolicyApplied
    | ClusterDrainRequested
    | ClusterActivated
)

Wire = JobSubmitted | _Said
"""What may be written to `jobs`."""

Body = Submission | _Said | Unreadable
"""What `judge` reads: of a JobSubmitted, its submission."""


class Input(msgspec.Struct, frozen=True):
    """One record of `jobs` as `judge` reads it and the ledger keeps it."""

    offset: int
    at_ms: int
    """Append time by the broker's clock."""
    body: Body
    key: str = ""
    """The record's key, for submissions only: an erasure names the record by it."""
