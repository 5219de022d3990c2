"""What happened: the events of a pool's ledger. The pool's one scheduler writes them, everyone reads them.

State = fold(events). `evolve` reads nothing else, so every fact that a decision needs is in an event. What a user wrote
is in none. A tag (name and version) never changes its meaning: a changed event gets a new version, and `evolve` folds
both. Events about nodes and clusters are in contract.capacity_events, those about versions and aliases in
contract.version_events, those about a whole pool in contract.pool_events, those about jobs whose media are prepared in
contract.preparation_events. A field `dispatch` names an attempt (contract.names.dispatch_id).
"""

from __future__ import annotations

import msgspec

from contract.capacity_events import ClusterDraining as ClusterDraining
from contract.capacity_events import ClusterReturned as ClusterReturned
from contract.capacity_events import LimitAdapted as LimitAdapted
from contract.capacity_events import NodeAdmitted as NodeAdmitted
from contract.capacity_events import NodeCordoned as NodeCordoned
from contract.capacity_events import NodeDeparted as NodeDeparted
from contract.capacity_events import NodeDrained as NodeDrained
from contract.capacity_events import NodeHeard as NodeHeard
from contract.capacity_events import NodeLost as NodeLost
from contract.capacity_events import NodeRefused as NodeRefused
from contract.capacity_events import NodeSlotsChanged as NodeSlotsChanged
from contract.capacity_events import NodeUncordoned as NodeUncordoned
from contract.capacity_events import NodeVersionsChanged as NodeVersionsChanged
from contract.pool_events import Opened as Opened
from contract.pool_events import PolicyAdopted as PolicyAdopted
from contract.pool_events import PolicyReverted as PolicyReverted
from contract.pool_events import PoolHeld as PoolHeld
from contract.pool_events import PoolReleased as PoolReleased
from contract.preparation_events import InputsDropped as InputsDropped
from contract.preparation_events import InputsPrepared as InputsPrepared
from contract.preparation_events import InputsRefused as InputsRefused
from contract.preparation_events import JobPreparing as JobPreparing
from contract.preparation_events import PreparationClosed as PreparationClosed
from contract.preparation_events import PreparationOrdered as PreparationOrdered
from contract.version_events import AliasPointed as AliasPointed
from contract.version_events import VersionRegistered as VersionRegistered
from contract.version_events import VersionWithdrawn as VersionWithdrawn


