"""What the api acknowledged before any ledger event names it.

A receipt ties the 128 bits of a job id to the request that made the job. So an Idempotency-Key that comes again with
another request is noticed, even for a model of another pool, because the bits are the same in every pool. A receipt has
a random salt and a salted sha256, never the request, and loses both when the words of the job are erased.
A receipt goes only together with its job, and no sooner than a month after the scheduler has forgotten the id
(operations.retention). Until then no key makes a second job over HTTP. What was never acknowledged keeps its receipt.
`acknowledge` also stores the job as `submitted`, so a GET right after the 202 finds the job even while no scheduler
runs. The projection overwrites that row once the ledger names the job.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, text

from contract.lifecycle import JobState
from contract.names import pool_of
from views.rows import JobRow


class ReceiptState(StrEnum):
    """What the receipts know of the job id that a request asks for."""

    NEW = "new"
    UNCLEAR = "unclear"
    """The same request came before and was never acknowledged."""
    ACKNOWLEDGED = "acknowledged"


class OtherRequest(Exception):
    """Another request made the job id."""


class WordsErased(Exception):
    """The words of the job were erased, or are being erased: they must not be stored again."""


_RESERVE = text(
    """
    INSERT INTO views.receipts AS r (request, tenant, salt, fingerprint, acked)
    VALUES (:request, :tenant, :salt, :fingerprint, false)
    ON CONFLICT (request) DO UPDATE SET request = r.request
    RETURNING r.salt, r.fingerprint, r.acked
    """
)
_KNOWN = text("SELECT erasure FROM views.jobs WHERE job = :job")
_FIELDS = tuple(field.name for field in msgspec.structs.fields(JobRow))
_ACKNOWLEDGE = text(
    f"""
    WITH kept AS (
        INSERT INTO views.receipts AS r (request, tenant, salt, fingerprint, acked)
        SELECT :request, :tenant, :salt, :fingerprint, true
        WHERE NOT EXISTS (SELECT FROM views.jobs WHERE job = :job AND erasure <> '')
        ON CONFLICT (request) DO UPDATE SET acked = true
    )
    INSERT INTO views.jobs ({", ".join(_FIELDS)}) VALUES ({", ".join(":" + name for name in _FIELDS)})
    ON CONFLICT (job) DO NOTHING
    """
)


def reserve(connection: Connection, job: str, tenant: str, request: bytes) -> ReceiptState:
    """Ties the job id to the request (its canonical bytes), unless the id is tied already. The caller commits.

    OtherRequest when another request has the id, WordsErased when the words of the job are gone: then roll back."""
    known = connection.execute(_KNOWN, {"job": job}).scalar_one_or_none()
    if known:
        raise WordsErased(job)
    salt = secrets.token_hex(16)
    mine = {"request": bits_of(job), "tenant": tenant, "salt": salt, "fingerprint": fingerprint(salt, request)}
    kept = connection.execute(_RESERVE, mine).one()
    if not kept.fingerprint:
        raise WordsErased(job)
    if fingerprint(kept.salt, request) != kept.fingerprint:
        raise OtherRequest(job)
    if kept.acked or known is not None:
        return ReceiptState.ACKNOWLEDGED
    return ReceiptState.NEW if kept.salt == salt else ReceiptState.UNCLEAR


def is_known(connection: Connection, job: str) -> bool:
    """Some request has tied the job id: its answer is decided by `reserve`."""
    found = connection.execute(text("SELECT 1 FROM views.receipts WHERE request = :request"), {"request": bits_of(job)})
    return found.scalar_one_or_none() is not None


def is_same(connection: Connection, job: str, request: bytes) -> bool:
    """This very request (its canonical bytes) has tied the job id. Once its words are erased nobody can tell."""
    found = connection.execute(
        text("SELECT salt, fingerprint FROM views.receipts WHERE request = :request"), {"request": bits_of(job)}
    ).one_or_none()
    return found is not None and fingerprint(found.salt, request) == found.fingerprint


def acknowledge(
    connection: Connection,
    job: str,
    tenant: str,
    tier: str,
    model: str,
    submitted_ms: int,
    expires_ms: int,
    request: bytes,
) -> None:
    """Stores that the broker has the submission: from now on the job exists. The caller commits, then answers 202.

    `submitted_ms` is the append time of the broker, `model` the reference as the user wrote it."""
    row = JobRow(
        job, pool_of(job), tenant, tier, model, "", JobState.SUBMITTED.value, submitted_ms, expires_ms=expires_ms
    )
    salt = secrets.token_hex(16)
    receipt = {"request": bits_of(job), "salt": salt, "fingerprint": fingerprint(salt, request)}
    connection.execute(_ACKNOWLEDGE, msgspec.structs.asdict(row) | receipt)


def bits_of(job: str) -> str:
    """The 32 hex digits of a job id: a hash of who asked and how they named the request."""
    return job[-32:]


def fingerprint(salt: str, request: bytes) -> str:
    return hashlib.sha256(salt.encode() + request).hexdigest()
