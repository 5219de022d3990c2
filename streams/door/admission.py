"""Whether a record of `submissions` is a job, and which job: the checks of the public door.

Runs in a thread, because it asks the registry; answers are kept for a second. A record that is refused here goes to
`quarantine` with the reason, which never quotes what the sender wrote.

A fault of the record is never taken for an outage, or the partition would be held up for ever. An outage is never taken
for a fault of the record, or a good submission would be refused. Three rules tell them apart. Whatever fails in a
question that has nothing to do with the record is an outage. What fails in a question with words of the record is an
outage only when the database says so (runtime.postgres.outage). What no check foresaw is a refusal.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import Engine

from contract.codec import Malformed, decode_submission
from contract.inputs import JobSubmitted, Submission
from contract.media import OutputSource
from contract.names import is_name, job_id_of_event, parse_model, payload_digest
from contract.policy import Policy
from contract.side_topics import SubmissionRequested
from registry import media_names, models, pools
from registry.answers import Answers
from registry.audiences import Audiences, Viewer
from registry.errors import RegistryError
from registry.media_names import MediaNameRefused, NamedMedium
from registry.models import RegisteredVersion
from registry.schemas import MediaFields, SchemaRefused, Validators
from runtime.egress.policy import EgressPolicy
from runtime.kafka import Record
from runtime.object_store import ObjectStore, StoreFault
from runtime.postgres import outage
from runtime.telemetry import without_words
from streams.door.tracing import traceparent_of
from views import queries

KEPT_S = 1.0
"""An answer of the registry may be this old."""
KEPT_MAX = 1_000
"""Partitions of pools; a full cache drops the answer that was used least recently."""
KEPT_BYTES_MAX = 32 * 1024 * 1024
"""Of versions, whose schemas may be large."""
IDENTITY_CHARACTERS_MAX = 200
"""Of `ce_id` and `ce_source`."""

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class Refused(Exception):
    """The record is not a submission that can be run. The message is the reason, in our words."""


class RefusedAsErased(Refused):
    """The words of the record's job were erased: no copy of them is kept, in `quarantine` neither."""


class NotYet(Exception):
    """The model is known, but its scheduler has not been told of the version yet: ask again soon."""


class RegistryAway(Exception):
    """The registry, or the machine we run on, cannot answer now: ask again, however long that takes. The message is the
    class of the error."""


class Admitted(msgspec.Struct, frozen=True):
    """A submission as it goes into `jobs`."""

    record: JobSubmitted
    partition: int
    """Of `jobs`."""
    traceparent: str


