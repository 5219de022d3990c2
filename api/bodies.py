"""What goes over HTTP: one Struct for each body. The schemas of /openapi.json are made from them.

Times are milliseconds since the epoch by the clock of the broker, and null for what has not happened yet.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contract.lifecycle import JobState
from contract.side_topics import AttemptProgressed
from registry.models import RegisteredModel, RegisteredVersion
from registry.schemas import SchemaRefused, media_fields
from registry.schemas.media import gives, takes
from views import actors
from views.queries import ClusterView, JobCount, NodeView, PolicyView, PoolView
from views.rows import AttemptRow, JobEventRow, JobRow

EXPIRES_S_MAX = 30 * 86_400


class SubmitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Run a model once."""

    model: str
    """`model` (its alias `live`), `model@alias` or `model@sha256:…`."""
    inputs: msgspec.Raw
    """What the model takes, by its input schema."""
    tier: str | None = None
    """One of the key's tiers; by default its first."""
    expires_in_s: int | None = None
    """A job that has not ended after so many seconds is ended."""


class Submitted(msgspec.Struct):
    """The broker has the job."""

    job: str
    state: str
    tier: str
    model: str
    idempotency_key: str
    """The same request, sent again with this as Idempotency-Key, never makes a second job."""


class ProgressBody(msgspec.Struct):
    """What the model said last."""

    dispatch: str
    fraction: float
    """0 to 1."""
    message: str

    @classmethod
    def of(cls, progress: AttemptProgressed) -> ProgressBody:
        return cls(progress.dispatch, progress.fraction, progress.message)


class AttemptBody(msgspec.Struct):
    """One try of the job."""

    attempt: int
    state: str
    """staged, running, succeeded, failed or closed."""
    cluster: str
    dispatched_ms: int
    started_ms: int | None
    ended_ms: int | None
    failure: str
    """Kind of failure, if it failed."""
    error: str
    """The error's class."""
    closed: str
    """Why the attempt was closed, if it ended without a report."""
    bytes: int | None
    """Size of its output files. Null until it has succeeded."""
    load_ms: int | None
    """How long it waited, after it started, for its version to be loaded; 0: the version was loaded. Null until it has
    succeeded."""

    @classmethod
    def of(cls, row: AttemptRow) -> AttemptBody:
        return cls(*(getattr(row, name) for name in cls.__struct_fields__))


WAITING = (JobState.PREPARING, JobState.QUEUED, JobState.DISPATCHED)
"""States in which a job still waits, so that a forecast of its start is of use."""


class JobBody(msgspec.Struct):
    job: str
    state: str
    """submitted, preparing (CPU workers prepare its media), queued, dispatched, started, cancelling; or for good:
    succeeded, dead_lettered, quarantined, cancelled, expired, refused; or unreadable: the job goes on and can be
    cancelled, but what the ledger says of the job cannot be shown here (`reason` says where in the ledger, and why)."""
    tier: str
    model: str
    version: str
    """Empty until the job is accepted."""
    submitted_ms: int
    accepted_ms: int | None
    dispatched_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    expires_ms: int
    """0: never."""
    attempts: int
    failures: int
    reason: str
    """Why the job is ending, ended without a result, or is unreadable."""
    erasure: str
    """Empty, ordered or erased."""
    start_p50_ms: int | None
    """While the job waits: half of such jobs start by this time. Null: no forecast."""
    start_p90_ms: int | None
    """While the job waits: nine in ten of such jobs start by this time."""
    media: int = 0
    """How many media its inputs name: they are prepared before the job waits for a slot."""
    prepared_ms: int | None = None
    """When its media were prepared. Null: it names none, or they are not prepared."""

    @classmethod
    def of(cls, row: JobRow) -> JobBody:
        job = cls(*(getattr(row, name) for name in cls.__struct_fields__))
        if row.state not in WAITING or row.start_p50_ms is None or row.start_p90_ms is None:
            job.start_p50_ms = job.start_p90_ms = None
        else:
            job.start_p50_ms = row.submitted_ms + row.start_p50_ms
            job.start_p90_ms = row.submitted_ms + row.start_p90_ms
        return job


class JobDetail(msgspec.Struct):
    """A job with its attempts and the progress of the attempt that runs."""

    job: JobBody
    attempts: list[AttemptBody]
    progress: ProgressBody | None
    refusal: str = ""
    """Why its media were refused, in a sentence; empty: they were not."""


class JobList(msgspec.Struct):
    jobs: list[JobBody]
    """Newest first."""
    cursor: str
    """For the next page; empty: this page is the last. A page with filters may have few jobs, or none, before the last:
    it looks at a part of a long history."""


class JobCounts(msgspec.Struct):
    counts: list[JobCount]


