"""POST /v1/jobs: a request becomes a record of `jobs`, and the 202 comes after the ack of the broker.

Theory of operation. Every submission has an idempotency key, which the client sends or this module makes. The job id is
a hash of (tenant, key). So whatever happens between broker and client, the same request with the same key meets the
same job. A key from the client is tied to its request before anything is written. A key made here is in the answer.
"""

from __future__ import annotations

import re
import secrets
import uuid
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import EXPIRES_S_MAX, SubmitRequest, Submitted
from api.callers import authenticate, viewer_of
from api.heard import WrittenJob
from api.media import found_media
from api.operations import header, operation
from api.problems import RETRY_AFTER_S, Problem
from api.replies import location, parameters, reply
from api.request_body import decode, read_body
from api.resources import Resources, resources_of
from contract.codec import Malformed, decode_values
from contract.inputs import JobSubmitted, Submission
from contract.lifecycle import JobState
from contract.media import OutputSource
from contract.names import TRACEPARENT, job_id_of_key, payload_digest
from contract.policy import Policy
from registry.keys import Key
from registry.media_names import NamedMedium
from registry.models import RegisteredVersion
from runtime import jobs_writer
from runtime.kafka import DeliveryUnclear
from runtime.postgres_troubles import DATABASE_ERRORS
from views import queries, receipts
from views.receipts import ReceiptState

log = structlog.get_logger(__name__)

ENVELOPE_BYTES_MAX = 4_096
"""The most that a body may have beside its inputs."""
KEY = re.compile(r"[\x21-\x7e]{1,255}")
AGE = "the policy's `submission_age_max` (3 days unless it says otherwise)"
SOURCE = "/headrace/api"

_decoder = msgspec.json.Decoder(SubmitRequest)


class CheckedSubmission(msgspec.Struct, frozen=True):
    """A submission after every check: what is written is taken from here."""

    job: str
    partition: int
    tenant: str
    tier: str
    model: str
    """As the user wrote it."""
    version: RegisteredVersion
    expires_in_s: int
    inputs: bytes
    key: str
    canonical: bytes
    """What an idempotency key is tied to: the request, however it was spelt."""
    media: tuple[NamedMedium, ...] = ()


@operation(
    "POST",
    "/v1/jobs",
    "Submit a job. 202 once the broker has it; 200 when this Idempotency-Key made it before.",
    {202: Submitted, 200: Submitted},
    problems=(400, 403, 404, 408, 409, 410, 413, 415, 422, 503),
    parameters=(
        header(
            "Idempotency-Key",
            f"The same key and request again is the same job, at least until {AGE} after it has ended. The job's id is"
            " a hash of tenant and key that is kept for ever, and a short key can be guessed from it: a key must name"
            " nobody, so use no e-mail address, no person's name and no number that counts up.",
        ),
        header("traceparent", "W3C trace context, passed on with the job."),
    ),
    body=SubmitRequest,
)
async def submit(request: Request) -> Response:
    resources = resources_of(request)
    key = await authenticate(request)
    parameters(request)
    given_key = idempotency_key(request.headers.get("Idempotency-Key"))
    body = await read_body(request, await resources.policies.payload_bytes_max() + ENVELOPE_BYTES_MAX)
    asked = decode(_decoder, body)
    version = await _version(resources, key, asked, given_key)
    checked = await _checked(resources, key, asked, version, given_key or secrets.token_hex(16))
    looks_again = bool(given_key) and (checked.version.withdrawn or bool(checked.media))
    is_known = looks_again and await resources.read(receipts.is_known, checked.job)
    if checked.version.withdrawn and not is_known:
        raise await resources.catalog.withdrawn(checked.model, checked.version)
    # what was let in once finds its job, whatever has become of its media since
    outputs = None if is_known else await found_media(resources, checked.tenant, checked.media)
    # a database that takes no writes is asked first: else each try without a key would be another job
    known = given_key or resources.writes.is_away
    if known and await _reserve(resources, checked) is ReceiptState.ACKNOWLEDGED:
        resources.metrics.submission("known")
        row = await resources.read(queries.job, checked.tenant, checked.job)
        return _answer(request, checked, 200, row.state if row else JobState.SUBMITTED)
    if outputs is None:
        outputs = await found_media(resources, checked.tenant, checked.media)
    await _write(resources, checked, outputs, request.headers.get("traceparent", ""))
    resources.metrics.submission("acknowledged")
    return _answer(request, checked, 202, JobState.SUBMITTED)