class Admission:
    """The checks, and what they need to know. One thread at a time may call."""

    def __init__(self, engine: Engine, store: ObjectStore, policy: EgressPolicy, upload_kept_s: int) -> None:
        """`policy`: which URLs may be named. `upload_kept_s`: how long an upload that is named is kept on."""
        self._engine, self._store = engine, store
        self._policy, self._upload_kept_s = policy, upload_kept_s
        self._media = MediaFields()
        self._partitions: Answers[str, int | None] = Answers(KEPT_MAX)
        """By pool, for ever: the partition of a pool never changes."""
        self._versions: Answers[str, RegisteredVersion] = Answers(KEPT_BYTES_MAX, KEPT_S, size_of=models.size_of)
        self._audiences = Audiences(engine, KEPT_S)
        self._bytes_max: Answers[str, int] = Answers(1, KEPT_S)
        self._schemas = Validators()

    def admit(self, record: Record, *, patient: bool) -> Admitted:
        """The job that the record asks for. Refused with the reason when it asks for none. NotYet when it would be
        refused only because its version is too new; without `patient` it is refused then. RegistryAway when nobody can
        tell. Raises nothing else, whatever the record is."""
        try:
            return self._admitted(record, patient)
        except (Refused, NotYet, RegistryAway):
            raise
        except Exception as error:  # an outage makes the partition wait and say so, all else refuses this record
            kind = _away(error)
            if kind:
                raise RegistryAway(kind) from None
            raise unforeseen(record, error) from None

    def erased(self, jobs: Sequence[str]) -> frozenset[str]:
        """Those of these jobs whose words were erased. An erasure stands as long as the views know the job, which is at
        least as long as its id is remembered. RegistryAway when nobody can tell."""
        return _answered(partial(self._erased, jobs)) if jobs else frozenset()

    def _erased(self, jobs: Sequence[str]) -> frozenset[str]:
        with self._engine.connect() as connection:
            return queries.erased_jobs(connection, jobs)

    def _admitted(self, record: Record, patient: bool) -> Admitted:
        request, inputs = self._request(record)
        source, event_id = _identity(record)
        try:
            model, _, _ = parse_model(request.model)
        except ValueError:
            raise Refused("model: expected 'model', 'model@alias' or 'model@sha256:<64 hex>'") from None
        try:
            pool = models.lookup(self._engine, model)
            job = job_id_of_event(pool, request.tenant, source, event_id)
            if not self._is_seen(model, request) and not self._is_known(job):
                raise models.unknown_model(model)
            version = self._version(request.model)
        except RegistryError as error:
            raise Refused(_REFUSALS.get(error.code, "model: its version cannot be used")) from None
        self._check_inputs(version, inputs)
        named = self._named_media(version, inputs)
        outputs = self._found_media(request.tenant, named) if named and not self._is_known(job) else ()
        partition = self._partition(pool)
        if (not version.relayed or partition is None) and patient:
            raise NotYet
        if partition is None:
            raise Refused("model: its pool has no partition yet; apply the policy that names it")
        salt = secrets.token_hex(16)
        submission = Submission(
            job=job,
            tenant=request.tenant,
            tier=request.tier,
            model=request.model,
            digest=payload_digest(salt, bytes(request.inputs)),
            via="kafka",
            submitted_ms=record.timestamp_ms,
            expires_ms=request.expires_ms,
            media=len(named),
        )
        return Admitted(
            JobSubmitted(submission, request.inputs, salt, outputs), partition, traceparent_of(record.headers)
        )

    def _request(self, record: Record) -> tuple[SubmissionRequested, Any]:
        size, most = len(record.value or b""), self._payload_bytes_max()
        if size > most:
            raise Refused(f"expected at most {most} bytes, found {size}")
        try:
            request, inputs = decode_submission(record.value)
        except Malformed as malformed:
            raise Refused(str(malformed)) from None
        if not is_name(request.tenant) or not is_name(request.tier):
            raise Refused("expected tenant and tier as names of lower case letters, digits, '.', '_', '-'")
        if record.key != request.tenant.encode():
            raise Refused("expected the record's key to be its tenant")
        return request, inputs

    def _is_seen(self, model: str, request: SubmissionRequested) -> bool:
        audience = _answered(partial(self._audiences.of, model))
        return audience.sees(Viewer(request.tenant, (request.tier,)))

    def _is_known(self, job: str) -> bool:
        """A copy of what was let in before the model was shut to its sender goes the way of every copy."""
        return _answered(partial(self._known, job))

    def _known(self, job: str) -> bool:
        with self._engine.connect() as connection:
            return queries.knows_job(connection, job)

    def _version(self, reference: str) -> RegisteredVersion:
        ask = partial(models.resolve, self._engine, reference)
        return self._versions.get(reference, ask, keep=models.is_relayed)

    def _partition(self, pool: str) -> int | None:
        """The pool's partition of `jobs`; None when the pool has none yet."""
        return self._partitions.get(pool, lambda: _answered(partial(pools.partitions, self._engine)).get(pool))

    def _payload_bytes_max(self) -> int:
        """The largest payload that any pool's policy takes."""
        default = Policy({}, {}, {}).payload_bytes_max
        return self._bytes_max.get("all pools", lambda: max(_answered(self._limits), default=default))

    def _limits(self) -> list[int]:
        with self._engine.connect() as connection:
            return [view.policy.payload_bytes_max for view in queries.policies(connection)]

    def _check_inputs(self, version: RegisteredVersion, inputs: Any) -> None:
        """Refused unless the inputs, as decode_submission decoded them, fit the schema of the version."""
        try:
            fault = self._schemas.fault(version.digest, version.manifest.inputs, inputs)
        except SchemaRefused as refused:
            raise Refused(f"model: its inputs can't be checked, its schema is refused because: {refused}") from None
        if fault is not None:
            raise Refused(f"inputs: {fault.reason()}")

    def _named_media(self, version: RegisteredVersion, inputs: Any) -> tuple[NamedMedium, ...]:
        try:
            return media_names.named_in(self._media.of(version.digest, version.manifest.inputs), inputs, self._policy)
        except MediaNameRefused as refused:
            raise Refused(str(refused)) from None
        except SchemaRefused as refused:
            raise Refused(f"model: its inputs can't be checked, its schema is refused because: {refused}") from None

    def _found_media(self, tenant: str, named: Sequence[NamedMedium]) -> tuple[OutputSource, ...]:
        """Where the outputs of other jobs lie that are named. RegistryAway while the object store is away."""
        try:
            with self._engine.begin() as connection:
                jobs = media_names.look_up(connection, tenant, named, self._upload_kept_s, queries.job)
            return media_names.outputs_of(self._store, named, jobs)
        except MediaNameRefused as refused:
            raise Refused(str(refused)) from None
        except StoreFault as fault:
            raise RegistryAway(type(fault).__name__) from None


_REFUSALS = {
    "unknown_model": "model: none has this name",
    "unknown_alias": "model: it has no such alias",
    "unknown_version": "model: it has no such version",
    "invalid": "model: expected 'model', 'model@alias' or 'model@sha256:<64 hex>'",
}


def unforeseen(record: Record, error: Exception) -> Refused:
    """The refusal of a record that led to an error which no check foresaw: a fault of ours, which the log names."""
    log.error(
        "a submission met what no check foresaw",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        found=without_words(error),
    )
    return Refused(f"expected a submission, found what no check foresaw ({type(error).__name__})")


def _away(error: Exception) -> str:
    """What kind of outage the error is; empty: it is none."""
    return type(error).__name__ if isinstance(error, OSError | MemoryError) else outage(error)


def _answered(ask: Callable[[], Answer]) -> Answer:
    """The registry's answer to a question that has no words of the record. Whatever fails is an outage of ours."""
    try:
        return ask()
    except Exception as error:  # the record has no part in it: it waits, and its partition says for what
        raise RegistryAway(type(error).__name__) from None


def _identity(record: Record) -> tuple[str, str]:
    """(ce_source, ce_id). A second copy of a submission with the same two is the same job."""
    headers = dict(record.headers)
    found: list[str] = []
    for name in ("ce_source", "ce_id"):
        try:
            text = (headers.get(name) or b"").decode()  # the last of several counts; a value may be None
        except UnicodeDecodeError:
            text = ""
        if not 0 < len(text) <= IDENTITY_CHARACTERS_MAX:
            raise Refused(f"expected a CloudEvents header {name} of 1 to {IDENTITY_CHARACTERS_MAX} characters")
        found.append(text)
    return found[0], found[1]