class JobEvent(msgspec.Struct):
    """Data of an event `state` of the stream; its id is `seq.index`."""

    job: str
    event: str
    state: str
    """The state of the job after the event."""
    attempt: int
    at_ms: int
    words: str
    actor: str = ""
    """Who asked for it: `you`, another key of yours by its id, or `operator`; empty: nobody did."""

    @classmethod
    def of(cls, row: JobEventRow, key: str) -> JobEvent:
        """For the tenant who owns the job and asks with the key of this id."""
        event = cls(row.job, row.event, row.state, row.attempt, row.at_ms, row.words)
        event.actor = actors.to_tenant(row.actor, key)
        return event


class Cancelling(msgspec.Struct):
    """`state` is the state of the job when the request came. GET the job to see how it ends."""

    job: str
    state: str


class OutputFile(msgspec.Struct):
    name: str
    url: str
    """Works for an hour, for whoever has it."""
    sha256: str
    bytes: int
    media_type: str


class Result(msgspec.Struct):
    job: str
    version: str
    values: msgspec.Raw
    """What the model returned."""
    files: list[OutputFile]
    manifest: str
    """Digest of the result manifest in the ledger."""


class AliasOf(msgspec.Struct):
    alias: str
    version: str


class ModelSummary(msgspec.Struct):
    name: str
    pool: str
    aliases: list[AliasOf]
    versions: list[str]
    """Digests, newest first."""

    @classmethod
    def of(cls, model: RegisteredModel) -> ModelSummary:
        aliases = [AliasOf(alias.alias, alias.version) for alias in model.aliases]
        return cls(model.name, model.pool, aliases, list(model.versions))


class ModelList(msgspec.Struct):
    models: list[ModelSummary]


class TakenMedium(msgspec.Struct):
    """A property of the inputs that takes media: `upload:ID`, `job:ID/NAME` or a URL that begins with https://."""

    kind: str
    """video, image or audio."""
    several: bool
    """The property is a list of them."""
    takes: str
    """What may be sent, in words."""
    gives: str
    """What the model gets of it, in words."""
    limits: dict[str, Any]
    """The same as numbers, every one of them: see `media` in the guide."""


class ModelVersion(msgspec.Struct):
    version: str
    published_ms: int
    inputs: dict[str, Any]
    """JSON Schema."""
    outputs: dict[str, Any]
    chipsets: list[str]
    gpus: int
    memory_mib: int
    timeout_ms: int
    withdrawn: bool = False
    """The version runs no more, and no submission of it is accepted."""
    media: dict[str, TakenMedium] = {}
    """By property of the inputs, those that take media."""

    @classmethod
    def of(cls, version: RegisteredVersion) -> ModelVersion:
        manifest = version.manifest
        return cls(
            version.digest,
            version.published_ms,
            manifest.inputs,
            manifest.outputs,
            list(manifest.chipsets),
            manifest.gpus,
            manifest.memory_mib,
            manifest.timeout_ms,
            version.withdrawn,
            _media_of(manifest.inputs),
        )


def _media_of(schema: dict[str, Any]) -> dict[str, TakenMedium]:
    """Empty for a version whose media words this release refuses: nobody can submit it."""
    try:
        fields = media_fields(schema)
    except SchemaRefused:
        return {}
    return {
        name: TakenMedium(field.kind, field.is_list, takes(field), gives(field), msgspec.structs.asdict(field.rule))
        for name, field in fields.items()
    }


class ModelDetail(msgspec.Struct):
    name: str
    pool: str
    aliases: list[AliasOf]
    versions: list[ModelVersion]


class ClusterList(msgspec.Struct):
    clusters: list[ClusterView]
    counts: list[JobCount]
    """Jobs of all tenants by tier and state."""


class NodeList(msgspec.Struct):
    nodes: list[NodeView]


class PolicyList(msgspec.Struct):
    policies: list[PolicyView]
    pools: list[PoolView]
    """How far the views of each pool are."""
    waiting: list[str]
    """Pools that no scheduler has opened yet. Jobs that are submitted there wait."""


class Health(msgspec.Struct):
    status: str
    """ok; degraded: some part does not do its work, and requests that need none of it are served; failing: nothing is
    served."""
    parts: dict[str, str]
    """By name of the part: `ok`, or what is wrong."""
    ages_s: dict[str, float] = {}
    """By name of a part that is asked in the background: how old its last answer is."""
    waiting: list[str] = []
    """Pools that no scheduler has opened yet. Jobs that are submitted there wait; other pools are served."""
    unreadable: dict[str, int] = {}
    """By pool: how many jobs the views cannot show as the ledger has them. The jobs go on; all others are shown."""


class ProblemBody(msgspec.Struct, rename={"kind": "type"}):
    """RFC 9457. Some problems have further members: `job`, `idempotency_key`, `state`, `known`, `path`."""

    kind: str
    title: str
    status: int
    detail: str
    """What was expected, what was found, what to do."""
    instance: str