class JobAccepted(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobAccepted.v1"):
    """The job exists, waits in the queue, and is pinned to an exact version."""

    job: str
    tenant: str
    tier: str
    model: str
    """The model's name, without alias or digest."""
    version: str
    submitted_ms: int
    """The moment from which the job's wait counts. Retries keep it."""
    expires_ms: int
    offset: int
    """Offset, key and digest of the record in `jobs` that carries the payload, in the pool's partition."""
    key: str
    digest: str
    expected_ms: int = 0
    """Expected run time, by the recorded run times of the version. 0: none is recorded."""
    start_p50_ms: int = 0
    """Forecast of the wait: half of such jobs start within it."""
    start_p90_ms: int = 0
    """Forecast of the wait: nine in ten such jobs start within it. Both 0: no forecast."""
    alias: str = ""
    """The alias that the job named: if its version is withdrawn, it takes the version that the alias has then. Empty:
    the job named the digest, or was accepted by rules before 4."""


class JobRepinned(msgspec.Struct, frozen=True, tag="JobRepinned.v1"):
    """The job's version was withdrawn before the job could run: the job is pinned to the version that its alias has
    now, and keeps its submit time and its forecast."""

    job: str
    version: str


class StartForecast(msgspec.Struct, frozen=True, tag="StartForecast.v1"):
    """A new forecast of the job's wait, counted from `submitted_ms`. The forecast before has passed or no longer
    holds."""

    job: str
    p50_ms: int
    p90_ms: int


class JobRefused(msgspec.Struct, frozen=True, tag="JobRefused.v1"):
    """Terminal: the job cannot run; `reason` is one of REFUSALS."""

    job: str
    tenant: str
    reason: str
    offset: int
    key: str


REFUSALS = (
    *("unknown_model", "unknown_alias", "unknown_version", "version_withdrawn"),
    *("unknown_tier", "no_cluster_fits", "expired"),
)


class JobDuplicated(msgspec.Struct, frozen=True, tag="JobDuplicated.v1"):
    """One more copy of a known submission arrived. Only an erasure needs to know it: it removes every copy."""

    job: str
    offset: int
    key: str


class Member(msgspec.Struct, frozen=True):
    """The node of one slot of a gang, beside rank 0's slot."""

    node: str
    session: str


class JobDispatched(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobDispatched.v1"):
    """The job goes to a node: its attempt is open, and staged until it starts. The fields from `waited_ms` on are the
    evidence of the choice."""

    job: str
    attempt: int
    dispatch: str
    node: str
    session: str
    cluster: str
    waited_ms: int
    slo_ms: int
    """The job's wait fraction is waited_ms / slo_ms."""
    next_job: str
    """The best job that could have gone instead; empty: there was none."""
    next_waited_ms: int
    next_slo_ms: int
    limit: int
    """The cluster's dispatch limit in force."""
    staged: int
    """The cluster's attempts dispatched and not started, this one included."""
    bound: str
    """What held the job back until now: slots, limit, inputs (which are prepared now), backoff, version, or nothing."""
    reason: str = ""
    """Why the discipline chose the job: one of the discipline's own fixed words."""
    passed: str = ""
    """The job that look-ahead passed over, because a slot has the chosen job's version loaded; empty: none."""
    members: tuple[Member, ...] = ()
    """Slots of a gang's ranks 1, 2…, in this order. Rank 0 runs on `node`."""
    rendezvous: str = ""
    """host:port at which the ranks of a gang on several nodes find rank 0."""


class GangReserved(msgspec.Struct, frozen=True, omit_defaults=True, tag="GangReserved.v1"):
    """Slots of these nodes are kept for a gang that goes next and does not fit yet."""

    job: str
    cluster: str
    nodes: tuple[str, ...]
    """A node's name once for each slot kept there."""
    free_ms: int = 0
    """When the last of these slots is expected to be free. A job that is expected to end before may use one of them."""


class GangReleased(msgspec.Struct, frozen=True, tag="GangReleased.v1"):
    """The slots kept for the gang are free for all jobs again. The gang has not started."""

    job: str
    reason: str
    """ended (the job has), node_gone (a node left, was lost or takes nothing new, or a slot there cannot be used),
    draining (the cluster drains), policy (the policy has no such cluster any more), withdrawn (the job's version)."""


class AttemptStarted(msgspec.Struct, frozen=True, tag="AttemptStarted.v1"):
    """The node reported that it starts the attempt."""

    job: str
    dispatch: str


class RecallOrdered(msgspec.Struct, frozen=True, tag="RecallOrdered.v1"):
    """The node is told to give the staged attempt back. The order ends when the node has done so, has started the
    attempt first, or is lost."""

    job: str
    dispatch: str
    reason: str
    """cancel, erase, expired, drain, elsewhere (another cluster would start the job sooner), cordon (its node was set
    aside), held (the pool is on hold), withdrawn (its version), not_confined (layers are missing on its node)."""


class KillOrdered(msgspec.Struct, frozen=True, tag="KillOrdered.v1"):
    """The node is told to stop the started attempt. The slot stays occupied until the node reports the stop or is
    lost."""

    job: str
    dispatch: str
    reason: str
    """cancel, erase, expired, pre_empt, withdrawn (its version, and running attempts are to be stopped)."""


class JobCancelling(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobCancelling.v1"):
    """The job will end without a result when its open attempt closes. Whatever comes first in `jobs` wins: a success
    reported after this event is no result."""

    job: str
    reason: str
    """cancel, erase, expired."""
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class AttemptFailed(msgspec.Struct, frozen=True, omit_defaults=True, tag="AttemptFailed.v1"):
    """The node reported a failure: the attempt is closed."""

    job: str
    dispatch: str
    kind: str
    error: str
    node: str = ""
    """The node of a gang that reported the failure; empty: the node of rank 0, or no gang."""
    counts: bool = True
    """False when the node was cordoned: the failure is held against nobody, neither job nor node."""


class AttemptClosed(msgspec.Struct, frozen=True, omit_defaults=True, tag="AttemptClosed.v1"):
    """The attempt is closed, and no failure was reported: the node gave the attempt back, stopped it as told, or is
    gone."""

    job: str
    dispatch: str
    reason: str
    """recalled, killed, drained, unclaimed, lost, rejoined (with a new session), pre_empted, overtaken (a cancel came
    before the success), revoked (the node was put out)."""
    counts: bool
    """True when the end counts as a failure of the job: the node was lost, or came back with a new session, while the
    attempt ran."""
    node: str = ""
    """The node of a gang whose report or loss closed the attempt; empty: the node of rank 0, or no gang."""


class JobRequeued(msgspec.Struct, frozen=True, tag="JobRequeued.v1"):
    """The job waits again and keeps its submit time."""

    job: str
    eligible_lease_ms: int
    """The lease time from which the job may be dispatched again; 0: at once."""


class JobSucceeded(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobSucceeded.v1"):
    """Terminal: the result of the job's open attempt is accepted."""

    job: str
    dispatch: str
    manifest: str
    """Digest of the result manifest (contract.results)."""
    bytes: int = 0
    """`bytes` and `load_ms` as in the report Succeeded."""
    load_ms: int = 0


class JobDeadLettered(msgspec.Struct, frozen=True, tag="JobDeadLettered.v1"):
    """Terminal: the job failed too often, or once in a way that no retry can mend. Its AttemptFailed events say why."""

    job: str
    failures: int


class JobQuarantined(msgspec.Struct, frozen=True, tag="JobQuarantined.v1"):
    """Terminal: two nodes were lost while they ran the job, each alone in its cluster. The job may be what killed
    them."""

    job: str
    nodes: tuple[str, ...]


class JobCancelled(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobCancelled.v1"):
    """Terminal: the job was ended on request."""

    job: str
    reason: str
    """cancel, erase, or version_withdrawn (an operator withdrew the version whose digest the job named)."""
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class JobExpired(msgspec.Struct, frozen=True, tag="JobExpired.v1"):
    """Terminal: the job's deadline passed."""

    job: str


class ErasureOrdered(msgspec.Struct, frozen=True, omit_defaults=True, tag="ErasureOrdered.v1"):
    """The job's words must be removed: the results, and the copies in `jobs` that JobAccepted and JobDuplicated
    name."""

    job: str
    actor: str = ""
    """Who asked for it (contract.inputs.actor_of)."""


class JobErased(msgspec.Struct, frozen=True, tag="JobErased.v1"):
    """The job's words are removed from the object store and tombstoned in `jobs`. No topic holds them after
    `gone_by_ms`."""

    job: str
    offsets: tuple[int, ...]
    """Offsets in `jobs` of the records that were tombstoned."""
    gone_by_ms: int


class ReportStale(msgspec.Struct, frozen=True, tag="ReportStale.v1"):
    """An input came too late to mean anything. Only counters change."""

    kind: str
    """The input's name: Started, Succeeded, Failed, Stopped, NodeHeartbeat, NodeLeft, AliasMoved, CancelRequested…"""


class InputQuarantined(msgspec.Struct, frozen=True, tag="InputQuarantined.v1"):
    """The record at this offset in `jobs` was not acted on. `quarantine` holds it, with the reason."""

    offset: int
    reason: str
    job: str = ""
    """The job and the record's key, for a submission that was too old to run; else empty."""
    key: str = ""


Event = (
    Opened
    | PolicyAdopted
    | PolicyReverted
    | PoolHeld
    | PoolReleased
    | VersionRegistered
    | AliasPointed
    | VersionWithdrawn
    | JobAccepted
    | JobPreparing
    | PreparationOrdered
    | PreparationClosed
    | InputsPrepared
    | InputsRefused
    | InputsDropped
    | JobRepinned
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
    | NodeSlotsChanged
    | NodeDrained
    | NodeCordoned
    | NodeUncordoned
    | NodeDeparted
    | NodeLost
    | ClusterDraining
    | ClusterReturned
    | ReportStale
    | InputQuarantined
)
