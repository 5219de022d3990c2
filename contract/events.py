"""What happened: the events of a pool's ledger. Written by the pool's one scheduler, read by everyone.

State = fold(events). `evolve` reads nothing else, so every fact that matters is here; what a user wrote is not.
Each class is frozen, and its tag (name and version) never changes meaning: a changed event gets a new version and
`evolve` folds both. Those about nodes and clusters lie in contract.capacity_events.
A *dispatch* names the attempt it starts (contract.names.dispatch_id).
"""

from __future__ import annotations

import msgspec

from contract.capacity_events import ClusterDraining as ClusterDraining
from contract.capacity_events import ClusterReturned as ClusterReturned
from contract.capacity_events import LimitAdapted as LimitAdapted
from contract.capacity_events import NodeAdmitted as NodeAdmitted
from contract.capacity_events import NodeDeparted as NodeDeparted
from contract.capacity_events import NodeDrained as NodeDrained
from contract.capacity_events import NodeHeard as NodeHeard
from contract.capacity_events import NodeLost as NodeLost
from contract.capacity_events import NodeRefused as NodeRefused
from contract.capacity_events import NodeVersionsChanged as NodeVersionsChanged
from contract.inputs import Requirements
from contract.policy import Policy


class Opened(msgspec.Struct, frozen=True, tag="Opened.v1"):
    """A scheduler took the pool over. Alone in its record, which reads no input."""

    session: str
    release: str
    rules: int
    """Number of the decision rules (scheduling.RULES): raised whenever any decision could differ."""


class PolicyAdopted(msgspec.Struct, frozen=True, tag="PolicyAdopted.v1"):
    """From here on this policy decides."""

    policy: Policy
    fingerprint: str
    revert_below_permille: int = 0
    """Of the first `revert_jobs` jobs that start after it, at least so many in 1,000 must start within their SLO, or
    the policy before it comes back (PolicyReverted). 0: it stays."""
    revert_jobs: int = 0


class PolicyReverted(msgspec.Struct, frozen=True, tag="PolicyReverted.v1"):
    """The policy in force kept its bound no longer: the one before it decides from here on."""

    policy: Policy
    """The one that comes back."""
    fingerprint: str
    attainment_permille: int
    """What was reached, against the bound set with the policy that goes."""
    jobs: int
    """Jobs that had started under it."""


class VersionRegistered(msgspec.Struct, frozen=True, tag="VersionRegistered.v1"):
    model: str
    version: str
    requirements: Requirements
    timeout_ms: int


class AliasPointed(msgspec.Struct, frozen=True, tag="AliasPointed.v1"):
    """Jobs accepted from here on under this alias run this version; those accepted before keep theirs."""

    model: str
    alias: str
    version: str
    move: int