def idempotency_key(given: str | None) -> str:
    """The key that the client sent, or an empty text. Problem 422 for a key that is empty, long or not printable."""
    if given is not None and KEY.fullmatch(given) is None:
        raise Problem(
            422,
            "idempotency-key-invalid",
            "Idempotency-Key: expected 1 to 255 printable ASCII characters, found others",
        )
    return given or ""


async def _version(resources: Resources, key: Key, asked: SubmitRequest, given_key: str) -> RegisteredVersion:
    """The version that the job would run. To a tenant who may not see its model any more it is shown for a request that
    was let in before: the same one, with its key, which finds its job."""

    async def is_let_in(version: RegisteredVersion) -> bool:
        job = job_id_of_key(version.pool, key.tenant, given_key)
        return bool(given_key) and await resources.read(_is_repeated, job, asked)

    return await resources.catalog.resolve(
        asked.model, viewer_of(key, asked.tier or next(iter(key.tiers), None)), is_let_in
    )


def _is_repeated(connection: Connection, job: str, asked: SubmitRequest) -> bool:
    try:
        return receipts.is_same(connection, job, _canonical(asked, decode_values(bytes(asked.inputs), "inputs")))
    except Malformed:
        return False


def _canonical(asked: SubmitRequest, inputs: Any) -> bytes:
    said = {"model": asked.model, "tier": asked.tier, "expires_in_s": asked.expires_in_s, "inputs": inputs}
    return msgspec.json.encode(said, order="deterministic")


async def _checked(
    resources: Resources, key: Key, asked: SubmitRequest, version: RegisteredVersion, idempotency: str
) -> CheckedSubmission:
    policy = await resources.policies.for_writing(version.pool)
    raw = bytes(asked.inputs)
    if len(raw) > policy.payload_bytes_max:
        raise Problem(
            413,
            "body-too-large",
            f"inputs: expected at most {policy.payload_bytes_max} bytes, found {len(raw)};"
            " put large inputs in files and send their URLs",
            bytes_max=policy.payload_bytes_max,
        )
    inputs = await resources.catalog.checked_inputs(version, raw)
    if asked.expires_in_s is not None and not 0 < asked.expires_in_s <= EXPIRES_S_MAX:
        raise Problem(422, "body-invalid", f"$.expires_in_s: expected 1 to {EXPIRES_S_MAX}, found another number")
    return CheckedSubmission(
        job=job_id_of_key(version.pool, key.tenant, idempotency),
        partition=policy.pools[version.pool].partition,
        tenant=key.tenant,
        tier=tier_of(key, policy, asked.tier),
        model=asked.model,
        version=version,
        expires_in_s=asked.expires_in_s or 0,
        inputs=raw,
        key=idempotency,
        canonical=_canonical(asked, inputs),
        media=resources.catalog.named_media(version, inputs, resources.egress_policy),
    )


def tier_of(key: Key, policy: Policy, asked: str | None) -> str:
    """The tier of the job. Problem 422 when the policy has no such tier, 403 when the key may not use it."""
    if asked is None and not key.tiers:
        raise Problem(403, "no-tier", "this key has no tier, so it may submit nothing; ask your operator for one")
    tier = key.tiers[0] if asked is None else asked
    if tier not in policy.tiers:
        raise Problem(
            422,
            "unknown-tier",
            f"tier: expected one of {', '.join(sorted(policy.tiers))}, found {tier[:80]!r}",
            known=sorted(policy.tiers),
        )
    if tier not in key.tiers:
        raise Problem(
            403, "tier-not-yours", f"tier: expected one of this key's tiers ({', '.join(key.tiers)}), found {tier!r}"
        )
    return tier


