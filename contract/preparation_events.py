"""How a job's media become inputs: the events of a pool's ledger about jobs that are preparing (see contract.events).

A preparation is no attempt: it uses no attempt number and counts no failure. It is open from PreparationOrdered to one
of PreparationClosed, InputsPrepared and InputsRefused, and a job has at most one open.
"""

from __future__ import annotations

import msgspec


class JobPreparing(msgspec.Struct, frozen=True, omit_defaults=True, tag="JobPreparing.v1"):
    """The job exists and is pinned to an exact version, for which CPU workers prepare its media. The job stands in no
    line for slots before InputsPrepared. The fields are those of JobAccepted."""

    job: str
    tenant: str
    tier: str
    model: str
    version: str
    submitted_ms: int
    expires_ms: int
    offset: int
    key: str
    digest: str
    media: int
    """How many media the submission names."""
    alias: str = ""


class PreparationOrdered(msgspec.Struct, frozen=True, omit_defaults=True, tag="PreparationOrdered.v1"):
    """A CPU worker is told to prepare the job's media."""

    job: str
    preparation: str
    """epoch.seq.index, as of a dispatch (contract.names.dispatch_id)."""
    node: str
    session: str
    cluster: str
    waited_ms: int
    slo_ms: int
    """The job's wait fraction is waited_ms / slo_ms."""
    limit: int
    """The most preparations that may be open in the cluster."""
    open: int
    """The cluster's open preparations, this one included."""


class PreparationClosed(msgspec.Struct, frozen=True, omit_defaults=True, tag="PreparationClosed.v1"):
    """The open preparation ended without inputs, and without a word against the media. The job is prepared anew, unless
    it ends."""

    job: str
    preparation: str
    reason: str
    """killed, drained, unclaimed, outage (as reported); lost, rejoined, revoked (the worker is gone); pre_empted (the
    worker's cluster drained and its deadline passed); cancel, erase, expired, withdrawn (the job ends or takes another
    version: the worker is told to stop)."""
    eligible_lease_ms: int = 0
    """The lease time from which the job may be prepared again; 0: at once."""
    counts: bool = False
    """True when the worker was lost, or came back with a new session: the media may be what killed it."""


class InputsPrepared(msgspec.Struct, frozen=True, omit_defaults=True, tag="InputsPrepared.v1"):
    """The result of the job's open preparation is accepted: the job waits in its line, at its own submit time."""

    job: str
    preparation: str
    manifest: str
    """Digest of the manifest (contract.prepared)."""
    bytes: int = 0
    fetch_ms: int = 0
    check_ms: int = 0
    decode_ms: int = 0
    """As in the report PreparationDone."""
    expected_ms: int = 0
    start_p50_ms: int = 0
    start_p90_ms: int = 0
    """As in JobAccepted."""


class InputsRefused(msgspec.Struct, frozen=True, tag="InputsRefused.v1"):
    """Terminal: the job's media cannot be prepared; `kind` is one of MEDIA_REFUSALS."""

    job: str
    preparation: str
    """Empty: no preparation was open when this was decided (worker_lost)."""
    kind: str


class InputsDropped(msgspec.Struct, frozen=True, omit_defaults=True, tag="InputsDropped.v1"):
    """The job's prepared inputs serve it no more: they are prepared anew, and the job leaves its line."""

    job: str
    preparation: str
    """The preparation whose inputs are dropped; empty: the job has none."""
    reason: str
    """withdrawn (the version that the job has now asks for other inputs), missing (the object store has lost them)."""
    eligible_lease_ms: int = 0
    """As in PreparationClosed."""
