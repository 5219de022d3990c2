"""What is said to a pool's scheduler: the records of the topic `jobs`.

Everything that can change a decision of a pool arrives here, in one order: that of the partition. Each class is one
type of record. Its tag is its name and version, which the CloudEvents header `ce_type` repeats. `judge` reads a record
as an `Input`: the body without the payload (of a `JobSubmitted` its `Submission`), the record's offset, and the
broker's append time. The ledger records the same `Input`, so a decision can be made again without the topic.

Times are milliseconds since 1970 by the broker's clock (LogAppendTime) unless a field says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contract.media import OutputSource
from contract.names import digest_of
from contract.policy import CLUSTER_KINDS, Policy
from contract.preparation_reports import PreparationReport


class Requirements(msgspec.Struct, frozen=True, order=True):
    """What a slot must have to run a version. Jobs with equal requirements form one requirement class."""

    chipsets: tuple[str, ...]
    """The chipsets on which the version runs, sorted."""
    gpus: int = 1
    """GPUs that a slot must have. A slot of chipset cpu has none and needs none."""
    memory_mib: int = 0
    """Memory that a slot must have: GPU memory, or main memory on chipset cpu."""
    ranks: int = 1
    """Slots of one cluster that start an attempt together. More than 1: the attempt needs a gang."""


class Submission(msgspec.Struct, frozen=True, tag="Submission.v1"):
    """A request to run a model once, without its payload. Writers: api (`via` = api), intake (`via` = kafka)."""

    job: str
    tenant: str
    tier: str
    model: str
    """`model`, `model@alias` or `model@sha256:…`."""
    digest: str
    """Salted sha256 of the payload."""
    via: str
    """`api` or `kafka`. A submission via api is never too old to run: its user has a 202."""
    submitted_ms: int = 0
    """Via kafka: the append time in `submissions`. Via api: 0, and the append time in `jobs` counts."""
    expires_ms: int = 0
    """Deadline: a job that has not ended by then is ended. 0: none, or the next field says it."""
    expires_in_ms: int = 0
    """Deadline by the broker's clock alone: so long after the append time in `jobs`. Not 0: `expires_ms` is not looked
    at."""
    media: int = 0
    """How many media the payload names (contract.media)."""


class JobSubmitted(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobSubmitted.v1"):
    """The record in `jobs` that carries a submission and its payload, which the user wrote. Writers: api, intake."""

    submission: Submission
    inputs: msgspec.Raw
    """The model's inputs: JSON, in the bytes of which `digest` was made."""
    salt: str
    """Salt of the digest, 32 hex digits."""
    outputs: tuple[OutputSource, ...] = ()
    """Of each output of another job that the inputs name, once."""


class CancelRequested(msgspec.Struct, frozen=True, tag="CancelRequested.v1"):
    """Somebody wants the job ended. Writers: api, operators."""

    job: str
    tenant: str = ""
    """Only this tenant's job is ended. Empty: an operator asks, for a job of any tenant."""
    by: str = ""
    """For whom the signer speaks (ACTOR_NAME): of the API, the id of the key that asked. Empty: for itself."""


class EraseRequested(msgspec.Struct, frozen=True, tag="EraseRequested.v1"):
    """The job's words must be removed. A job that has not ended is cancelled first. Writers: api, operators."""

    job: str
    tenant: str = ""
    """`tenant` and `by` as in CancelRequested."""
    by: str = ""


class ErasureCompleted(msgspec.Struct, frozen=True, tag="ErasureCompleted.v1"):
    """Every copy that the ledger knew is tombstoned, and the results are deleted. Writer: whoever erased."""

    job: str
    offsets: tuple[int, ...]
    """Offsets in `jobs` whose records were tombstoned."""
    gone_by_ms: int
    """When the last copy in any topic is removed, by the topics' settings."""


