"""Names and identities: what a valid name is, and how a job, a dispatch and a partition are named.

A job id is ``<pool>-<32 hex digits>``. The digits are a hash of who asked and how they named the request, so
the same request always gets the same id, and the id alone says in which pool its cancel belongs.
"""

from __future__ import annotations

import hashlib
import re
import zlib

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._]|-(?=[a-z0-9])){0,62}")
"""Pools, clusters, nodes, tiers, tenants, models and aliases: lower case, at most 63 characters."""

JOB = re.compile(r"(?P<pool>[a-z0-9](?:[a-z0-9._]|-(?=[a-z0-9])){0,62})-(?P<bits>[0-9a-f]{32})")
DISPATCH = re.compile(r"(?:0|[1-9][0-9]{0,15})(?:\.(?:0|[1-9][0-9]{0,15})){2}")
"""epoch.seq.index, as `dispatch_id` writes them."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MODEL_REFERENCE = re.compile(rf"(?P<model>{NAME.pattern})(?:@(?P<at>{DIGEST.pattern}|{NAME.pattern}))?")
"""``model`` (its ``live`` alias), ``model@alias`` or ``model@sha256:…`` (an exact version)."""

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""A W3C trace context of version 00."""

ALIAS_DEFAULT = "live"


def is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def job_id(pool: str, *identity: str) -> str:
    """The id of the request that `identity` names, for ever: hash of the parts, unambiguous in their lengths."""
    hasher = hashlib.sha256()
    for part in identity:
        raw = part.encode()
        hasher.update(len(raw).to_bytes(4, "big"))
        hasher.update(raw)
    return f"{pool}-{hasher.hexdigest()[:32]}"


def job_id_of_event(pool: str, tenant: str, source: str, event_id: str) -> str:
    """Id of a job submitted over Kafka: (tenant, CloudEvents source and id)."""
    return job_id(pool, "event", tenant, source, event_id)


def job_id_of_key(pool: str, tenant: str, idempotency_key: str) -> str:
    """Id of a job submitted over HTTP with an Idempotency-Key."""
    return job_id(pool, "key", tenant, idempotency_key)


def pool_of(job: str) -> str:
    """The pool a job id names. ValueError when `job` is not a job id."""
    match = JOB.fullmatch(job)
    if match is None:
        raise ValueError(f"expected a job id like 'main-<32 hex digits>', found {job[:100]!r}")
    return match["pool"]


def parse_model(reference: str) -> tuple[str, str, str]:
    """(model, alias, digest) of a model reference: exactly one of alias and digest is not empty.

    ValueError when it is not a reference."""
    match = MODEL_REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"expected 'model', 'model@alias' or 'model@sha256:<64 hex>', found {reference[:100]!r}")
    at = match["at"] or ALIAS_DEFAULT
    return (match["model"], "", at) if at.startswith("sha256:") else (match["model"], at, "")


def dispatch_id(epoch: int, seq: int, index: int) -> str:
    """A dispatch is named by the ledger record that made it and its place in it: unique for ever."""
    return f"{epoch}.{seq}.{index}"


def dispatch_order(dispatch: str) -> tuple[int, int, int]:
    """Sort key of a dispatch id. ValueError when it is none."""
    epoch, seq, index = dispatch.split(".")
    return int(epoch), int(seq), int(index)


def dispatch_partition(node: str, partitions: int) -> int:
    """The one partition of its cluster's dispatch topic that a node reads."""
    return zlib.crc32(node.encode()) % partitions


def payload_digest(salt: str, inputs: bytes) -> str:
    """Salted digest of a payload; the salt travels with the payload, so a short prompt can't be guessed."""
    return "sha256:" + hashlib.sha256(bytes.fromhex(salt) + inputs).hexdigest()