class JobAccepted(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobAccepted.v1"):
    """The job exists, is queued, and is pinned to an exact version."""

    job: str
    tenant: str
    tier: str
    model: str
    """The model's name alone."""
    version: str
    submitted_ms: int
    """What its wait is counted from; a retry keeps it."""
    expires_ms: int
    offset: int
    """Where its payload lies in `jobs` (the pool's partition)."""
    key: str
    digest: str
    expected_ms: int = 0
    """Run time expected of its version, by the run times recorded so far; 0: none yet."""
    start_p50_ms: int = 0
    """Forecast of its wait: half of such jobs start within it."""
    start_p90_ms: int = 0
    """Forecast of its wait: nine in ten start within it. 0 with `start_p50_ms` 0: no forecast."""


class StartForecast(msgspec.Struct, frozen=True, tag="StartForecast.v1"):
    """The forecast made before has not come true or holds no longer: a new one, counted from `submitted_ms` too."""

    job: str
    p50_ms: int
    p90_ms: int


class JobRefused(msgspec.Struct, frozen=True, tag="JobRefused.v1"):
    """Terminal: the job cannot run. `reason` is one of REFUSALS."""

    job: str
    tenant: str
    reason: str
    offset: int
    key: str


REFUSALS = ("unknown_model", "unknown_alias", "unknown_version", "unknown_tier", "no_cluster_fits", "expired")


class JobDuplicated(msgspec.Struct, frozen=True, tag="JobDuplicated.v1"):
    """A further copy of a known submission. Changes nothing but what an erasure must find."""

    job: str
    offset: int
    key: str


class Member(msgspec.Struct, frozen=True):
    """One more slot of a gang."""

    node: str
    session: str


class JobDispatched(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobDispatched.v1"):
    """The job goes to a node: attempt `attempt` is open, staged until it starts. With the evidence of the choice."""

    job: str
    attempt: int
    dispatch: str
    node: str
    session: str
    cluster: str
    waited_ms: int
    slo_ms: int
    """Wait fraction of the job chosen = waited_ms / slo_ms."""
    next_job: str
    """The best job that could have gone in its place; empty when there was none."""
    next_waited_ms: int
    next_slo_ms: int
    limit: int
    """The cluster's dispatch limit in force."""
    staged: int
    """Attempts of the cluster dispatched and not started, this one included."""
    bound: str
    """What held the job until now: slots, limit, backoff, version, or nothing."""
    reason: str = ""
    """Why the discipline chose it: one of its own fixed words."""
    passed: str = ""
    """The job that look-ahead passed over for it, because a slot has its version loaded; empty: none."""
    members: tuple[Member, ...] = ()
    """Slots of ranks 1, 2… of a gang; rank 0 runs on `node`."""
    rendezvous: str = ""
    """host:port of rank 0 of a gang on several nodes."""


class GangReserved(msgspec.Struct, frozen=True, omit_defaults=True, tag="GangReserved.v1"):
    """Slots of these nodes are kept free for a gang that goes next and does not fit yet."""

    job: str
    cluster: str
    nodes: tuple[str, ...]
    """One entry for each slot kept."""
    free_ms: int = 0
    """When the last of them is expected to be free: what is expected to end by then may use one meanwhile."""


class GangReleased(msgspec.Struct, frozen=True, tag="GangReleased.v1"):
    """The slots kept for the gang are anyone's again, and it has not started."""

    job: str
    reason: str
    """ended (the job), node_gone (or it drains), draining (the cluster), policy (has the cluster no longer)."""


class AttemptStarted(msgspec.Struct, frozen=True, tag="AttemptStarted.v1"):
    job: str
    dispatch: str


class RecallOrdered(msgspec.Struct, frozen=True, tag="RecallOrdered.v1"):
    """The staged attempt is wanted back; it closes when the node confirms, starts first, or is lost."""

    job: str
    dispatch: str
    reason: str
    """cancel, erase, expired, drain, elsewhere (another cluster would start it sooner)."""


class KillOrdered(msgspec.Struct, frozen=True, tag="KillOrdered.v1"):
    """The started attempt must stop; its slot stays occupied until the node says it stopped or is lost."""

    job: str
    dispatch: str
    reason: str
    """cancel, erase, expired, pre_empt."""


class JobCancelling(msgspec.Struct, frozen=True, tag="JobCancelling.v1"):
    """The job will end without a result as soon as its open attempt closes. First in log order wins."""

    job: str
    reason: str
    """cancel, erase, expired."""


class AttemptFailed(msgspec.Struct, frozen=True, omit_defaults=True, tag="AttemptFailed.v1"):
    """The attempt is closed by the node's report and counts as a failure."""

    job: str
    dispatch: str
    kind: str
    error: str
    node: str = ""
    """Of a gang: the node that reported it, where it is not that of rank 0."""


class AttemptClosed(msgspec.Struct, frozen=True, omit_defaults=True, tag="AttemptClosed.v1"):
    """The attempt is closed without a report of failure: its node gave it back, was told to, or is gone."""

    job: str
    dispatch: str
    reason: str
    """recalled, killed, drained, unclaimed, lost, rejoined, pre_empted."""
    counts: bool
    """True when it counts towards the failures: a node lost under a started attempt."""
    node: str = ""
    """Of a gang: the node whose word or loss closed it, where it is not that of rank 0."""


class JobRequeued(msgspec.Struct, frozen=True, tag="JobRequeued.v1"):
    """The job waits again, at its own submit time, eligible once lease time has passed `eligible_lease_ms`."""

    job: str
    eligible_lease_ms: int


class JobSucceeded(msgspec.Struct, frozen=True, tag="JobSucceeded.v1"):
    """Terminal: the result of the open attempt is accepted."""

    job: str
    dispatch: str
    manifest: str


class JobDeadLettered(msgspec.Struct, frozen=True, tag="JobDeadLettered.v1"):
    """Terminal: too many failures, or one that no retry can mend. Its AttemptFailed events say why."""

    job: str
    failures: int


class JobQuarantined(msgspec.Struct, frozen=True, tag="JobQuarantined.v1"):
    """Terminal: two nodes were lost under it, each alone: it is suspected of killing nodes."""

    job: str
    nodes: tuple[str, ...]


class JobCancelled(msgspec.Struct, frozen=True, tag="JobCancelled.v1"):
    """Terminal: ended on request (reason cancel or erase)."""

    job: str
    reason: str


class JobExpired(msgspec.Struct, frozen=True, tag="JobExpired.v1"):
    """Terminal: its deadline passed."""

    job: str


class ErasureOrdered(msgspec.Struct, frozen=True, tag="ErasureOrdered.v1"):
    """The job's words are to go; these are the copies in `jobs` that the ledger knows so far."""

    job: str


class JobErased(msgspec.Struct, frozen=True, tag="JobErased.v1"):
    """The job's words are gone from the object store and tombstoned in `jobs`; no topic has them after `gone_by_ms`."""

    job: str
    offsets: tuple[int, ...]
    gone_by_ms: int


class ReportStale(msgspec.Struct, frozen=True, tag="ReportStale.v1"):
    """A report, cancel or heartbeat that no longer means anything: only counters change."""

    kind: str
    """The input's name: Started, Succeeded, Failed, Stopped, NodeHeartbeat, NodeLeft, AliasMoved, CancelRequested…"""


class InputQuarantined(msgspec.Struct, frozen=True, tag="InputQuarantined.v1"):
    """The record at this offset was not acted on; `quarantine` has it, with the reason."""

    offset: int
    reason: str
    job: str = ""
    """Set when it was a submission too old to run."""
    key: str = ""


Event = (
    Opened
    | PolicyAdopted
    | PolicyReverted
    | VersionRegistered
    | AliasPointed
    | JobAccepted
    | StartForecast
    | JobRefused
    | JobDuplicated
    | JobDispatched
    | GangReserved
    | GangReleased
    | LimitAdapted
    | AttemptStarted
    | RecallOrdered
    | KillOrdered
    | JobCancelling
    | AttemptFailed
    | AttemptClosed
    | JobRequeued
    | JobSucceeded
    | JobDeadLettered
    | JobQuarantined
    | JobCancelled
    | JobExpired
    | ErasureOrdered
    | JobErased
    | NodeAdmitted
    | NodeRefused
    | NodeHeard
    | NodeVersionsChanged
    | NodeDrained
    | NodeDeparted
    | NodeLost
    | ClusterDraining
    | ClusterReturned
    | ReportStale
    | InputQuarantined
)