class NodeJoined(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeJoined.v1"):
    """The node offers its slots. A join with a new session closes the attempts of the old one, unless the name is
    another machine's (`identity`). A header of the record may carry a join token (contract.join_tokens). Writer: node
    agent."""

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
    """Digests of the versions whose weights and environment are on the node's disk."""
    address: str = ""
    """host:port, the first of 1,000 ports at which other nodes reach rank 0 of a gang on this node. Empty: they cannot,
    so no gang on several nodes has its rank 0 here."""
    holds: int = 0
    """The most attempts, running and staged, that the node holds. The node gives back what it is sent beyond. 0: a node
    of v0.1.0, which says no number."""
    identity: str = ""
    """32 random hex digits that the agent wrote into its data directory at its first start. A join under the same name
    with another identity is refused as `name_taken` while the name's lease lasts. Empty: a node of v0.1.0, which knows
    neither this rule nor the orders Tell and Refuse nor several orders in one record."""
    layers_missing: tuple[str, ...] = ()
    """Which of LAYERS the node's canary found open: models of this node could reach through there. Empty: all layers
    hold, or the agent is of a release that has none."""
    kind: str = CLUSTER_KINDS[0]
    """What the node does: one of CLUSTER_KINDS, and that of its cluster."""


LAYERS = ("files", "memory", "network", "privileges", "signals", "sockets")
"""What holds a model off its node (docs/decisions/0034): files of the agent and of other slots, memory and environment
of the agent, network, rights and limits of the child, signals to the agent, sockets of the agent."""


class NodeHeartbeat(msgspec.Struct, frozen=True, omit_defaults=True, tag="NodeHeartbeat.v1"):
    """The node is alive, and lists what it does: every 5 s. Writer: node agent."""

    node: str
    session: str
    running: tuple[str, ...] = ()
    """Dispatch ids of the attempts that the node runs."""
    staged: tuple[str, ...] = ()
    """Dispatch ids of the attempts that the node holds and has not started."""
    loaded: tuple[str, ...] = ()
    """Digests of the versions loaded in the slots, sorted, each once."""
    cached: tuple[str, ...] = ()
    """As in NodeJoined. With `cached_digest` the list is here only after it changed, or when the order Tell asked."""
    draining: bool = False
    """True when the node takes no new work: it got SIGTERM, or an operator drains it."""
    cached_digest: str = ""
    """`cached_digest` of the versions on the node's disk, whether the heartbeat lists them or not. Empty: a node of
    v0.1.0, whose every heartbeat has the whole list."""
    usable: int = -1
    """Slots that can run an attempt. Less than the node's slots while a process there does not die. -1: all."""
    holding: str = ""
    """Why the node takes nothing new for now, one of HOLDING. Empty: the node takes work."""


HOLDING = ("store", "disk", "bytes", "payloads")
"""store: the object store does not do its work. disk: the node's disk is full. bytes: results that wait for the store
have filled their budget. payloads: `jobs` cannot be read."""


def cached_digest(cached: Iterable[str]) -> str:
    """The digest of a list of cached versions. The order of the list does not matter."""
    return digest_of("\n".join(sorted(set(cached))).encode())


class NodeLeft(msgspec.Struct, frozen=True, tag="NodeLeft.v1"):
    """The node leaves of its own will and gives back the attempts that it still holds. Writer: node agent."""

    node: str
    session: str


class Started(msgspec.Struct, frozen=True, tag="Started.v1"):
    """Report: the attempt is about to run. The node starts it only when the broker has acknowledged this report. For a
    gang, the node of rank 0 alone reports Started and Succeeded."""

    job: str
    dispatch: str


class Succeeded(msgspec.Struct, frozen=True, omit_defaults=True, tag="Succeeded.v1"):
    """Report: the outputs and their manifest are stored under results/<job>/<dispatch>/."""

    job: str
    dispatch: str
    manifest: str
    """Digest of the result manifest (contract.results)."""
    bytes: int = 0
    """Size of all output files."""
    load_ms: int = 0
    """How long this attempt waited for its version to be loaded after it started. 0: the version was loaded."""


class Failed(msgspec.Struct, frozen=True, tag="Failed.v1"):
    """Report: the attempt failed. Words that could quote the user stay in the object store (decision 0002)."""

    job: str
    dispatch: str
    kind: str
    """One of FAILURE_KINDS."""
    error: str = ""
    """One of contract.error_names.ERROR_NAMES. Never the exception's message."""


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
    "inputs_missing",
    "store",
)
"""bad_inputs: the model's own check refused the inputs, or the inputs are out of contract.bounds. bad_values: `predict`
returned no JSON object within contract.bounds. bad_outputs: an output file is missing or cannot be stored, the values
break the version's schema, or the child sent a frame that its pipe does not allow. inputs_missing: the object store
has lost the prepared inputs, which are then prepared anew."""

FAILURE_KINDS_FINAL = ("bad_inputs", "bad_values", "payload_missing")
"""Failures that no other attempt can mend: the job is dead-lettered at once."""


class Stopped(msgspec.Struct, frozen=True, tag="Stopped.v1"):
    """Report: the attempt ended without result or failure. The node was told to end it, or could not begin it."""

    job: str
    dispatch: str
    reason: str
    """killed (by order), recalled (by order, before the start), drained (the node leaves), unclaimed (the node never
    began the attempt)."""


STOP_REASONS = ("killed", "recalled", "drained", "unclaimed")

AttemptReport = Started | Succeeded | Failed | Stopped

Report = AttemptReport | PreparationReport