async def _reserve(resources: Resources, checked: CheckedSubmission) -> ReceiptState:
    try:
        return await resources.write(receipts.reserve, checked.job, checked.tenant, checked.canonical)
    except receipts.OtherRequest:
        raise Problem(
            422,
            "idempotency-key-reused",
            "this Idempotency-Key was used before for another request; expected the same request again, or a new key",
        ) from None
    except receipts.WordsErased:
        raise Problem(
            410,
            "job-erased",
            "the job of this Idempotency-Key was erased; use a new key for a new job",
            job=checked.job,
        ) from None


async def _write(
    resources: Resources, checked: CheckedSubmission, outputs: tuple[OutputSource, ...], traceparent: str
) -> None:
    """Writes the job. When this returns, the job is in `jobs` and can be found by its id. Problem 503 when that is not
    certain."""
    salt = secrets.token_hex(16)
    expires_in_ms = checked.expires_in_s * 1000
    submission = Submission(
        checked.job,
        checked.tenant,
        checked.tier,
        checked.model,
        payload_digest(salt, checked.inputs),
        "api",
        expires_in_ms=expires_in_ms,
        media=len(checked.media),
    )
    record = JobSubmitted(submission, msgspec.Raw(checked.inputs), salt, outputs)
    event_id = uuid.uuid4().hex
    try:
        delivery = await jobs_writer.asend(
            resources.producer,
            resources.signer.record(
                record,
                partition=checked.partition,
                key=event_id.encode(),
                event_id=event_id,
                source=SOURCE,
                traceparent=trace_of(traceparent),
            ),
        )
        resources.clock.adjust_to(delivery)
        await resources.write(
            receipts.acknowledge,
            checked.job,
            checked.tenant,
            checked.tier,
            checked.model,
            delivery.timestamp_ms,
            delivery.timestamp_ms + expires_in_ms if expires_in_ms else 0,
            checked.canonical,
        )
        resources.heard.note(checked.version.pool, WrittenJob(checked.job, delivery.offset))
    except (DeliveryUnclear, *DATABASE_ERRORS) as error:
        log.warning("submission unclear", job=checked.job, error=type(error).__name__)
        raise await _unclear(resources, checked) from None


def trace_of(traceparent: str) -> str:
    """The trace that the caller sent. A new trace when it sent none, or none that is valid."""
    if TRACEPARENT.fullmatch(traceparent):
        return traceparent
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


async def _unclear(resources: Resources, checked: CheckedSubmission) -> Problem:
    """The problem of a submission that may or may not have become a job. A retry with the same key is safe. The key is
    tied to the request now, if the database answers."""
    resources.metrics.submission("unclear")
    try:
        await resources.write(receipts.reserve, checked.job, checked.tenant, checked.canonical)
    except (*DATABASE_ERRORS, receipts.WordsErased, receipts.OtherRequest) as error:
        log.warning("receipt not kept", job=checked.job, error=type(error).__name__)
    return Problem(
        503,
        "not-acknowledged",
        "expected an acknowledgement that the job is stored, found none in time: it may or may not exist. Send the same"
        f" request again with the header Idempotency-Key: {checked.key} — it will be this job, never a second one",
        retry_after_s=RETRY_AFTER_S,
        headers={"Idempotency-Key": checked.key},
        job=checked.job,
        idempotency_key=checked.key,
    )


def _answer(request: Request, checked: CheckedSubmission, status: int, state: str) -> Response:
    body = Submitted(checked.job, state, checked.tier, checked.model, checked.key)
    return reply(body, status, {"Location": location(request, checked.job), "Idempotency-Key": checked.key})
