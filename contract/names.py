"""Names and ids: what a valid name is, and how jobs, dispatches, partitions and digests are named.

A job id is ``<pool>-<32 hex digits>``. The digits are a hash of who asked and how they named the request. So the same
request always gets the same id, and a cancel finds the job's pool by the id alone.
"""

from __future__ import annotations

import hashlib
import re
import zlib

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._]|-(?=[a-z0-9])){0,62}")
"""Pools, clusters, nodes, tiers, tenants, models and aliases: lower case, at most 63 characters."""

JOB = re.compile(rf"(?P<pool>{NAME.pattern})-(?P<bits>[0-9a-f]{{32}})")

DISPATCH = re.compile(r"(?:0|[1-9][0-9]{0,15})(?:\.(?:0|[1-9][0-9]{0,15})){2}")
"""epoch.seq.index, as `dispatch_id` writes a dispatch's id."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MODEL_REFERENCE = re.compile(rf"(?P<model>{NAME.pattern})(?:@(?P<at>{DIGEST.pattern}|{NAME.pattern}))?")
"""``model`` (the alias ``live``), ``model@alias``, or ``model@sha256:…`` (an exact version)."""

OUTPUT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""A file that an attempt made. The name becomes the end of an object's key, so no name may lead out of the attempt."""

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""A W3C trace context, version 00."""

ACTOR_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,99}")
"""For whom a signer of `jobs` speaks: the id of an API key, or a login of the registry."""

ALIAS_DEFAULT = "live"


def is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def actor_name(text: str) -> str:
    """The text as ACTOR_NAME: other characters become `_`, and what is too long is cut. Empty stays empty."""
    name = re.sub(r"[^A-Za-z0-9._@+-]", "_", text[:100])
    return name if not name or ACTOR_NAME.fullmatch(name) else "_" + name[1:]


def job_id(pool: str, *identity: str) -> str:
    """The id of the request that the parts of `identity` name, for ever. The hash takes each part's length too, so that
    ("ab", "c") and ("a", "bc") get different ids."""
    hasher = hashlib.sha256()
    for part in identity:
        raw = part.encode()
        hasher.update(len(raw).to_bytes(4, "big"))
        hasher.update(raw)
    return f"{pool}-{hasher.hexdigest()[:32]}"


def job_id_of_event(pool: str, tenant: str, source: str, event_id: str) -> str:
    """The id of a job submitted over Kafka, by tenant and CloudEvents source and id."""
    return job_id(pool, "event", tenant, source, event_id)


def job_id_of_key(pool: str, tenant: str, idempotency_key: str) -> str:
    """The id of a job submitted over HTTP with an Idempotency-Key, by tenant and key."""
    return job_id(pool, "key", tenant, idempotency_key)


def pool_of(job: str) -> str:
    """The pool that a job id names. ValueError when `job` is no job id."""
    match = JOB.fullmatch(job)
    if match is None:
        raise ValueError(f"expected a job id like 'main-<32 hex digits>', found {job[:100]!r}")
    return match["pool"]


def parse_model(reference: str) -> tuple[str, str, str]:
    """(model, alias, digest) of a model reference. Exactly one of alias and digest is empty. ValueError when
    `reference` is no model reference."""
    match = MODEL_REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"expected 'model', 'model@alias' or 'model@sha256:<64 hex>', found {reference[:100]!r}")
    at = match["at"] or ALIAS_DEFAULT
    return (match["model"], "", at) if at.startswith("sha256:") else (match["model"], at, "")


def dispatch_id(epoch: int, seq: int, index: int) -> str:
    """A dispatch's id: the ledger record (epoch, seq) that made the dispatch, and the dispatch's place in that record.
    Unique for ever."""
    return f"{epoch}.{seq}.{index}"


def dispatch_order(dispatch: str) -> tuple[int, int, int]:
    """Sort key of a dispatch id: a later dispatch has a greater one. ValueError when the text is no dispatch id."""
    epoch, seq, index = dispatch.split(".")
    return int(epoch), int(seq), int(index)


def dispatch_partition(node: str, partitions: int) -> int:
    """The partition of the cluster's dispatch topic that this node reads: the only one."""
    return zlib.crc32(node.encode()) % partitions


def payload_digest(salt: str, inputs: bytes) -> str:
    """Salted digest of a payload. The salt lies with the payload only, so nobody can guess a short prompt from the
    digest in the ledger."""
    return digest_of(bytes.fromhex(salt) + inputs)


def digest_of(data: bytes) -> str:
    """The digest by which a manifest, a policy or a payload is named: `sha256:<64 hex digits>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