class NodeReport(msgspec.Struct, frozen=True, tag="NodeReport.v1"):
    """The reports of a node that were ready, in the order in which they happened. Writer: node agent."""

    node: str
    session: str
    reports: tuple[Report, ...]


class VersionPublished(msgspec.Struct, frozen=True, omit_defaults=True, tag="VersionPublished.v1"):
    """The version exists and may be run. Writer: registry relay."""

    model: str
    version: str
    """Digest of the version's manifest."""
    requirements: Requirements
    timeout_ms: int
    """The longest an attempt may run."""
    prepares: str = ""
    """Digest of the rules by which media are prepared for the version (contract.media.rules_digest). Empty: the version
    takes no media."""


class AliasMoved(msgspec.Struct, frozen=True, omit_defaults=True, tag="AliasMoved.v1"):
    """The alias of the model points to this version from now on. Writer: registry relay."""

    model: str
    alias: str
    version: str
    move: int
    """Number of the move in the alias's history. A move that arrives after a move with a higher number changes
    nothing."""
    by: str = ""
    """Who moved the alias, as the registry knows it (ACTOR_NAME). Empty: a release before 0.2.0 wrote the record."""


class PolicyApplied(msgspec.Struct, frozen=True, tag="PolicyApplied.v1"):
    """An operator puts a policy in force. Writer: operators (`headrace policy apply`)."""

    policy: Policy
    fingerprint: str
    revert_below_permille: int = 0
    """A bound on the policy's attainment, with `revert_jobs`: see PolicyAdopted."""
    revert_jobs: int = 0
    until_ms: int = 0
    """Until when, by the broker's clock, a signed record may change who may do what (contract.policy.ACCESS). So a copy
    of an old record gives nobody back what was taken from them."""


class ClusterDrainRequested(msgspec.Struct, frozen=True, tag="ClusterDrainRequested.v1"):
    """The cluster must take no new work; attempts that run at the deadline are pre-empted. Writer: operators."""

    cluster: str
    deadline_ms: int
    """0: attempts are never pre-empted."""


class ClusterActivated(msgspec.Struct, frozen=True, tag="ClusterActivated.v1"):
    """The draining cluster may take new work again. Writer: operators."""

    cluster: str


class WithdrawRequested(msgspec.Struct, frozen=True, tag="WithdrawRequested.v1"):
    """The version must not run any more. Writer: operators."""

    model: str
    version: str
    """The manifest digest."""
    kill: bool = False
    """Running attempts must be stopped, too. False: they may finish."""


class HoldRequested(msgspec.Struct, frozen=True, tag="HoldRequested.v1"):
    """The pool must accept jobs and start none until somebody releases it. Writer: operators."""


class ReleaseRequested(msgspec.Struct, frozen=True, tag="ReleaseRequested.v1"):
    """The pool may start jobs again. Writer: operators."""


class NodeCordonRequested(msgspec.Struct, frozen=True, tag="NodeCordonRequested.v1"):
    """The node must get nothing new until somebody says otherwise, in this session and in later ones. Writer:
    operators."""

    node: str


class NodeUncordonRequested(msgspec.Struct, frozen=True, tag="NodeUncordonRequested.v1"):
    """The node may get work as any other, whatever set it aside. Writer: operators."""

    node: str


class Unreadable(msgspec.Struct, frozen=True, tag="Unreadable.v1"):
    """A record of `jobs` that no scheduler can read; `quarantine` holds it. Never in `jobs`: the pool's host puts this
    in the record's place."""

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
    | NodeCordonRequested
    | NodeUncordonRequested
    | HoldRequested
    | ReleaseRequested
    | WithdrawRequested
)

Wire = JobSubmitted | _Said
"""The records that may be written to `jobs`."""

Body = Submission | _Said | Unreadable
"""What `judge` reads of a record: of a JobSubmitted its submission."""


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record of `jobs`, as `judge` reads it and the ledger records it."""

    offset: int
    at_ms: int
    """Append time by the broker's clock."""
    body: Body
    key: str = ""
    """The record's key, of a submission only: an erasure needs the key to tombstone the record."""
    signer: str = ""
    """Who signed the record (contract.signers): `api`, `intake`, `node.<cluster>/<name>`… Empty: the record was written
    before the pool asked for signatures."""
    token_until_ms: int = 0
    """Of a NodeJoined: until when its join token, which the host has checked, lets the node join. 0: the record has no
    token that is good for this node."""


def actor_of(record: Input) -> str:
    """Who is the actor of what this record leads to: the signer, and after a colon for whom the signer speaks. Empty:
    nobody signed, and nobody is named."""
    by = getattr(record.body, "by", "")
    return f"{record.signer}:{by}" if by else record.signer
