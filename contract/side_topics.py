"""Records of three topics beside `jobs` and `ledger`: `submissions` (by upstream products), `progress` (by nodes) and
`quarantine` (records that could not be acted on)."""

from __future__ import annotations

import msgspec


class SubmissionRequested(msgspec.Struct, frozen=True, tag="SubmissionRequested.v1", forbid_unknown_fields=True):
    """A record of `submissions`, the public door for Kafka producers. Key = tenant. Writers: upstream products
    (untrusted).

    The CloudEvents headers `ce_source` and `ce_id`, both required, name the job: the same pair again is the same job. A
    pair is remembered until the policy's `submission_age_max` (3 days by default) after the job ended; after that the
    same pair is a new job. The job's id is a hash of tenant and pair that is kept for ever: neither may name anybody. A
    record that is older than `submission_age_max` when it is read goes to `quarantine` and is never run; the words of a
    job that was erased are not taken again.
    """

    tenant: str
    tier: str
    model: str
    inputs: msgspec.Raw
    expires_ms: int = 0


class AttemptProgressed(msgspec.Struct, frozen=True, tag="AttemptProgressed.v1"):
    """A record of `progress`: how far an attempt is. Key = job. It decides nothing. Writer: node agent."""

    job: str
    dispatch: str
    fraction: float
    """0 to 1."""
    message: str
    """The model's words, at most 200 characters. They may quote the user, so the topic keeps them for a short time, and
    no log holds them."""


class Quarantined(msgspec.Struct, frozen=True, tag="Quarantined.v1"):
    """A record of `quarantine`: a record of another topic that could not be acted on. Writers: intake, scheduler."""

    topic: str
    partition: int
    offset: int
    reason: str
    """What was expected and what was found, in our own words."""
    value_base64: str
    """The first bytes of the record's value, as many as fit contract.bounds.REFUSAL_BYTES_MAX."""
    value_bytes: int = 0
    """Size of the record's whole value."""
