"""Whether a record of `submissions` is a job, and which: the checks of the public door. Runs in a thread: asks the
registry, whose answers it keeps for a second.

What is refused here goes to `quarantine` with the reason; a reason never quotes what the sender wrote.
"""

from __future__ import annotations

import secrets
import time

import msgspec
import structlog
from sqlalchemy import Engine

from contract.codec import Malformed, decode_submission, decode_values
from contract.doors import SubmissionRequested
from contract.inputs import JobSubmitted, Submission
from contract.names import is_name, job_id_of_event, parse_model, payload_digest
from contract.policy import Policy
from registry import models, pools
from registry.errors import RegistryError
from registry.models import Version
from registry.schemas import SchemaRefused, Validators
from runtime.kafka import Record
from streams.tracing import traceparent_of
from views import queries

KEPT_S = 1.0
KEPT_MAX = 1_000
IDENTITY_CHARACTERS_MAX = 200
"""Of `ce_id` and `ce_source`."""

log = structlog.get_logger(__name__)


class Refused(Exception):
    """The record is no submission that can be run. The message is the reason, in our words."""


class NotYet(Exception):
    """The model is known but its scheduler has not been told of the version yet: ask again soon."""


class Admitted(msgspec.Struct, frozen=True):
    """A submission as it goes into `jobs`."""

    record: JobSubmitted
    partition: int
    """Of `jobs`."""
    traceparent: str


class Admission:
    """The checks, and what they need to know. One thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._partitions: dict[str, int] = {}
        self._versions: dict[str, tuple[float, Version]] = {}
        self._schemas = Validators()
        self._bytes_max = (float("-inf"), 0)

    def admit(self, record: Record, *, patient: bool) -> Admitted:
        """The job that the record asks for. Refused with the reason when there is none; NotYet, unless not `patient`,
        when it would be refused only because its version is too new. SQLAlchemy's errors when the registry is away."""
        request = self._request(record)
        source, event_id = _identity(record)
        try:
            model, _, _ = parse_model(request.model)
        except ValueError:
            raise Refused("model: expected 'model', 'model@alias' or 'model@sha256:<64 hex>'") from None
        try:
            pool = models.lookup(self._engine, model)
            version = self._version(request.model)
        except RegistryError as error:
            raise Refused(_REFUSALS.get(error.code, error.code)) from None
        if not version.relayed and patient:
            raise NotYet
        inputs = bytes(request.inputs)
        self._check_inputs(version, inputs)
        salt = secrets.token_hex(16)
        submission = Submission(
            job=job_id_of_event(pool, request.tenant, source, event_id),
            tenant=request.tenant,
            tier=request.tier,
            model=request.model,
            digest=payload_digest(salt, inputs),
            via="kafka",
            submitted_ms=record.timestamp_ms,
            expires_ms=request.expires_ms,
        )
        return Admitted(
            JobSubmitted(submission, request.inputs, salt), self._partition(pool), traceparent_of(record.headers)
        )

    def _request(self, record: Record) -> SubmissionRequested:
        size, most = len(record.value or b""), self._payload_bytes_max()
        if size > most:
            raise Refused(f"expected at most {most} bytes, found {size}")
        try:
            request = decode_submission(record.value)
        except Malformed as malformed:
            raise Refused(str(malformed)) from None
        if not is_name(request.tenant) or not is_name(request.tier):
            raise Refused("expected tenant and tier as names of lower case letters, digits, '.', '_', '-'")
        if record.key != request.tenant.encode():
            raise Refused("expected the record's key to be its tenant")
        if request.expires_ms < 0:
            raise Refused("expires_ms: expected 0 or ms since the epoch")
        return request

    def _version(self, reference: str) -> Version:
        asked_s, version = self._versions.get(reference, (float("-inf"), None))
        if version is None or time.monotonic() - asked_s > KEPT_S:
            version = models.resolve(self._engine, reference)
            if version.relayed:
                if len(self._versions) >= KEPT_MAX:
                    self._versions.clear()
                self._versions[reference] = (time.monotonic(), version)
        return version

    def _partition(self, pool: str) -> int:
        if pool not in self._partitions:
            self._partitions = pools.partitions(self._engine)
        return self._partitions[pool]

    def _payload_bytes_max(self) -> int:
        """The largest payload that any pool's policy takes."""
        asked_s, most = self._bytes_max
        if time.monotonic() - asked_s > KEPT_S:
            with self._engine.connect() as connection:
                limits = [view.policy.payload_bytes_max for view in queries.policies(connection)]
            most = max(limits, default=Policy({}, {}, {}).payload_bytes_max)
            self._bytes_max = (time.monotonic(), most)
        return most

    def _check_inputs(self, version: Version, inputs: bytes) -> None:
        try:
            values = decode_values(inputs, "inputs")
            fault = self._schemas.fault(version.digest, version.manifest.inputs, values)
        except Malformed as malformed:
            raise Refused(str(malformed)) from None
        except SchemaRefused as refused:
            raise Refused(f"model: its inputs can't be checked, its schema is refused since: {refused}") from None
        if fault is not None:
            raise Refused(f"inputs: {fault.reason()}")


_REFUSALS = {
    "unknown_model": "model: none has this name",
    "unknown_alias": "model: it has no such alias",
    "unknown_version": "model: it has no such version",
    "invalid": "model: expected 'model', 'model@alias' or 'model@sha256:<64 hex>'",
}


def _identity(record: Record) -> tuple[str, str]:
    """(ce_source, ce_id): what makes a second copy of a submission the same job."""
    headers = dict(record.headers)
    found: list[str] = []
    for name in ("ce_source", "ce_id"):
        try:
            text = (headers.get(name) or b"").decode()
        except UnicodeDecodeError:
            text = ""
        if not 0 < len(text) <= IDENTITY_CHARACTERS_MAX:
            raise Refused(f"expected a CloudEvents header {name} of 1 to {IDENTITY_CHARACTERS_MAX} characters")
        found.append(text)
    return found[0], found[1]
